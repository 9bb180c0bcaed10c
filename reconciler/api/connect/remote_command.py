"""exec and attach: a client's streams and a program's, coupled until one of them ends.

The program's end is told as a Status on the error channel: Success, NonZeroExitCode with its code as a cause, or what went
wrong. The client's end closes the session, which ends a program that was run for it. Nothing is buffered here but the
piece under way.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

import orjson
from aiohttp import web

from reconciler.api import options
from reconciler.api.backend import Ended, Session, StreamOptions
from reconciler.api.connect import limits, spdy, upgrade, websockets
from reconciler.kit import tasks
from reconciler.model import errors

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
STREAM_CREATION_SECONDS = 30.0  # kubelet's own
RESIZE_MOST_BYTES = 4096
SPDY_PROTOCOLS: Mapping[str, int] = {"v4.channel.k8s.io": 4, "v3.channel.k8s.io": 3, "v2.channel.k8s.io": 2, "channel.k8s.io": 1}
Opening = Callable[[], Awaitable[Session]]  # raises NotStarted
NO_STREAMS = "you must specify at least 1 of stdin, stdout, stderr"


class NotStarted(Exception):
    """The node refuses, in kubelet's words."""


class Client(Protocol):
    """The numbered channels of one client."""

    @property
    def version(self) -> int: ...

    async def receive(self) -> tuple[int, bytes] | None: ...

    async def send(self, channel: int, data: bytes) -> None: ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


def options_of(query: options.Query) -> StreamOptions:
    """PodExecOptions or PodAttachOptions of a query. Raises StatusError 400."""
    wanted = StreamOptions(stdin=query.flag("stdin"), stdout=query.flag("stdout"), stderr=query.flag("stderr"), tty=query.flag("tty"))
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise errors.bad_request(NO_STREAMS)
    return replace(wanted, stderr=False) if wanted.tty else wanted


async def serve_websocket(request: web.BaseRequest, wanted: StreamOptions, open_session: Opening) -> web.StreamResponse:
    """What keeps the program from running is told on the error channel to those who understand it, else with a status code."""
    chosen = websockets.chosen(request, websockets.PROTOCOLS)
    early = await open_session() if chosen.version < 5 else None  # refused with a status code
    async with _closing(early):
        socket = await websockets.opened(request, chosen.name)
        client = websockets.Channels(socket, chosen)
        try:
            await client.send(STDOUT if wanted.stdout else STDERR if wanted.stderr else ERROR, b"")  # that the connection stands
            session = early or await open_session()
        except NotStarted as error:
            refused = errors.StatusError(500, "InternalError", f"Internal error occurred: unable to upgrade connection: {error}")
            await _send_status(client, refused.status())
        else:
            await couple(client, session, wanted)
        await client.close()
    return socket


async def serve_spdy(request: web.BaseRequest, wanted: StreamOptions, open_session: Opening) -> web.StreamResponse:
    offered = [name.strip() for name in ",".join(request.headers.getall("X-Stream-Protocol-Version", ())).split(",") if name.strip()]
    name = next((name for name in offered if name in SPDY_PROTOCOLS), None if offered else "")
    if name is None:
        known = " ".join(SPDY_PROTOCOLS)
        detail = f"unable to upgrade: unable to negotiate protocol: client supports [{' '.join(offered)}], server accepts [{known}]"
        raise errors.StatusError(403, "Forbidden", detail)
    session = await open_session()
    async with _closing(session):
        headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", **({"X-Stream-Protocol-Version": name} if name else {})}
        client = SpdyClient(upgrade.Raw.switch(request, headers), wanted, SPDY_PROTOCOLS.get(name, 1))
        try:
            await client.opened()
            await couple(client, session, wanted)
        finally:
            await client.close()
    return upgrade.Switched()


@contextlib.asynccontextmanager
async def _closing(session: Session | None) -> AsyncIterator[None]:
    """Whatever happens, the session ends; that the client is gone is nothing to tell."""
    try:
        with contextlib.suppress(ConnectionError):
            yield
    finally:
        if session is not None:
            await session.close()


class SpdyClient:
    """The channels of a client that opens a SPDY stream for each."""

    _NUMBERS: Final = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}

    def __init__(self, carrier: upgrade.ByteStream, wanted: StreamOptions, version: int) -> None:
        self.version = version
        self._connection = spdy.Connection(carrier, self._accept)
        flags = {STDIN: wanted.stdin, STDOUT: wanted.stdout, STDERR: wanted.stderr, ERROR: True, RESIZE: wanted.tty and version >= 3}
        self._expected = {number for number, is_wanted in flags.items() if is_wanted}
        self._streams: dict[int, spdy.Stream] = {}
        self._complete = asyncio.Event()
        self._received: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(1)
        self._tasks = [asyncio.create_task(self._run(), name="SPDY connection")]

    async def opened(self) -> None:
        """Raises ConnectionError where the client does not open the streams that it asked for."""
        complete = asyncio.create_task(self._complete.wait())
        done, _ = await asyncio.wait((complete, self._tasks[0]), timeout=STREAM_CREATION_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        complete.cancel()
        if complete not in done:
            raise ConnectionError("the client does not open its streams")
        for number in (STDIN, RESIZE):
            if number in self._streams:
                self._tasks.append(asyncio.create_task(self._forward(number), name="SPDY stream"))

    async def receive(self) -> tuple[int, bytes] | None:
        return await self._received.get()

    async def send(self, channel: int, data: bytes) -> None:
        await self._streams[channel].write(data)

    async def close(self) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                for number in (STDOUT, STDERR, ERROR):
                    if number in self._streams:
                        await self._streams[number].end()
            await self._connection.close()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, stream: spdy.Stream) -> bool:
        number = self._NUMBERS.get(stream.headers.get("streamtype", ""))
        if number not in self._expected or number in self._streams:
            return False
        self._streams[number] = stream
        if self._streams.keys() == self._expected:
            self._complete.set()
        return True

    async def ping(self) -> None:
        await self._connection.ping()

    async def _run(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._connection.run()
        await self._received.put(None)

    async def _forward(self, number: int) -> None:
        while data := await self._streams[number].read():
            await self._received.put((number, data))
        if number == STDIN:
            await self._received.put((websockets.CLOSE, bytes((STDIN,))))


async def couple(client: Client, session: Session, wanted: StreamOptions) -> None:
    """Until the program ends or the client goes; the session is closed then."""
    async with _closing(session), limits.idle() as idle:
        coupling = _Coupling(client, session, wanted, idle)
        await tasks.until_one_ends(coupling.inward(), coupling.outward(), _keep_asking(client))


async def _keep_asking(client: Client) -> None:
    """Return once the client cannot be reached."""
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(limits.PING_SECONDS)
            await client.ping()


class _Coupling:
    def __init__(self, client: Client, session: Session, wanted: StreamOptions, idle: limits.Idle) -> None:
        self._client, self._session, self._wanted, self._idle = client, session, wanted, idle
        self._sizes = b""

    async def inward(self) -> None:
        """Return when the client is gone."""
        while (message := await self._client.receive()) is not None:
            channel, data = message
            self._idle.moved()
            if channel == STDIN and self._wanted.stdin:
                await self._session.write(data)
            elif channel == RESIZE:
                self._resize(data)
            elif channel == websockets.CLOSE and data[:1] == bytes((STDIN,)):
                self._session.end_input()

    async def outward(self) -> None:
        """Return when the program has ended and the client knows, or the client is gone."""
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(
                self._copy("stdout", STDOUT, is_wanted=self._wanted.stdout), self._copy("stderr", STDERR, is_wanted=self._wanted.stderr)
            )
            await _send_status(self._client, _status_of(await self._session.ended()))

    async def _copy(self, stream: Any, channel: int, *, is_wanted: bool) -> None:
        while data := await self._session.read(stream):
            self._idle.moved()
            if is_wanted:
                await self._client.send(channel, data)

    def _resize(self, data: bytes) -> None:
        """Sizes are JSON objects, one a line; the last whole one counts."""
        *lines, self._sizes = (self._sizes + data).split(b"\n")
        if self._sizes.endswith(b"}"):
            lines, self._sizes = [*lines, self._sizes], b""
        self._sizes = self._sizes[-RESIZE_MOST_BYTES:]
        for line in lines[-1:]:
            try:
                size = orjson.loads(line)
                columns, rows = size["Width"], size["Height"]
                self._session.resize(min(int(columns), 0xFFFF), min(int(rows), 0xFFFF))
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                continue


def _status_of(ended: Ended) -> dict[str, Any]:
    if ended.failure:
        message = f"Internal error occurred: error executing command in container: {ended.failure}"
        return errors.StatusError(500, "InternalError", message).status()
    if not ended.exit_code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: command terminated with exit code {ended.exit_code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(ended.exit_code)}]},
    }


async def _send_status(client: Client, status: dict[str, Any]) -> None:
    """Protocols before the fourth version know text only, and none of it for success."""
    if client.version >= 4:
        await client.send(ERROR, orjson.dumps(status))
    elif status["status"] != "Success":
        await client.send(ERROR, status["message"].encode())
