"""The container log format of the CRI: `2016-10-06T00:17:09.669794202Z stdout F text`.

F ends a line, P is a part of one longer than MAX_LINE_BYTES or not yet ended. A file that has grown too large is
renamed to NAME.YYYYmmdd-HHMMSS.N, and the oldest of those are removed.
"""

from __future__ import annotations

import os
import time

MAX_LINE_BYTES = 16384


def open_log(path: str) -> int:
    """The descriptor of a log that is appended to."""
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def rotate(path: str, max_files: int) -> int:
    """Set the log aside, remove the oldest beyond `max_files` (the current one counted) and open a new one."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    os.rename(path, f"{path}.{stamp}.{time.monotonic_ns():020d}")
    rotated = rotated_files(path)
    for old in rotated[: max(0, len(rotated) - (max(1, max_files) - 1))]:
        os.unlink(old)
    return open_log(path)


class Stream:
    """Turns the bytes of one stream into entries; keeps less than a line between reads."""

    def __init__(self, name: str) -> None:
        self.name = name
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
    """Now in RFC 3339 with nine digits. By hand: strftime costs a shim thirty pages of memory."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    days, seconds = divmod(seconds, 86400)
    # Howard Hinnant's civil_from_days: years begin in March, eras have 400 years.
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    month += 3 if month < 10 else -9
    year += era * 400 + (month <= 2)
    clock = seconds // 3600, seconds // 60 % 60, seconds % 60
    return b"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ" % (year, month, day, *clock, nanoseconds)


def rotated_files(path: str) -> list[str]:
    """The rotated predecessors of a log, oldest first."""
    folder, name = os.path.split(path)
    try:
        files = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(os.path.join(folder, file) for file in files if file.startswith(name + "."))
