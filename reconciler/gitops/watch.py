"""Notices that something in a folder may have changed. What did, the next scan finds out (folder.py).

Watches the tree, the directory above it (the root itself may be a link that is swapped, or vanish and come back) and
the targets of links to directories. Events are hints and may get lost (a full queue, network file systems), which
is why the agent also looks from time to time. Where the machine has no watches left, looking is all there is.

`changed` is called from watchdog's thread. `follow` blocks and is called from one thread at a time.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

MAX_LINKS = 32
_STOP_SECONDS = 2.0

_Place = tuple[str, int, bool]  # path, inode (a directory made anew is another), recursive


class Watch:
    """Calls `changed` after anything that might concern the folder at `root`."""

    def __init__(self, root: Path, changed: Callable[[], None]) -> None:
        self._root = root.absolute()
        self._changed = changed
        self._observer: Any = None
        self._watches: dict[_Place, Any] = {}

    def follow(self, links: Iterable[str] = ()) -> str:
        """Watch the folder as it is now; why that is not possible, "" when it is."""
        if self._observer is None:
            from watchdog import observers  # 50 ms to import, not needed to begin with

            self._observer = observers.Observer()
            self._observer.start()
        wanted = self._wanted(links)
        for place in self._watches.keys() - wanted:
            self._observer.unschedule(self._watches.pop(place))
        failure = ""
        for place in sorted(wanted - self._watches.keys()):
            try:
                self._watches[place] = self._schedule(place)
            except OSError as error:
                failure = f"{place[0]} cannot be watched: {error.strerror or error}"
        return failure

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(_STOP_SECONDS)

    def _wanted(self, links: Iterable[str]) -> set[_Place]:
        targets = sorted(links)[:MAX_LINKS]
        places = {_place(str(self._root.parent), recursive=False), _place(os.path.realpath(self._root), recursive=True)}
        places |= {_place(target, recursive=True) for target in targets}
        return {place for place in places if place is not None}

    def _schedule(self, place: _Place) -> Any:
        from watchdog import events

        handler = _Handler(self._noticed_above if not place[2] else self._noticed_below(place[0]))
        kinds: list[Any] = [events.FileCreatedEvent, events.FileModifiedEvent, events.FileClosedEvent, events.FileDeletedEvent]
        kinds += [events.FileMovedEvent, events.DirCreatedEvent, events.DirDeletedEvent, events.DirMovedEvent]
        return self._observer.schedule(handler, place[0], recursive=place[2], event_filter=kinds)

    def _noticed_above(self, path: str) -> None:
        """Of the directory above, only the root's own entry matters."""
        if path == str(self._root):
            self._changed()

    def _noticed_below(self, top: str) -> Callable[[str], None]:
        """Git's own bookkeeping is no change of the folder."""
        prefix = os.path.join(top, ".git")

        def noticed(path: str) -> None:
            if not path.startswith(prefix):
                self._changed()

        return noticed


class _Handler:
    """What watchdog calls for every event."""

    def __init__(self, noticed: Callable[[str], None]) -> None:
        self._noticed = noticed

    def dispatch(self, event: Any) -> None:
        for path in {os.fsdecode(event.src_path), os.fsdecode(getattr(event, "dest_path", "") or event.src_path)}:
            self._noticed(path)


def _place(path: str, *, recursive: bool) -> _Place | None:
    try:
        return path, os.stat(path).st_ino, recursive
    except OSError:
        return None
