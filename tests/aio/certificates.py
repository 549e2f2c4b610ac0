"""Certificates of an authority that is made anew for each run of the tests."""

from __future__ import annotations

import functools
import ssl

import trustme


@functools.cache
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(*names: str, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """For a server that is known as `names`, or as localhost and 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _certificate(names or ("localhost", "127.0.0.1")).configure_cert(context)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def client_context(*, name: str | None = None, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """For a client that trusts the authority; with `name` it has a certificate of its own."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    if name is not None:
        _certificate((name,)).configure_cert(context)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


@functools.cache
def _certificate(names: tuple[str, ...]) -> trustme.LeafCert:
    return authority().issue_cert(*names)
