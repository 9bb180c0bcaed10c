"""Notices that something in a folder may have changed; what did, the next scan finds out (folder.py).

watchdog's inotify queue, one thread for all directories (docs/adr/0006). They are watched one by one, as the scan
lists them, so hidden trees (.git) cost nothing and links to directories are followed. Events are hints and may get
lost (a full queue, network file systems): a full queue calls for a look, and the agent also looks from time to time.
Where the machine has no watches left, looking is all there is, and `follow` says so.

A file that was written and not closed yet is remembered: half of it must not be taken for the whole.
"""

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.kit import clock as clocks

if TYPE_CHECKING:
    from watchdog.observers import inotify_c

MAX_OPEN = 1000
WRITE_SECONDS = 0.2  # after which a file that was written and not closed is taken as it is
STOP_SECONDS = 2.0

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
        self._queue: inotify_c.InotifyFD | None = None
        self._ears: dict[Place, _Ear] = {}
        self._news = _News(clock)

    def follow(self, places: Iterable[Place]) -> tuple[bool, str]:
        """Watch exactly `places`: whether some are new (what they hold may have changed before), and what failed."""
        if self._queue is None:
            self._news.start(self._changed)
        try:
            queue = self._queue = self._queue or _open_queue()
        except OSError as error:
            return False, f"the folder cannot be watched: {_reason(error)}"
        wanted = set(places)
        unwanted = [(place, ear) for place, ear in self._ears.items() if place not in wanted or ear.is_deaf]
        for place, _ in unwanted:
            del self._ears[place]
        queue.remove_callbacks([(ear.descriptor, ear.id) for _, ear in unwanted])
        new = sorted(wanted - self._ears.keys(), key=lambda place: place.path)
        failures = [failure for place in new if (failure := self._add(queue, place))]
        return len(new) > len(failures), failures[0] if failures else ""

    def is_written(self) -> bool:
        """Whether a file is in the middle of being written."""
        return self._news.is_written()

    def close(self) -> None:
        if self._queue is not None:
            self._queue.stop()
            self._queue.join(STOP_SECONDS)
            self._queue = None

    def _add(self, queue: "inotify_c.InotifyFD", place: Place) -> str:
        ear = _Ear(place, self._news)
        try:
            ear.descriptor = queue.add_callback(os.fsencode(place.path), _mask(), ear, ear.id)
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"{place.path} cannot be watched: {_reason(error)}"
        if ear.descriptor < 0:  # watchdog raises for every failure but this one
            queue.remove_callbacks([(ear.descriptor, ear.id)])
            return f"{place.path} cannot be watched: {os.strerror(errno.EACCES)}"
        self._ears[place] = ear
        return ""


class _News:
    """What watchdog's thread has heard and the event loop has not; however much that is, the loop is woken once."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wake: Callable[[], object] | None = None
        self._is_waking = False
        self._open: dict[tuple[int, bytes], float] = {}  # files written and not closed yet, when last (monotonic)

    def start(self, changed: Callable[[], None]) -> None:
        """Call `changed` in the running loop from now on."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            with self._lock:
                self._is_waking = False
            changed()

        with self._lock:
            self._wake = lambda: loop.call_soon_threadsafe(tell)

    def add(self) -> None:
        with self._lock:
            if self._wake is not None and not self._is_waking:
                self._is_waking = True
                self._wake()

    def written(self, file: tuple[int, bytes], *, is_open: bool) -> None:
        """A file was written to, or closed or replaced."""
        with self._lock:
            if not is_open:
                self._open.pop(file, None)
            elif len(self._open) < MAX_OPEN:
                self._open[file] = self._clock.monotonic()

    def is_written(self) -> bool:
        since = self._clock.monotonic() - WRITE_SECONDS
        with self._lock:
            self._open = {file: at for file, at in self._open.items() if at > since}
            return bool(self._open)


class _Ear:
    """What watchdog's thread calls for one place. Each place has its own, so two may share a directory."""

    def __init__(self, place: Place, news: _News) -> None:
        self._names = frozenset(os.fsencode(name) for name in place.names)
        self._news = news
        self.id: inotify_c.CallbackId = id(self)  # type: ignore[assignment]  # as watchdog makes its own
        self.descriptor: inotify_c.WatchDescriptor = -1  # type: ignore[assignment]
        self.is_deaf = False  # the directory is gone, its path and even its inode may come back

    def on_event(self, event: "inotify_c.InotifyEvent") -> None:
        if self._names and event.name not in self._names:
            return
        self._news.written((event.wd, event.name), is_open=event.is_modify)
        self._news.add()

    def on_watch_deleted(self, wd: "inotify_c.WatchDescriptor") -> None:
        self.is_deaf = True

    def on_queue_overflow(self) -> None:
        self._news.add()


def _open_queue() -> "inotify_c.InotifyFD":
    from watchdog.observers import inotify_c  # 10 ms, not needed before the API listens

    queue = inotify_c.InotifyFD()
    queue.start()
    return queue


def _mask() -> "inotify_c.Mask":
    from watchdog.observers.inotify_c import InotifyConstants as Bits
    from watchdog.observers.inotify_c import Mask

    change = Bits.IN_MODIFY | Bits.IN_ATTRIB | Bits.IN_CLOSE_WRITE | Bits.IN_MOVE | Bits.IN_CREATE | Bits.IN_DELETE
    return Mask(change | Bits.IN_DELETE_SELF | Bits.IN_MOVE_SELF | Bits.IN_ONLYDIR)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "no watches left, raise fs.inotify.max_user_watches"
    if error.errno == errno.EMFILE:
        return "no inotify instances left, raise fs.inotify.max_user_instances"
    return error.strerror or str(error)
