"""The folder as the agent sees it: what it holds now, at which commit, and a nudge when it may have changed.

Joins the scan (folder.py), the checkout (git.py) and the watch (watch.py). What reads files runs in a thread.
"""

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.gitops import folder, git, load, report, watch
from reconciler.kit import clock as clocks

SHORT = 12  # letters of a commit's hash in provenance
MAX_LOOKS = 3  # in a row, while directories that were not watched yet are found
GIT_MARKS = frozenset({"HEAD", "index"})  # what git replaces when it is done


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the folder. With `halt` nothing else in it means anything."""

    scan: folder.Scan
    halt: report.Halt | None = None
    commit: str = ""
    unwatched: str = ""  # why changes are only found by looking


class Source:
    """`changed` is called when a look is worth while."""

    def __init__(self, root: Path, clock: clocks.Clock, changed: Callable[[], None]) -> None:
        self._root = root.absolute()
        self._folder = folder.Folder(self._root)
        self._watch = watch.Watch(changed, clock)
        self._git: Path | None = None
        self._prefix = ""  # of the folder within the checkout
        self._indexed: tuple[tuple[int, int], Mapping[str, bytes]] = ((0, 0), {})
        self._blobs: Mapping[str, bytes] = {}
        self._commit = ""

    async def look(self) -> Look:
        """The folder as it is. What changes while it is being looked at causes a call of `changed`."""
        for _ in range(MAX_LOOKS):
            look = await asyncio.to_thread(self._look)
            has_new, unwatched = self._watch.follow(self._places(look.scan))
            if not has_new:
                break
        return dataclasses.replace(look, unwatched=unwatched)

    def close(self) -> None:
        self._watch.close()

    def is_unfinished(self) -> bool:
        """Whether somebody is in the middle of writing a file, or git of rewriting the checkout."""
        return self._watch.is_written() or (self._git is not None and git.is_busy(self._git))

    def origin(self, document: load.Document) -> str:
        """Where a document comes from, for its provenance: "apps/web.yaml:12 (commit 1a2b3c4d5e6f)"."""
        made = f"{document.source} by {document.unit}" if document.unit else document.source
        if not self._commit:
            return made
        committed = self._indexed[1].get(os.path.normpath(self._prefix + document.path))
        relation = "commit" if committed == self._blobs.get(document.path) else "uncommitted, after"
        return f"{made} ({relation} {self._commit[:SHORT]})"

    def _look(self) -> Look:
        scan = self._folder.scan()
        if scan.missing:
            return Look(scan, report.Halt("SourceMissing", f"{self._root} does not exist; nothing is deleted"))
        if scan.unreadable:
            return Look(scan, report.Halt("SourceUnreadable", f"{scan.unreadable}; nothing is deleted"))
        self._read_checkout()
        self._blobs = scan.blobs
        return Look(scan, commit=self._commit)

    def _places(self, scan: folder.Scan) -> Iterable[watch.Place]:
        """The folder's directories; above them the root's own entry, for it may be a link that is swapped; git's marks."""
        for path, inode in scan.directories.items():
            yield watch.Place(path, inode)
        around = [(self._root.parent, frozenset({self._root.name}))]
        if self._git is not None:
            around.append((self._git, GIT_MARKS))
        for directory, names in around:
            with contextlib.suppress(OSError):
                status = directory.stat()
                yield watch.Place(str(directory), (status.st_dev, status.st_ino), names)

    def _read_checkout(self) -> None:
        found = git.repository(self._root)
        if found is None:
            self._git, self._commit = None, ""
            return
        top, self._git = found
        self._commit = git.head(self._git)
        self._prefix = os.path.relpath(os.path.realpath(self._root), top).removeprefix(".")
        self._prefix += "/" if self._prefix else ""
        try:
            status = (self._git / "index").stat()
        except OSError:
            self._indexed = ((0, 0), {})
            return
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp != self._indexed[0]:
            self._indexed = (stamp, git.index(self._git))
