"""The directories of a folder that are kustomizations: which of them stand for themselves, and what they come to.

One that another builds upon, and a component, is not applied by itself; nor is one below another kustomization that
does not name it. While a kustomization file cannot be read it is not known what it builds upon: then what it built
upon before counts, and where that is not known either, nothing else begins to stand for itself.

A unit is built again only when something changed that it read or looked for. Blocking; called by the scan.
"""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler.gitops import git, load
from reconciler.gitops.kustomize import build, spec, targets
from reconciler.gitops.kustomize.files import below
from reconciler.gitops.kustomize.resource import Refused
from reconciler.gitops.stamps import YOUNG_SECONDS, Stamp, stamp
from reconciler.kit import definitions
from reconciler.model.schema import Schemas

Touched = dict[str, Stamp | None]  # path -> its stamp, None where nothing was there


@dataclass(frozen=True, slots=True)
class Units:
    """The units that stand for themselves, each as a file; what else was read for them, by git's hash of the content."""

    files: Mapping[str, load.File] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    directories: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    young: frozenset[str] = frozenset()  # whose files somebody may be writing


class Tree:
    """The files below `top`, for one build; remembers what it was asked for. Paths are relative to `top`."""

    def __init__(self, top: Path) -> None:
        self._top = os.path.realpath(top)
        self.touched: Touched = {}
        self.blobs: dict[str, bytes] = {}
        self.young = False

    def read(self, path: str) -> bytes:
        self.touched.setdefault(path, None)
        with open(os.path.join(self._top, path), "rb") as opened:
            data = opened.read(load.MAX_FILE_BYTES + 1)
            after = stamp(os.fstat(opened.fileno()))
        if len(data) > load.MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"it has more than {load.MAX_FILE_BYTES} bytes")
        self.young = self.young or 0 <= time.time() - after[4] / 1e9 < YOUNG_SECONDS
        self.touched[path] = after
        self.blobs[path] = git.blob(data)
        return data

    def real(self, path: str) -> str | None:
        found = os.path.relpath(os.path.realpath(os.path.join(self._top, path)), self._top)
        return None if found == ".." or found.startswith("../") else "" if found == "." else found

    def is_directory(self, path: str) -> bool:
        self.touched[path] = stamped(self._top, path)
        return os.path.isdir(os.path.join(self._top, path))


def stamped(top: str | Path, path: str) -> Stamp | None:
    """The stamp of a file; of a directory only that it is this one, for what is in it matters when it is read."""
    try:
        status = os.stat(os.path.join(top, path))
    except OSError:
        return None
    return stamp(status) if not os.path.isdir(os.path.join(top, path)) else (status.st_dev, status.st_ino, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Known:
    """What one directory came to, and what that rests on."""

    touched: Touched
    file: load.File
    blobs: Mapping[str, bytes]
    young: bool


@dataclass(slots=True)
class Builder:
    """Remembers what it built. `root` is the folder; a unit may build upon anything in the checkout that holds it."""

    root: Path
    _known: dict[str, _Known] = field(default_factory=dict)
    _uses: dict[str, frozenset[str]] = field(default_factory=dict)  # the last that could be told
    _alone: frozenset[str] = frozenset()  # what stood for itself
    _schemas: Schemas | None = None

    def scan(self, candidates: Iterable[str]) -> Units:
        """`candidates` are the directories with a kustomization file, relative to the root."""
        found = git.repository(self.root)
        top = found[0] if found is not None else Path(os.path.realpath(self.root))
        prefix = os.path.relpath(os.path.realpath(self.root), top)
        inside = {os.path.normpath(os.path.join(prefix, path)).removeprefix(".") for path in candidates}
        tree = Tree(top)
        uses, blind = self._graph(tree, inside)
        alone = _standing(inside, uses, {path for path in inside if _is_component(tree, path)})
        if blind:
            alone &= self._alone | blind
        self._alone, self._uses = frozenset(alone), uses
        self._known = {path: self._unit(top, path) for path in sorted(alone)}
        return self._units(top, prefix, tree.young)

    def _graph(self, tree: Tree, candidates: Iterable[str]) -> tuple[dict[str, frozenset[str]], set[str]]:
        """What each candidate builds upon, directly or not; and those of which it cannot be told."""
        uses: dict[str, frozenset[str]] = {}
        blind = set()
        for path in candidates:
            try:
                uses[path] = frozenset(_closure(tree, path))
            except (Refused, FileNotFoundError):
                uses[path] = self._uses.get(path, frozenset())
                if path not in self._uses:
                    blind.add(path)
        return uses, blind

    def _unit(self, top: Path, path: str) -> _Known:
        known = self._known.get(path)
        if known is not None and not known.young and all(stamped(top, one) == before for one, before in known.touched.items()):
            return known
        if self._schemas is None:
            self._schemas = Schemas(definitions.load(), definitions.shapes())
        tree = Tree(top)
        built = build.build(tree, path, self._schemas)
        file = load.applicable(load.File(_home(tree, path), built.documents, built.problems))
        return _Known(tree.touched, file, tree.blobs, tree.young)

    def _units(self, top: Path, prefix: str, young: bool) -> Units:
        def shown(path: str) -> str:
            return os.path.relpath(path, prefix) if prefix != "." else path

        directories = {}
        for known in self._known.values():
            for path in known.touched:
                directory = os.path.dirname(os.path.join(top, path))
                if os.path.isdir(directory):
                    status = os.stat(directory)
                    directories[directory] = (status.st_dev, status.st_ino)
        files = [_moved(known.file, shown) for known in self._known.values()]
        blobs = {shown(path): blob for known in self._known.values() for path, blob in known.blobs.items()}
        unsettled = frozenset(file.path for file, known in zip(files, self._known.values(), strict=True) if young or known.young)
        return Units({file.path: file for file in files}, blobs, directories, unsettled)


def _closure(tree: Tree, path: str) -> Iterator[str]:
    """Every directory that the kustomization in `path` builds upon. Raises Refused and FileNotFoundError for `path` itself."""
    seen: set[str] = set()
    waiting = list(targets.named(tree, path))
    while waiting:
        found = waiting.pop()
        if found in seen:
            continue
        seen.add(found)
        yield found
        try:
            waiting += targets.named(tree, found)
        except (Refused, FileNotFoundError):
            continue


def _standing(candidates: set[str], uses: Mapping[str, frozenset[str]], components: set[str]) -> set[str]:
    built_upon = {found for path, used in uses.items() for found in used if path not in uses.get(found, ())}  # circles stand, and fail
    return {
        path
        for path in candidates - built_upon - components
        if all(above in uses[path] for above in candidates if above != path and below(above, path))
    }


def _is_component(tree: Tree, path: str) -> bool:
    try:
        return targets.kind(tree, path) == spec.COMPONENT
    except (Refused, FileNotFoundError):
        return False


def _home(tree: Tree, path: str) -> str:
    """The kustomization file in a directory."""
    names = [f"{path}/{name}" if path else name for name in spec.NAMES]
    return next((name for name in names if name in tree.blobs), names[0])


def _moved(file: load.File, shown: Callable[[str], str]) -> load.File:
    """A file with its paths as seen from the folder."""
    documents = tuple(replace(one, path=shown(one.path), unit=shown(one.unit)) for one in file.documents)
    problems = tuple(replace(one, path=shown(one.path)) for one in file.problems)
    return load.File(shown(file.path), documents, problems)
