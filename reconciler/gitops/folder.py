"""The folder as it is on disk: which files it has, which of them changed, what each says.

A scan walks the tree and reads only files whose stamp (device, inode, size, times) differs from the last one, so an
unchanged file costs one stat. A stamp too young to be trusted, or that changed while its file was read, is not kept.
Hidden names are skipped (.git, editors' swap files, the ..data of a mounted ConfigMap), symbolic links are followed
and loops among them are not. Nothing here raises for what the disk does: an unreadable file or directory is a
problem of its own, and a root that is gone or unreadable is named in the scan.

A directory with a kustomization file is one unit (units.py): it counts as a file, and what is below it is not read
for itself.

Blocking; the agent runs it in a thread. What the documents mean is decided elsewhere.
"""

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.gitops import git, load, units
from reconciler.gitops.kustomize import spec
from reconciler.gitops.stamps import YOUNG_SECONDS, Stamp, stamp

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILES = 50_000
MAX_DEPTH = 40  # of directories


@dataclass(frozen=True, slots=True)
class Scan:
    """One look at the folder.

    `missing` and `unreadable` say that there is no telling what the folder wants; then the rest is empty.
    `closed` holds what could not be listed or read, relative to the root; `directories` every directory that was
    listed, with device and inode, for whoever watches them; `young` the files that somebody may be writing, which are to
    be looked at again soon.
    """

    files: Mapping[str, load.File] = field(default_factory=dict)
    missing: bool = False
    unreadable: str = ""
    closed: tuple[str, ...] = ()
    directories: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    young: frozenset[str] = frozenset()
    blobs: Mapping[str, bytes] = field(default_factory=dict)  # git's hash of each file that was read


class _TooMany(Exception):
    """The rest of the folder is not known; nothing may be concluded from what is."""


class Folder:
    """Remembers what it read; `scan` looks again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[str, tuple[Stamp | None, load.File]] = {}
        self._units = units.Builder(root)

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
        young: set[str] = set()
        known: dict[str, tuple[Stamp | None, load.File]] = {}
        for path, seen in sorted(found.items()):
            before = self._known.get(path)
            if before is not None and before[0] == seen:
                known[path] = before
                continue
            known[path], unsettled = self._read(path, seen)
            if unsettled:
                young.add(path)
        self._known = known
        files = {path: file for path, (_, file) in known.items()}
        files.update((problem.path, load.File(problem.path, problems=(problem,))) for problem in walk.problems)
        blobs = {path: file.blob for path, file in files.items()}
        if not walk.units:
            return Scan(files, closed=tuple(walk.closed), directories=walk.directories, young=frozenset(young), blobs=blobs)
        built = self._units.scan(walk.units)
        return Scan(
            {**files, **built.files},
            closed=tuple(walk.closed),
            directories={**built.directories, **walk.directories},
            young=built.young | young,
            blobs={**built.blobs, **blobs},
        )

    def _read(self, path: str, seen: Stamp) -> tuple[tuple[Stamp | None, load.File], bool]:
        """What to remember of a file, without a stamp where it must be read again; and whether that should be soon."""
        if seen[2] > load.MAX_FILE_BYTES:
            return (seen, load.refused(path, load.too_large(seen[2]))), False
        try:
            with open(self.root / path, "rb") as opened:
                data = opened.read(load.MAX_FILE_BYTES + 1)
                after = stamp(os.fstat(opened.fileno()))
        except OSError as error:
            return (None, load.refused(path, f"cannot be read: {error.strerror}")), False
        unsettled = after != seen or 0 <= time.time() - seen[4] / 1e9 < YOUNG_SECONDS
        file = dataclasses.replace(load.parse(path, data), blob=git.blob(data))
        return (None if unsettled else seen, file), unsettled


class _Walk:
    """One walk over the tree, with what went wrong on the way."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0
        self.closed: list[str] = []
        self.units: list[str] = []  # directories with a kustomization file
        self.directories: dict[str, tuple[int, int]] = {}
        self.problems: list[load.Problem] = []

    def files(self) -> Iterator[tuple[str, Stamp]]:
        """Relative path and stamp of every file. Raises OSError only for the root itself."""
        top = os.stat(self._root)
        yield from self._directory(self._root, "", ((top.st_dev, top.st_ino),))

    def _directory(
        self, directory: Path, prefix: str, above: tuple[tuple[int, int], ...], *, in_unit: bool = False
    ) -> Iterator[tuple[str, Stamp]]:
        with os.scandir(directory) as listing:
            self.directories[str(directory)] = above[-1]
            entries = sorted(listing, key=lambda entry: entry.name)
        if any(entry.name in spec.NAMES and entry.is_file() for entry in entries):
            self.units.append(prefix.removesuffix("/"))
            in_unit = True
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = prefix + entry.name
            if not _is_text(entry.name):
                self._refuse(os.fsencode(path).decode("utf-8", "replace"), "has a name that is not UTF-8: rename it")
                continue
            try:
                if entry.is_dir():
                    yield from self._below(entry, path, above, in_unit=in_unit)
                elif in_unit:
                    continue
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
        yield path, stamp(entry.stat())

    def _below(
        self, entry: "os.DirEntry[str]", path: str, above: tuple[tuple[int, int], ...], *, in_unit: bool
    ) -> Iterator[tuple[str, Stamp]]:
        status = entry.stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return  # a link back to where we came from
        if len(above) > MAX_DEPTH:
            self._refuse(path, f"is nested deeper than {MAX_DEPTH} directories and not read")
            return
        try:
            yield from self._directory(Path(entry.path), path + "/", (*above, identity), in_unit=in_unit)
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
