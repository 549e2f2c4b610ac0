"""asyncio.run ends while a connection is in each state that there is: no warning, no waiting."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from .certificates import authority
from .test_shutdown import RUNNERS, complaints, run, server_process

# What main() has done when it returns. `port` is that of a server in another process's place: one
# in the same loop, so that both ends come to their end together.
STATES: Final = {
    "nothing but a loop": "",
    "listening": "pass",
    "not serving yet": "await utcp.start_server(echo, '127.0.0.1', 0, start_serving=False)",
    "SYN-SENT": "asyncio.create_task(connect(silent)); await turns()",
    "handshake": "asyncio.create_task(hold(connect())); await asyncio.sleep(0)",
    "ESTABLISHED": "keep(await connect())",
    "ESTABLISHED, unsent": "r, w = await connect(); w.write(bytes(10_000_000)); keep((r, w))",
    "waiting in drain": """
        r, w = await connect(); keep((r, w)); w.write(bytes(50_000_000))
        asyncio.create_task(w.drain()); await turns()""",
    "waiting in read": """
        r, w = await connect(); keep((r, w)); asyncio.create_task(r.read()); await turns()""",
    "FIN-WAIT-1": "r, w = await connect(); w.write(b'x'); w.close()",
    "FIN-WAIT-1, unsent": "r, w = await connect(); w.write(bytes(10_000_000)); w.close()",
    "half closed": "r, w = await connect(); w.write_eof(); await turns(); keep((r, w))",
    "waiting in wait_closed": """
        r, w = await connect(); w.write(bytes(1_000_000)); w.close()
        asyncio.create_task(w.wait_closed()); await asyncio.sleep(0)""",
    "TIME-WAIT": "r, w = await connect(); w.close(); await w.wait_closed()",
    "aborted": "r, w = await connect(); w.transport.abort()",
    "aborted and waited for": """
        r, w = await connect(); w.transport.abort(); await w.wait_closed()""",
    "TLS handshake": "asyncio.create_task(hold(connect_tls())); await turns()",
    "TLS handshake without an answer": "asyncio.create_task(connect_tls(mute)); await turns(30)",
    "TLS": "keep(await connect_tls())",
    "TLS, closing": "r, w = await connect_tls(); w.write(bytes(3_000_000)); w.close()",
    "TLS, closed": "r, w = await connect_tls(); w.close(); await w.wait_closed()",
    "TLS, upgrade": """
        r, w = await connect(mute)
        asyncio.create_task(w.start_tls(asking, server_hostname='localhost')); await turns()""",
    "serve_forever": "asyncio.create_task(server.serve_forever()); await turns()",
    "server closed, connections open": "keep(await connect()); server.close()",
    "an exception": "keep(await connect()); raise ZeroDivisionError",
    "sys.exit": "keep(await connect()); raise SystemExit(0)",
    "the handler has failed": "r, w = await connect(fail); await r.read(); w.close()",
}

PROGRAM: Final = """
    import asyncio, contextlib, gc, socket, ssl, sys, time, uvloop, utcp

    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(sys.argv[2])
    asking = ssl.create_default_context(cafile=sys.argv[1])
    config = utcp.Config(linger=2.0)
    kept = []

    def keep(streams):
        # Open streams would warn that they are, as asyncio's do: that is another test's.
        kept.append(streams)
        loop = asyncio.get_running_loop()
        streams[1].transport.__class__.__del__ = lambda self: None
        streams[1].__class__.__del__ = lambda self: None

    async def turns(count=5):
        for _ in range(count):
            await asyncio.sleep(0)

    async def echo(reader, writer):
        while data := await reader.read(1 << 20):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def swallow(reader, writer):
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 20):
                pass
        writer.close()

    async def hold(opening):
        keep(await opening)

    async def failing(reader, writer):
        raise EOFError("expected")

    class Mute(asyncio.Protocol):
        pass

    async def main(state):
        global port, mute, fail, silent
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(complain)
        server = await utcp.start_server(swallow, "127.0.0.1", 0, config=config)
        tls = await utcp.start_server(swallow, "127.0.0.1", 0, config=config, ssl=serving)
        quiet = await utcp.create_server(Mute, "127.0.0.1", 0, config=config)
        fails = await utcp.start_server(failing, "127.0.0.1", 0, config=config)
        port, tls_port, mute, fail = (
            one.sockets[0].getsockname()[1] for one in (server, tls, quiet, fails))
        silent = nobody.getsockname()[1]

        async def connect(port=port):
            return await utcp.open_connection("127.0.0.1", port, config=config)

        async def connect_tls(port=tls_port):
            return await utcp.open_connection(
                "127.0.0.1", port, config=config, ssl=asking, server_hostname="localhost")

        await states[state](connect, connect_tls, server)

    def complain(loop, context):
        if not isinstance(context.get("exception"), EOFError):
            print("told:", state, context)

    states = {}
    %s
    nobody = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    nobody.bind(("127.0.0.1", 0))
    for state in states:
        began = time.monotonic()
        with contextlib.suppress(ZeroDivisionError, SystemExit):
            %s(main(state))
        took = time.monotonic() - began
        kept.clear()
        gc.collect()
        if took > 1.5:
            print("slow:", state, round(took, 1))
    nobody.close()
    print("all")
"""


@pytest.fixture
def trusted(tmp_path: Path) -> str:
    """The path of the authority's certificate."""
    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    """The path of a server's certificate, with its key."""
    issued = authority().issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    return str(tmp_path / "server.pem")


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_end_in_every_state(runner: str, trusted: str, certificate: str) -> None:
    definitions = []
    for number, (name, body) in enumerate(STATES.items()):
        lines = [line.strip() for line in body.strip().splitlines()] or ["pass"]
        definitions.append(f"async def state_{number}(connect, connect_tls, server):")
        definitions += [f"    {line}" for line in lines]
        definitions.append(f"states[{name!r}] = state_{number}")
    program = PROGRAM % ("\n    ".join(definitions), runner)
    assert run(program, trusted, certificate) == "all\n"


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("size", [1, 10_000_000])
def test_what_was_written_gets_out_of_tls_after_main_has_returned(
    runner: str, size: int, trusted: str, certificate: str
) -> None:
    with server_process(certificate) as server:
        assert server.stdout is not None
        run(
            f"""
            import asyncio, ssl, sys, uvloop, utcp

            async def main():
                _, writer = await utcp.open_connection(
                    "127.0.0.1", int(sys.argv[1]), server_hostname="localhost",
                    ssl=ssl.create_default_context(cafile=sys.argv[2]))
                for _ in range({size} // 1000):
                    writer.write(bytes(1000))
                writer.write(bytes({size} % 1000))
                writer.close()

            {runner}(main())
            """,
            server.stdout.readline().strip(),
            trusted,
        )
        out, err = server.communicate(timeout=30)
        assert complaints(err) == []
        assert out == f"{size}\n"
        assert server.returncode == 0
