"""The container log format of the CRI: `2016-10-06T00:17:09.669794202Z stdout F text`.

F ends a line, P is a part of one longer than MAX_LINE_BYTES or not yet ended. A file that reaches `max_bytes` is
renamed to NAME.YYYYmmdd-HHMMSS.N and the oldest beyond `max_files` (the current one counted) are removed. What
cannot be written (a full disk) is dropped and counted: a container never blocks on its log.
"""

from __future__ import annotations

import os
import time

MAX_LINE_BYTES = 16384


class Writer:
    """One container's log file, shared by its streams."""

    def __init__(self, path: str, max_bytes: int, max_files: int) -> None:
        self.path = path
        self.dropped_bytes = 0
        self._max_bytes = max_bytes
        self._max_files = max(1, max_files)
        self._rotations = 0
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        self._open()

    def write(self, entries: bytes) -> None:
        if self._size and self._size + len(entries) > self._max_bytes > 0:
            self._rotate()
        try:
            self._size += os.write(self._descriptor, entries)
        except OSError:
            self.dropped_bytes += len(entries)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> None:
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        self._rotations += 1
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        try:
            os.rename(self.path, f"{self.path}.{stamp}.{self._rotations:06d}")
            rotated = rotated_files(self.path)
            for old in rotated[: max(0, len(rotated) - (self._max_files - 1))]:
                os.unlink(old)
            self.close()
            self._open()
        except OSError:
            self._size = 0  # try again after another max_bytes


class Stream:
    """Turns the bytes of one stream into entries; keeps less than a line between reads."""

    def __init__(self, name: str) -> None:
        self._full = f" {name} F ".encode()
        self._part = f" {name} P ".encode()
        self._rest = b""

    def entries(self, data: bytes) -> bytes:
        stamp = timestamp()
        full = stamp + self._full
        *lines, rest = (self._rest + data).split(b"\n")
        out = []
        for line in lines:
            while len(line) > MAX_LINE_BYTES:
                out.append(stamp + self._part + line[:MAX_LINE_BYTES])
                line = line[MAX_LINE_BYTES:]
            out.append(full + line)
        while len(rest) >= MAX_LINE_BYTES:
            out.append(stamp + self._part + rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        self._rest = rest
        out.append(b"")
        return b"\n".join(out)

    def end(self) -> bytes:
        """The last line, where it had no newline."""
        rest, self._rest = self._rest, b""
        return timestamp() + self._part + rest + b"\n" if rest else b""


def timestamp() -> bytes:
    """Now in RFC 3339 with nine digits."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return b"%s.%09dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode(), nanoseconds)


def rotated_files(path: str) -> list[str]:
    """The rotated predecessors of a log, oldest first."""
    folder, name = os.path.split(path)
    try:
        files = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(os.path.join(folder, file) for file in files if file.startswith(name + "."))
