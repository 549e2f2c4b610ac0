"""TLS for the tools: the options, and connections with or without it."""

from __future__ import annotations

import argparse
import asyncio
import ssl
from collections.abc import Callable
from typing import Final

import utcp
from utcp.cli.arguments import format_address
from utcp.cli.errors import UsageError, which
from utcp.cli.secured import Secured
from utcp.config import Config

__all__ = [
    "add_bridge_options",
    "add_client_options",
    "add_server_options",
    "client_tls",
    "connect",
    "server_tls",
    "serving",
]

_NEXT_ADDRESS: Final = 0.25
"""Seconds until the next address of a name is tried as well (RFC 8305 §5)."""


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Options of whoever listens."""
    group = _group(parser)
    group.add_argument("--cafile", metavar="PEM", help="ask for a client certificate of these CAs")


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Options of whoever connects."""
    group = _group(parser)
    group.add_argument("--cafile", metavar="PEM", help="CAs to trust [the system's]")
    group.add_argument("--insecure", action="store_true", help="do not check the certificate")


def add_bridge_options(parser: argparse.ArgumentParser) -> None:
    """Options of whoever listens or connects."""
    group = _group(parser)
    group.add_argument(
        "--cafile",
        metavar="PEM",
        help="of the target, the CAs to trust [the system's]; of a source, ask for a client "
        "certificate of these CAs",
    )
    group.add_argument(
        "--insecure", action="store_true", help="do not check the target's certificate"
    )


def _group(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("TLS")
    group.add_argument("--tls", action="store_true", help="encrypt, and check who the peer is")
    group.add_argument("--cert", metavar="PEM", help="our certificate, and those it hangs on")
    group.add_argument("--key", metavar="PEM", help="its key [in the same file]")
    return group


def server_tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """The context that the options ask for, or None. Raises UsageError."""
    if not _wanted(arguments):
        return None
    if arguments.cert is None:
        raise UsageError("--tls needs --cert, and --key if that is another file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, arguments)
    if arguments.cafile is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """The context that the options ask for, or None. Raises UsageError."""
    if not _wanted(arguments):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if arguments.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif arguments.cafile is None:
        context.load_default_certs()
    _load(context, arguments)
    return context


def serving(
    factory: Callable[[], asyncio.Protocol],
    context: ssl.SSLContext | None,
    tell: Callable[[str, str], None],
) -> Callable[[], asyncio.Protocol]:
    """The factory for a server: with TLS if there is a context.

    `tell(peer, line)` is called when a handshake has failed.
    """
    if context is None:
        return factory

    def failed(transport: asyncio.BaseTransport, error: Exception) -> None:
        tell(format_address(transport.get_extra_info("peername")), which(error))

    return lambda: Secured(factory, context, server_side=True, failed=failed)


async def connect(
    factory: Callable[[], asyncio.Protocol],
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    config: Config,
) -> None:
    """Make a connection, and with a context a TLS handshake. Raises OSError or EOFError."""
    if context is None:
        await utcp.create_connection(
            factory, host, port, happy_eyeballs_delay=_NEXT_ADDRESS, config=config
        )
        return
    _, secured = await utcp.create_connection(
        lambda: Secured(factory, context, server_hostname=host),
        host,
        port,
        happy_eyeballs_delay=_NEXT_ADDRESS,
        config=config,
    )
    try:
        await secured.done()
    except asyncio.CancelledError:
        secured.abort()
        raise


def _wanted(arguments: argparse.Namespace) -> bool:
    names = ("cert", "key", "cafile", "insecure")
    given = [name for name in names if getattr(arguments, name, None)]
    if given and not arguments.tls:
        raise UsageError(f"--{given[0]} means nothing without --tls")
    if arguments.key is not None and arguments.cert is None:
        raise UsageError("--key means nothing without --cert")
    return bool(arguments.tls)


def _load(context: ssl.SSLContext, arguments: argparse.Namespace) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # writing would have to wait for reading
    try:
        if arguments.cafile is not None:
            context.load_verify_locations(arguments.cafile)
        if arguments.cert is not None:
            context.load_cert_chain(arguments.cert, arguments.key)
    except (OSError, ValueError) as error:
        names = [name for name in (arguments.cafile, arguments.cert, arguments.key) if name]
        raise UsageError(f"{', '.join(names)}: {_fault(error)}") from None


def _fault(error: OSError | ValueError) -> str:
    """What is wrong with files of certificates and keys."""
    if not isinstance(error, ssl.SSLError):
        return str(getattr(error, "strerror", None) or error)
    reason: str | None = error.reason
    if reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate"
    if not reason or reason in {"NO_START_LINE", "NO_CERTIFICATE_OR_CRL_FOUND"}:
        # OpenSSL has but "PEM lib" to say of it.
        return "no certificate, or no key, in PEM format"
    return reason.replace("_", " ").lower()
