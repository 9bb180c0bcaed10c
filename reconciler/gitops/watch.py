"""Notices that something in a folder may have changed; what did, the next scan finds out (folder.py).

inotify through the event loop: no thread, a tenth of a millisecond from the save to the callback. Directories are
watched one by one, as the scan lists them, so hidden trees (.git) cost nothing and links to directories are followed.
Events are hints and may get lost (a full queue, network file systems): the agent also looks from time to time. Where
the machine has no watches left, looking is all there is, and `follow` says so.

A file that was written and not closed yet is remembered: half of it must not be taken for the whole.
"""

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reconciler.kit import clock as clocks

MODIFY, ATTRIB, CLOSE_WRITE = 0x2, 0x4, 0x8
MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF = 0x40, 0x80, 0x100, 0x200, 0x400, 0x800
IGNORED, ONLYDIR = 0x8000, 0x0100_0000
_MASK = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF | ONLYDIR
_EVENT = struct.Struct("iIII")  # struct inotify_event: watch, mask, cookie, length of the name that follows
_BUFFER_BYTES = 64 << 10

MAX_OPEN = 1000
WRITE_SECONDS = 0.2  # after which a file that was written and not closed is taken as it is

Inode = tuple[int, int]  # device, inode: a directory made anew is another one


@dataclass(frozen=True, slots=True)
class Place:
    """A directory to watch. `names`: only these entries matter, all if empty."""

    path: str
    inode: Inode
    names: frozenset[str] = frozenset()


class Watch:
    """Calls `changed` in the event loop after anything that might concern the watched directories."""

    def __init__(self, changed: Callable[[], None], clock: clocks.Clock) -> None:
        self._changed = changed
        self._clock = clock
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = -1
        self._watches: dict[Place, int] = {}
        self._names: dict[int, frozenset[str]] = {}  # watch -> names that matter, empty for all
        self._open: dict[tuple[int, bytes], float] = {}  # files written and not closed yet, when last (monotonic)

    def follow(self, places: Iterable[Place]) -> tuple[bool, str]:
        """Watch exactly `places`: whether some are new (what they hold may have changed before), and what failed."""
        if self._descriptor < 0 and (failure := self._open_queue()):
            return False, failure
        wanted = set(places)
        for place in self._watches.keys() - wanted:
            self._remove(place)
        new = sorted(wanted - self._watches.keys(), key=lambda place: place.path)
        failures = [failure for place in new if (failure := self._add(place))]
        return len(new) > len(failures), failures[0] if failures else ""

    def is_written(self) -> bool:
        """Whether a file is in the middle of being written."""
        now = self._clock.monotonic()
        return any(now - at < WRITE_SECONDS for at in self._open.values())

    def close(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _open_queue(self) -> str:
        descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            return f"inotify: {os.strerror(ctypes.get_errno())}"
        self._descriptor = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._read)
        return ""

    def _add(self, place: Place) -> str:
        watch = self._libc.inotify_add_watch(self._descriptor, os.fsencode(place.path), _MASK)
        if watch < 0:
            code = ctypes.get_errno()
            return f"{place.path} cannot be watched: {_reason(code)}" if code != errno.ENOENT else ""
        self._watches[place] = watch
        if watch in self._names:
            self._names[watch] = self._names[watch] | place.names if self._names[watch] and place.names else frozenset()
        else:
            self._names[watch] = place.names
        return ""

    def _remove(self, place: Place) -> None:
        watch = self._watches.pop(place)
        if watch not in self._watches.values():
            self._libc.inotify_rm_watch(self._descriptor, watch)
            self._names.pop(watch, None)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _BUFFER_BYTES)
        except BlockingIOError:
            return
        offset, concerned = 0, False
        while offset < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, offset)
            name = data[offset + _EVENT.size : offset + _EVENT.size + length].rstrip(b"\0")
            offset += _EVENT.size + length
            concerned = self._concerns(watch, mask, name) or concerned
        if concerned:
            self._changed()

    def _concerns(self, watch: int, mask: int, name: bytes) -> bool:
        """Whether an event is about something of ours; an overflow of the queue (watch -1) always is."""
        if mask & IGNORED:
            return False
        names = self._names.get(watch, frozenset())
        if names and os.fsdecode(name) not in names:
            return False
        if not mask & MODIFY:
            self._open.pop((watch, name), None)
        elif len(self._open) < MAX_OPEN:
            self._open[watch, name] = self._clock.monotonic()
        return True


def _reason(code: int) -> str:
    if code == errno.ENOSPC:
        return "no watches left, raise fs.inotify.max_user_watches"
    return os.strerror(code)
