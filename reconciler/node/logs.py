"""Container logs as clients ask for them: the API's NodeBackend over the files that shims write.

Reads the rotated files and the current one as one sequence; following goes on across rotations and ends with the
container. Partial entries are joined. Times compare as text, for all are RFC 3339 in UTC with nine digits.
"""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from reconciler.kit import clock as clocks
from reconciler.model import errors, meta
from reconciler.node import observed
from reconciler.node.keeper import crilog
from reconciler.node.runtimes import types

CHUNK_BYTES = 1 << 16
FOLLOW_SECONDS = 0.1  # how often a followed file is looked at
MAX_ENTRY_BYTES = crilog.MAX_LINE_BYTES + 128


class Options(Protocol):
    """api.backend.LogOptions."""

    @property
    def follow(self) -> bool: ...

    @property
    def previous(self) -> bool: ...

    @property
    def timestamps(self) -> bool: ...

    @property
    def tail_lines(self) -> int | None: ...

    @property
    def limit_bytes(self) -> int | None: ...

    @property
    def since(self) -> float | None: ...

    @property
    def stream(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Entry:
    time: bytes
    stream: bytes
    is_whole: bool  # ends its line
    text: bytes


class Logs:
    """Implements NodeBackend.logs for the pods of one runtime."""

    def __init__(self, runtime: types.Runtime, clock: clocks.Clock) -> None:
        self._runtime = runtime
        self._clock = clock

    async def logs(self, pod: meta.Obj, container: str, options: Options) -> AsyncIterator[bytes]:
        """Raises StatusError before the first piece where there is no such log."""
        attempt = self._attempt(pod, container, previous=options.previous)
        path = self._runtime.log_path(meta.uid(pod), container, attempt)
        if path is None:
            raise errors.bad_request(f'the logs of container "{container}" in pod "{meta.name(pod)}" are gone')
        shown = _Shown(options)
        reader = _Reader(path)
        try:
            for piece in shown.backlog(reader):
                yield piece
            while options.follow and not shown.is_full:
                ended = not self._is_running(pod, container, attempt)
                for piece in shown.pieces(reader.entries()):
                    yield piece
                if ended:
                    break
                await self._clock.sleep(FOLLOW_SECONDS)
        finally:
            reader.close()

    def _attempt(self, pod: meta.Obj, container: str, *, previous: bool) -> int:
        sandbox = self._runtime.sandboxes().get(meta.uid(pod))
        latest = sandbox.latest(container) if sandbox is not None else None
        if previous:
            if sandbox is None or latest is None or not any(c.name == container and c.attempt < latest.attempt for c in sandbox.containers):
                raise errors.bad_request(f'previous terminated container "{container}" in pod "{meta.name(pod)}" not found')
            return max(c.attempt for c in sandbox.containers if c.name == container and c.attempt < latest.attempt)
        if latest is None:
            waiting = observed.status_of(pod, container).get("state")
            reason = (waiting.get("waiting") or {}).get("reason") if isinstance(waiting, dict) else None
            why = f"waiting to start: {reason or 'ContainerCreating'}"
            raise errors.bad_request(f'container "{container}" in pod "{meta.name(pod)}" is {why}')
        return latest.attempt

    def _is_running(self, pod: meta.Obj, container: str, attempt: int) -> bool:
        sandbox = self._runtime.sandboxes().get(meta.uid(pod))
        return sandbox is not None and any((c.name, c.attempt) == (container, attempt) and observed.runs(c) for c in sandbox.containers)


class _Reader:
    """Entries of a log from its oldest file on; call again for what has come since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting = [Path(old) for old in crilog.rotated_files(str(path))] if path.parent.is_dir() else []
        self._waiting.append(path)
        self._file: IO[bytes] | None = None
        self._rest = b""

    def entries(self) -> Iterator[Entry]:
        while True:
            if self._file is None and not self._open_next():
                return
            yield from self._read()
            if not self._moved_on():
                return

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open_next(self) -> bool:
        while self._waiting:
            try:
                self._file = self._waiting.pop(0).open("rb")
            except FileNotFoundError:
                continue  # rotated away meanwhile
            return True
        return False

    def _read(self) -> Iterator[Entry]:
        assert self._file is not None
        while data := self._file.read(CHUNK_BYTES):
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                parts = line.split(b" ", 3)
                if len(parts) == 4:
                    yield Entry(parts[0], parts[1], parts[2] == b"F", parts[3])

    def _moved_on(self) -> bool:
        """Whether another file follows the one that was read to its end."""
        assert self._file is not None
        if not self._waiting:
            try:
                current = os.stat(self._path)
            except FileNotFoundError:
                return False
            if current.st_ino == os.fstat(self._file.fileno()).st_ino:
                return False
            newer = [Path(old) for old in crilog.rotated_files(str(self._path)) if Path(old).stat().st_ctime_ns > self._opened_ns()]
            self._waiting = [*newer, self._path]
        self._file.close()
        self._file, self._rest = None, b""
        return True

    def _opened_ns(self) -> int:
        assert self._file is not None
        return os.fstat(self._file.fileno()).st_ctime_ns


class _Shown:
    """What the options leave of the entries, and how it looks."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._since = _timestamp(options.since).encode() if options.since is not None else b""
        self._left = options.limit_bytes
        self._within_line = False

    @property
    def is_full(self) -> bool:
        return self._left is not None and self._left <= 0

    def backlog(self, reader: _Reader) -> Iterator[bytes]:
        """What is there already; with tail_lines only its end."""
        entries = filter(self._wanted, reader.entries())
        tail = self._options.tail_lines
        if tail is None:
            yield from self._formatted(entries)
            return
        kept: list[Entry] = []
        lines = 0
        for entry in entries:
            kept.append(entry)
            lines += entry.is_whole
            while lines > tail:
                lines -= kept.pop(0).is_whole
        yield from self._formatted(iter(kept if tail else ()))

    def pieces(self, entries: Iterator[Entry]) -> Iterator[bytes]:
        yield from self._formatted(filter(self._wanted, entries))

    def _wanted(self, entry: Entry) -> bool:
        stream = self._options.stream
        return entry.time >= self._since and (stream in ("", "All") or entry.stream == stream.lower().encode())

    def _formatted(self, entries: Iterator[Entry]) -> Iterator[bytes]:
        batch: list[bytes] = []
        size = 0
        for entry in entries:
            prefix = entry.time + b" " if self._options.timestamps and not self._within_line else b""
            self._within_line = not entry.is_whole
            piece = prefix + entry.text + (b"\n" if entry.is_whole else b"")
            batch.append(piece)
            size += len(piece)
            if size >= CHUNK_BYTES or (self._left is not None and size >= self._left):
                yield self._cut(b"".join(batch))
                batch, size = [], 0
                if self.is_full:
                    return
        if batch:
            yield self._cut(b"".join(batch))

    def _cut(self, piece: bytes) -> bytes:
        if self._left is None:
            return piece
        piece = piece[: self._left]
        self._left -= len(piece)
        return piece


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
