"""Clients connected to programs in containers: run beside one, or attached to what the container is."""

import asyncio
import os
import pathlib

import pytest

from reconciler.node.runtimes import process, types
from tests.conformance.runtime.test_runtimes import PATIENCE_SECONDS, UID, Bench, bench  # noqa: F401 - a fixture

ALL = types.Streams(stdin=True, stdout=True, stderr=True)
TERMINAL = types.Streams(stdin=True, stdout=True, tty=True)
ECHO = ("sh", "-c", 'while read line; do echo "got $line"; done; echo over')


async def whole(session: types.Session, stream: types.Stream = "stdout") -> bytes:
    read = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while piece := await session.read(stream):
            read += piece
    return read


async def until(session: types.Session, words: bytes) -> bytes:
    read = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while words not in read:
            piece = await session.read("stdout")
            assert piece, f"{words!r} is not in {read!r}"
            read += piece
    return read


async def test_a_program_with_pipes(bench: Bench) -> None:  # noqa: F811
    await bench.sandbox()
    await bench.start("sleep", "1000")
    session = await bench.runtime.run(UID, "main", ["sh", "-c", "cat; echo bad >&2; exit 7"], ALL)
    amount = os.urandom(300_000)
    writing = asyncio.create_task(session.write(amount))
    read = b""
    while len(read) < len(amount):
        read += await session.read("stdout")
    assert await writing
    session.end_input()
    assert (read, await whole(session, "stderr"), await session.ended()) == (amount, b"bad\n", types.Ended(7))
    assert not await session.write(b"late")
    await session.close()


async def test_a_program_that_leaves_another_one_behind(bench: Bench) -> None:  # noqa: F811
    await bench.sandbox()
    await bench.start("sleep", "1000")
    session = await bench.runtime.run(UID, "main", ["sh", "-c", "sleep 1000 & echo done"], ALL)
    assert await whole(session) == b"done\n"
    assert await session.ended() == types.Ended()
    await session.close()


async def test_a_program_on_a_terminal(bench: Bench) -> None:  # noqa: F811
    await bench.sandbox()
    await bench.start("sleep", "1000")
    script = "trap 'stty size; exit 5' WINCH; test -t 0 && echo $TERM; while :; do sleep 0.05; done"
    session = await bench.runtime.run(UID, "main", ["sh", "-c", script], TERMINAL)
    await until(session, b"xterm")
    session.resize(132, 43)
    assert b"43 132" in await whole(session)
    assert await session.ended() == types.Ended(5)
    await session.close()


async def test_a_client_that_goes_takes_its_program_along(bench: Bench, tmp_path: pathlib.Path) -> None:  # noqa: F811
    await bench.sandbox()
    await bench.start("sleep", "1000")
    for streams in (ALL, TERMINAL):
        session = await bench.runtime.run(UID, "main", ["sh", "-c", "trap '' HUP; echo here; sleep 7654"], streams)
        await until(session, b"here")
        await session.close()
        await bench.until(lambda: not _running("sleep 7654"))


async def test_a_program_that_is_not_there(bench: Bench) -> None:  # noqa: F811
    await bench.sandbox()
    await bench.start("sleep", "1000")
    session = await bench.runtime.run(UID, "main", ["no-such-program"], ALL)
    assert "executable file not found" in (await session.ended()).failure
    await session.close()
    with pytest.raises(types.RuntimeFailure, match="is not running"):
        await bench.runtime.run(UID, "other", ["true"], ALL)
    with pytest.raises(types.RuntimeFailure, match="is not running"):
        await bench.runtime.attach(UID, "other", ALL)


async def test_attached_to_pipes_by_several_and_again(bench: Bench) -> None:  # noqa: F811
    await bench.sandbox()
    await bench.start(*ECHO, stdin=True)
    first = await bench.runtime.attach(UID, "main", ALL)
    second = await bench.runtime.attach(UID, "main", types.Streams(stdout=True))
    assert await first.write(b"one\n")
    assert not await second.write(b"no\n")
    for session in (first, second):
        await until(session, b"got one")
    await first.close()
    again = await bench.runtime.attach(UID, "main", ALL)
    await again.write(b"two\n")
    await until(second, b"got two")
    await bench.runtime.signal(UID, "main", 0, "KILL")
    for session in (again, second):
        await whole(session)
        assert await session.ended() == types.Ended()
        await session.close()
    assert bench.log() == ["got one", "got two"]


async def test_input_for_one_client_ends_with_it(bench: Bench) -> None:  # noqa: F811
    await bench.sandbox()
    await bench.start(*ECHO, stdin=True, stdin_once=True)
    beside = await bench.runtime.run(UID, "main", ["sleep", "1000"], ALL)  # what it inherits must not hold the input open
    session = await bench.runtime.attach(UID, "main", ALL)
    await session.write(b"last\n")
    session.end_input()
    assert await whole(session) == b"got last\nover\n"
    assert (await bench.ended()).exit_code == 0
    await beside.close()
    await session.close()


async def test_attached_to_a_terminal_across_daemons(bench: Bench) -> None:  # noqa: F811
    await bench.sandbox()
    await bench.start("sh", "-c", "trap 'stty size' WINCH; while :; do read line; echo \"got $line\"; done", stdin=True, tty=True)
    first = await bench.runtime.attach(UID, "main", TERMINAL)
    await first.write(b"one\n")
    await until(first, b"got one")
    await first.close()
    await bench.runtime.close()
    bench.runtime = process.ProcessRuntime(bench.settings)
    await bench.runtime.open(bench.told.append)
    second = await bench.runtime.attach(UID, "main", TERMINAL)
    second.resize(90, 30)
    await second.write(b"two\n")
    await until(second, b"30 90")
    await second.close()


async def test_a_slow_client_gets_everything_and_a_dead_one_stops_nobody(bench: Bench) -> None:  # noqa: F811
    await bench.sandbox()
    await bench.start("sh", "-c", "read go; head -c 3000000 /dev/zero; echo; echo end", stdin=True)
    slow = await bench.runtime.attach(UID, "main", ALL)
    dead = await bench.runtime.attach(UID, "main", ALL)
    await slow.write(b"go\n")
    await asyncio.wait_for(dead.read("stdout"), PATIENCE_SECONDS)
    await dead.close()
    assert await whole(slow) == bytes(3_000_000) + b"\nend\n"
    await slow.close()
    assert (await bench.ended()).exit_code == 0
    assert bench.log()[-1] == "end"


def _running(words: str) -> bool:
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().replace(b"\0", b" ").strip() == words.encode():
                return True
        except OSError:
            continue
    return False
