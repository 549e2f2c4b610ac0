"""The end of a program: nothing written is lost, nothing warns, nothing waits for long."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
RUNNERS: Final = ["asyncio.run", "uvloop.run"]


def run(program: str, *arguments: str) -> str:
    """Run a program with every warning an error; gives what it printed."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program), *arguments],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert complaints(done.stderr) == []
    assert done.returncode == 0
    return done.stdout


def complaints(err: str) -> list[str]:
    """What a program said on stderr, without asyncio's remarks on a machine that is busy."""
    return [line for line in err.splitlines() if not line.startswith("Executing <")]


SERVER: Final = """
    import asyncio, ssl, sys, utcp

    context = None
    if len(sys.argv) > 1:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[1])

    async def handle(reader, writer):
        total = 0
        while data := await reader.read(1 << 20):
            total += len(data)
        print(total, flush=True)
        writer.close()
        await writer.wait_closed()
        done.set()

    async def main():
        global done
        done = asyncio.Event()
        async with await utcp.start_server(handle, "127.0.0.1", 0, ssl=context) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await done.wait()

    asyncio.run(main())
"""


@contextmanager
def server_process(*certificate: str) -> Iterator[subprocess.Popen[str]]:
    """SERVER as a process; it prints its port, then how much it got, and ends.

    With the path of a certificate it wants TLS.
    """
    server = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(SERVER), *certificate],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield server
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("size", [1, 10_000_000])
def test_what_was_written_gets_out_after_main_has_returned(runner: str, size: int) -> None:
    with server_process() as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        run(
            f"""
            import asyncio, sys, uvloop, utcp

            async def main():
                _, writer = await utcp.open_connection("127.0.0.1", int(sys.argv[1]))
                writer.write(bytes({size}))
                writer.close()

            {runner}(main())
            """,
            port,
        )
        out, err = server.communicate(timeout=30)
        assert complaints(err) == []
        assert out == f"{size}\n"
        assert server.returncode == 0


@pytest.mark.parametrize("runner", RUNNERS)
def test_two_thousand_connections_with_few_descriptors(runner: str) -> None:
    out = run(
        f"""
        import asyncio, resource, uvloop, utcp

        resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))

        async def handle(reader, writer):
            writer.write(await reader.read())
            writer.close()
            await writer.wait_closed()

        async def main():
            async with await utcp.start_server(handle, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                for number in range(2000):
                    reader, writer = await utcp.open_connection("127.0.0.1", port)
                    writer.write(b"%d" % number)
                    writer.write_eof()
                    assert await reader.read() == b"%d" % number
                    writer.close()
                    await writer.wait_closed()
            print("all")

        {runner}(main())
        """
    )
    assert out == "all\n"


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_peer_that_falls_silent_holds_the_end_up_no_longer_than_linger(runner: str) -> None:
    with server_process() as server:
        assert server.stdout is not None
        out = run(
            f"""
            import asyncio, os, signal, sys, time, uvloop, utcp

            async def main():
                global began
                config = utcp.Config(linger=0.3)
                _, writer = await utcp.open_connection("127.0.0.1", int(sys.argv[1]), config=config)
                os.kill(int(sys.argv[2]), signal.SIGSTOP)
                writer.write(bytes(10_000_000))
                writer.close()
                began = time.monotonic()

            {runner}(main())
            print(0.2 < time.monotonic() - began < 2)
            """,
            server.stdout.readline().strip(),
            str(server.pid),
        )
    assert out == "True\n"


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_callback_that_writes_to_the_very_end_is_not_disturbed(runner: str) -> None:
    out = run(
        f"""
        import asyncio, logging, uvloop, utcp, warnings

        class Pouring(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
                self.write()

            def write(self):
                if not self.transport.is_closing():
                    self.transport.write(bytes(1000))
                    self.transport.writelines([b"and", b"more"])
                    asyncio.get_running_loop().call_soon(self.write)

        async def main():
            global kept
            server = await utcp.create_server(asyncio.Protocol, "127.0.0.1", 0)
            addr = server.sockets[0].getsockname()
            kept = await utcp.create_connection(Pouring, *addr)
            await asyncio.sleep(0)

        warnings.simplefilter("ignore", ResourceWarning)  # of what is open
        logging.getLogger("asyncio").setLevel("ERROR")  # it warns of writing in vain
        {runner}(main())
        print("ended")
        """
    )
    assert out == "ended\n"


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_open_transport_warns_as_asyncios_do(runner: str) -> None:
    out = run(
        f"""
        import asyncio, gc, uvloop, utcp, warnings

        async def main():
            server = await utcp.create_server(asyncio.Protocol, "127.0.0.1", 0)
            addr = server.sockets[0].getsockname()
            await utcp.create_connection(asyncio.Protocol, *addr)

        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            {runner}(main())
            gc.collect()
        print(sorted({{str(w.message).split(" open ")[0] for w in seen}}))
        """
    )
    assert out == "['unclosed transport <utcp.Transport']\n"


def test_several_loops_one_after_another() -> None:
    run(
        """
        import asyncio, uvloop, utcp
        from utcp.aio import hub

        async def main():
            async def handle(reader, writer):
                writer.close()
            server = await utcp.start_server(handle, "127.0.0.1", 0)
            reader, writer = await utcp.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            server.close()

        for _ in range(3):
            asyncio.run(main())
            uvloop.run(main())
            assert not hub._hubs
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        loop.close()  # without shutdown_asyncgens: the next loop cleans up
        del loop
        asyncio.run(main())
        assert not hub._hubs
        """
    )


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_peer_whose_program_has_ended_does_not_hold_up_a_close(runner: str) -> None:
    client = """
        import asyncio, sys, utcp

        async def main():
            config = utcp.Config(linger=0.0)
            _, writer = await utcp.open_connection("127.0.0.1", int(sys.argv[1]), config=config)
            writer.write(b"all")
            writer.close()
            await writer.wait_closed()

        asyncio.run(main())
    """
    out = run(
        f"""
        import asyncio, sys, time, uvloop, utcp

        async def handle(reader, writer):
            data = await reader.read()
            await gone.wait()
            writer.close()
            async with asyncio.timeout(5):
                await writer.wait_closed()
            done.set_result(data)

        async def main():
            global gone, done
            gone = asyncio.Event()
            done = asyncio.get_running_loop().create_future()
            async with await utcp.start_server(handle, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", sys.argv[1], str(port))
                assert await process.wait() == 0
                gone.set()
                print(await done)

        {runner}(main())
        """,
        textwrap.dedent(client),
    )
    assert out == "b'all'\n"
