"""The folder as it is on disk: which files it has, which of them changed, what each says.

A scan walks the tree and reads only files whose stamp (device, inode, size, times) differs from the last one, so an
unchanged file costs one stat. A stamp too young to be trusted, or that changed while its file was read, is not kept.
Hidden names are skipped (.git, editors' swap files, the ..data of a mounted ConfigMap), symbolic links are followed
and loops among them are not. Nothing here raises for what the disk does: an unreadable file or directory is a
problem of its own, and a root that is gone or unreadable is named in the scan.

Blocking; the agent runs it in a thread. What the documents mean is decided elsewhere.
"""

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.gitops import git, load

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILES = 50_000
MAX_DEPTH = 40  # of directories
YOUNG_SECONDS = 0.05  # a file written so recently may be written again without its stamp showing it

Stamp = tuple[int, int, int, int, int]  # device, inode, size, mtime_ns, ctime_ns


@dataclass(frozen=True, slots=True)
class Scan:
    """One look at the folder.

    `missing` and `unreadable` say that there is no telling what the folder wants; then the rest is empty.
    `closed` holds what could not be listed or read, relative to the root; `directories` every directory that was
    listed, with device and inode, for whoever watches them; `young` says that another look soon is needed.
    """

    files: Mapping[str, load.File] = field(default_factory=dict)
    missing: bool = False
    unreadable: str = ""
    closed: tuple[str, ...] = ()
    directories: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    young: bool = False


class _TooMany(Exception):
    """The rest of the folder is not known; nothing may be concluded from what is."""


class Folder:
    """Remembers what it read; `scan` looks again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, tuple[Stamp | None, load.File]] = {}

    def scan(self) -> Scan:
        walk = _Walk(self.root)
        try:
            found = dict(walk.files())
        except FileNotFoundError:
            return Scan(missing=True)
        except NotADirectoryError:
            return Scan(unreadable=f"{self.root} is not a directory")
        except _TooMany:
            return Scan(unreadable=f"{self.root} has more than {MAX_FILES} files")
        except OSError as error:
            return Scan(unreadable=f"{self.root}: {error.strerror}")
        young = False
        known: dict[str, tuple[Stamp | None, load.File]] = {}
        for path, stamp in sorted(found.items()):
            before = self._known.get(path)
            if before is not None and before[0] == stamp:
                known[path] = before
                continue
            known[path], unsettled = self._read(path, stamp)
            young = young or unsettled
        self._known = known
        files = {path: file for path, (_, file) in known.items()}
        files.update((problem.path, load.File(problem.path, problems=(problem,))) for problem in walk.problems)
        return Scan(files, closed=tuple(walk.closed), directories=walk.directories, young=young)

    def _read(self, path: str, stamp: Stamp) -> tuple[tuple[Stamp | None, load.File], bool]:
        """What to remember of a file, without a stamp where it must be read again; and whether that should be soon."""
        if stamp[2] > load.MAX_FILE_BYTES:
            return (stamp, load.refused(path, load.too_large(stamp[2]))), False
        try:
            with open(self.root / path, "rb") as opened:
                data = opened.read(load.MAX_FILE_BYTES + 1)
                after = _stamp(os.fstat(opened.fileno()))
        except OSError as error:
            return (None, load.refused(path, f"cannot be read: {error.strerror}")), False
        unsettled = after != stamp or 0 <= time.time() - stamp[4] / 1e9 < YOUNG_SECONDS
        file = dataclasses.replace(load.parse(path, data), blob=git.blob(data))
        return (None if unsettled else stamp, file), unsettled


class _Walk:
    """One walk over the tree, with what went wrong on the way."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0
        self.closed: list[str] = []
        self.directories: dict[str, tuple[int, int]] = {}
        self.problems: list[load.Problem] = []

    def files(self) -> Iterator[tuple[str, Stamp]]:
        """Relative path and stamp of every file. Raises OSError only for the root itself."""
        top = os.stat(self._root)
        yield from self._directory(self._root, "", ((top.st_dev, top.st_ino),))

    def _directory(self, directory: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, Stamp]]:
        with os.scandir(directory) as listing:
            self.directories[str(directory)] = above[-1]
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = prefix + entry.name
            if not _is_text(entry.name):
                self._refuse(os.fsencode(path).decode("utf-8", "replace"), "has a name that is not UTF-8: rename it")
                continue
            try:
                if entry.is_dir():
                    yield from self._below(entry, path, above)
                elif path.endswith(SUFFIXES) and entry.is_file():
                    yield from self._file(entry, path)
                elif path.endswith(SUFFIXES) and entry.is_symlink():
                    self._refuse(path, "is a symbolic link to nothing")
            except OSError as error:
                self._refuse(path, f"cannot be read: {error.strerror}")

    def _file(self, entry: "os.DirEntry[str]", path: str) -> Iterator[tuple[str, Stamp]]:
        self._count += 1
        if self._count > MAX_FILES:
            raise _TooMany
        yield path, _stamp(entry.stat())

    def _below(self, entry: "os.DirEntry[str]", path: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, Stamp]]:
        status = entry.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return  # a link back to where we came from
        if len(above) > MAX_DEPTH:
            self._refuse(path, f"is nested deeper than {MAX_DEPTH} directories and not read")
            return
        try:
            yield from self._directory(Path(entry.path), path + "/", (*above, identity))
        except OSError as error:
            self._refuse(path, f"the directory cannot be listed: {error.strerror}")

    def _refuse(self, path: str, message: str) -> None:
        self.closed.append(path)
        self.problems.append(load.Problem(path, 0, 0, message))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
