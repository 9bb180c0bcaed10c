"""A client's connection to a program in a container: pipes or a terminal, non-blocking, over which nothing is decided.

Output is read to its end; once the program has ended that is when nothing has come for LINGER_SECONDS, for what it left
running in the background may hold its pipes open. Whoever closes a session of its own program ends that program.
"""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.node.keeper import client, wire
from reconciler.node.runtimes import types

READ_BYTES = 32 * 1024
LINGER_SECONDS = 0.5


class End:
    """Our end of a pipe, or the master of a terminal."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Future[None]] = set()
        self._is_last = False

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""
        while self._descriptor >= 0:
            try:
                return os.read(self._descriptor, READ_BYTES)
            except BlockingIOError:
                if self._is_last:
                    break
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
            except OSError:
                break  # EIO: nobody has the terminal open any more
        return b""

    async def write(self, data: bytes) -> bool:
        """Return once all is taken; False where nobody reads it."""
        left = memoryview(data)
        while left and self._descriptor >= 0:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)
            except OSError:
                return False
        return not left

    def resize(self, columns: int, rows: int) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def finish(self) -> None:
        """What is there is all that will be read."""
        self._is_last = True
        self._wake()

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
            os.close(descriptor)
            self._wake()

    async def _ready(self, add: Callable[..., Any], remove: Callable[[int], bool]) -> None:
        descriptor, ready = self._descriptor, self._loop.create_future()
        self._waiting.add(ready)
        add(descriptor, _set, ready)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if self._descriptor == descriptor:
                remove(descriptor)

    def _wake(self) -> None:
        for ready in self._waiting:
            _set(ready)


class Session:
    """Implements types.Session over what the keeper's shim handed out. `exit` is the program's end, None for an attached one."""

    def __init__(self, ends: Mapping[str, End], terminal: End | None, exit: "asyncio.Task[types.Ended] | None") -> None:
        self._ends = dict(ends)
        self._terminal = terminal
        self._exit = exit
        self._lingering: asyncio.TimerHandle | None = None
        if exit is not None:
            exit.add_done_callback(self._linger)

    async def read(self, stream: types.Stream) -> bytes:
        end = self._ends.get(stream)
        return await end.read() if end is not None else b""

    async def write(self, data: bytes) -> bool:
        end = self._ends.get("stdin")
        return await end.write(data) if end is not None else False

    def end_input(self) -> None:
        """A terminal has no end of input but what is typed."""
        if self._terminal is None and (end := self._ends.pop("stdin", None)) is not None:
            end.close()

    def resize(self, columns: int, rows: int) -> None:
        if self._terminal is not None:
            self._terminal.resize(columns, rows)

    async def ended(self) -> types.Ended:
        return await asyncio.shield(self._exit) if self._exit is not None else types.Ended()

    async def close(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
        for end in {*self._ends.values(), *([self._terminal] if self._terminal else [])}:
            end.close()
        if self._exit is not None:
            self._exit.cancel()
            await asyncio.gather(self._exit, return_exceptions=True)

    def _linger(self, _: object) -> None:
        self._lingering = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._finish)

    def _finish(self) -> None:
        for end in self._ends.values():
            end.finish()


async def execute(shim: Path, container: types.Container, command: Sequence[str], wanted: types.Streams) -> Session:
    """Run a program beside a container. Raises RuntimeFailure."""
    channel = await _connected(shim, container.name)
    given, ends = _pipes(wanted) if not wanted.tty else ([], {})
    try:
        request = {"op": "exec", "name": container.name, "attempt": container.attempt, "spec": {"argv": list(command)}}
        await channel.send(request, given)
        terminal = await _console(channel) if wanted.tty else None
    except BaseException as error:
        channel.close()
        for end in ends.values():
            end.close()
        raise _failure(error, container.name) from error
    finally:
        for descriptor in given:
            os.close(descriptor)
    if terminal is not None:
        ends = {"stdin": terminal, "stdout": terminal}
    ending = asyncio.get_running_loop().create_task(_end_of(channel), name=f"exec in {container.name}")
    ending.add_done_callback(lambda _: channel.close())  # hangs up, which kills a program that still runs
    return Session(ends, terminal, ending)


async def attach(shim: Path, container: types.Container, wanted: types.Streams) -> Session:
    """Connect to a container's own streams. Raises RuntimeFailure."""
    ours, given = zip(*(os.pipe2(os.O_CLOEXEC) for _ in ("stdout", "stderr")), strict=True)
    ends = {name: End(descriptor) for name, descriptor in zip(("stdout", "stderr"), ours, strict=True)}
    try:
        answer, received = await client.request_descriptors(
            shim, "attach", given, name=container.name, attempt=container.attempt, stdin=wanted.stdin
        )
    except BaseException as error:
        for end in ends.values():
            end.close()
        raise _failure(error, container.name) from error
    finally:
        for descriptor in given:
            os.close(descriptor)
    handed = End(received[0]) if received else None
    if handed is not None and answer["stdin"]:
        ends["stdin"] = handed
    return Session(ends, handed if answer["tty"] else None, None)


def _pipes(wanted: types.Streams) -> tuple[list[int], dict[str, End]]:
    """The program's three descriptors, and our ends of those that the client wants."""
    given: list[int] = []
    ends: dict[str, End] = {}
    for name, is_wanted in (("stdin", wanted.stdin), ("stdout", wanted.stdout), ("stderr", wanted.stderr)):
        if not is_wanted:
            given.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
            continue
        read, write = os.pipe2(os.O_CLOEXEC)
        theirs, ours = (read, write) if name == "stdin" else (write, read)
        given.append(theirs)
        ends[name] = End(ours)
    return given, ends


async def _connected(shim: Path, name: str) -> client.Channel:
    try:
        return await client.Channel.connect(shim)
    except client.Gone as error:
        raise _failure(error, name) from error


async def _console(channel: client.Channel) -> End:
    _, received = await channel.answer()
    if not received:
        raise client.Gone("no terminal was given")
    return End(received[0])


async def _end_of(channel: client.Channel) -> types.Ended:
    try:
        answer, _ = await channel.answer()
        return types.Ended(int(answer["exit_code"]))
    except (client.Gone, wire.Refused) as error:
        return types.Ended(failure=str(error))


def _failure(error: BaseException, name: str) -> BaseException:
    """A runtime's failure in the place of the keeper's own errors; anything else as it is."""
    if isinstance(error, wire.Refused):
        return types.RuntimeFailure(error.reason, error.message)
    if isinstance(error, client.Gone):
        return types.RuntimeFailure("NotRunning", f"container {name} is not running: {error}")
    return error


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
