"""TLS for the tools: the options, and a TLS that can end one direction and go on in the other.

asyncio's TLS closes both directions at once, and drops what arrives after that; `tool < question
> answer` needs the first half of that only. TLS itself allows it (RFC 8446 §6.1: close_notify
ends one direction), and so does OpenSSL.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl
from contextlib import suppress
from typing import Final

from utcp.cli.errors import UsageError

__all__ = ["TlsStream", "add_client_options", "add_server_options", "client_tls", "server_tls"]

_CHUNK: Final = 1 << 18


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Options of whoever listens."""
    group = _group(parser)
    group.add_argument("--cafile", metavar="PEM", help="ask for a client certificate of these CAs")


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Options of whoever connects."""
    group = _group(parser)
    group.add_argument("--cafile", metavar="PEM", help="CAs to trust [the system's]")
    group.add_argument("--insecure", action="store_true", help="do not check the certificate")


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
    try:
        if arguments.cafile is not None:
            context.load_verify_locations(arguments.cafile)
        if arguments.cert is not None:
            context.load_cert_chain(arguments.cert, arguments.key)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        names = [name for name in (arguments.cafile, arguments.cert, arguments.key) if name]
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{', '.join(names)}: {reason}") from None


class TlsStream:
    """TLS over a pair of streams, with the calls of both that the tools use."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._early = bytearray()  # decrypted, and not read yet
        self._ended = False

    async def handshake(self) -> None:
        """Raises ssl.SSLError, EOFError if the peer goes away, OSError."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                await self._flush()  # the alert that tells the peer
                raise
            else:
                await self._flush()
                return

    async def read(self, limit: int) -> bytes:
        """At most `limit` bytes; b"" when the peer has said that no more will come."""
        while not self._early and not self._ended:
            self._decrypt(limit)
            if not self._early and not self._ended:
                await self._flush()  # answers of TLS itself, such as to a key update
                await self._fill()
        data = bytes(self._early[:limit])
        del self._early[:limit]
        return data

    def write(self, data: bytes) -> None:
        """Encrypt and queue `data`."""
        if data:
            self._tls.write(data)
            self._writer.write(self._outgoing.read())

    async def drain(self) -> None:
        """Wait until more may be written."""
        await self._writer.drain()

    def write_eof(self) -> None:
        """Say that nothing more will be written. Reading goes on."""
        # unwrap() takes data that waits for a violation: it looks for the peer's close_notify.
        self._decrypt(None)
        with suppress(ssl.SSLError):  # the peer's close_notify is not there yet
            self._tls.unwrap()
        self._writer.write(self._outgoing.read())
        self._writer.write_eof()

    def _decrypt(self, limit: int | None) -> None:
        """Take over what has arrived: all of it, or at least `limit` bytes."""
        try:
            while not self._ended and (limit is None or len(self._early) < limit):
                data = self._tls.read(_CHUNK)
                self._ended = not data
                self._early += data
        except ssl.SSLWantReadError:
            return
        except ssl.SSLZeroReturnError:
            self._ended = True

    async def _fill(self) -> None:
        data = await self._reader.read(_CHUNK)
        if not data:
            raise EOFError("the connection ended without TLS saying so")
        self._incoming.write(data)

    async def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())
            await self._writer.drain()
