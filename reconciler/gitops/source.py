"""The folder as the agent sees it: what it holds now, at which commit, and a nudge when it may have changed.

Joins the scan (folder.py), the checkout (git.py) and the watch (watch.py). Everything that blocks runs in a thread.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.gitops import folder, git, load, report, watch

SHORT = 12  # letters of a commit's hash in provenance


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the folder. With `halt` nothing else in it means anything."""

    scan: folder.Scan
    halt: report.Halt | None = None
    commit: str = ""
    unwatched: str = ""  # why changes are only found by looking


class Source:
    """`changed` is called from another thread when a look is worth while."""

    def __init__(self, root: Path, changed: Callable[[], None]) -> None:
        self._root = root
        self._folder = folder.Folder(root)
        self._watch = watch.Watch(root, changed)
        self._git: Path | None = None
        self._prefix = ""  # of the folder within the checkout
        self._indexed: tuple[tuple[int, int], Mapping[str, bytes]] = ((0, 0), {})
        self._blobs: Mapping[str, bytes] = {}
        self._commit = ""

    async def look(self) -> Look:
        return await asyncio.to_thread(self._look)

    async def close(self) -> None:
        await asyncio.to_thread(self._watch.close)

    def is_busy(self) -> bool:
        """Whether git is rewriting the checkout at this moment."""
        return self._git is not None and git.is_busy(self._git)

    def origin(self, document: load.Document) -> str:
        """Where a document comes from, for its provenance: "apps/web.yaml:12 (commit 1a2b3c4d5e6f)"."""
        if not self._commit:
            return document.source
        committed = self._indexed[1].get(self._prefix + document.path)
        relation = "commit" if committed == self._blobs.get(document.path) else "uncommitted, after"
        return f"{document.source} ({relation} {self._commit[:SHORT]})"

    def _look(self) -> Look:
        unwatched = self._watch.follow()  # before the scan, so that nothing falls between the two
        scan = self._folder.scan()
        if scan.links:
            unwatched = self._watch.follow(scan.links) or unwatched
        if scan.missing:
            return Look(scan, report.Halt("SourceMissing", f"{self._root} does not exist; nothing is deleted"))
        if scan.unreadable:
            return Look(scan, report.Halt("SourceUnreadable", f"{scan.unreadable}; nothing is deleted"))
        self._read_checkout()
        self._blobs = {path: file.blob for path, file in scan.files.items()}
        return Look(scan, commit=self._commit, unwatched=unwatched)

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
