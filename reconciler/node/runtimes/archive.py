"""Root file systems that the user brought: unpacked once into DATA_DIR/images.

    images/NAME_HASH/image.json       name, source, layers, configuration
    images/NAME_HASH/layers/N/        from the base up

Reads a plain tar of a root file system, `docker save`, and an OCI layout (a folder or a tar). Members with paths
that leave the layer are refused; whiteouts become overlay's own. Deliberately without registries and signatures.
"""

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

MAX_BYTES = 64 << 30
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"


class BadArchive(Exception):
    """The message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    id: str
    source: str
    lower: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    user: str = ""


def find(folder: Path, name: str, source: Path | None = None) -> Loaded | None:
    """What was loaded under `name`; with a source, only if it is still the one that was loaded."""
    try:
        record = json.loads((_place(folder, name) / "image.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    if source is not None and record["stamp"] != _stamp(source):
        return None
    place = _place(folder, name)
    config = record["config"]
    return Loaded(
        id=record["id"],
        source=record["source"],
        lower=tuple(str(place / "layers" / str(n)) for n in reversed(range(record["layers"]))),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        env=tuple((n, v) for n, _, v in (entry.partition("=") for entry in config.get("Env") or ())),
        working_dir=config.get("WorkingDir") or "",
        user=config.get("User") or "",
    )


def load(folder: Path, name: str, source: Path) -> Loaded:
    """Unpack `source` and remember it as `name`; raises BadArchive. Complete or not at all."""
    place = _place(folder, name)
    building = place.with_name(place.name + ".new")
    shutil.rmtree(building, ignore_errors=True)
    (building / "layers").mkdir(parents=True)
    try:
        config, layers = _unpack(source, building / "layers")
        record = {"id": _stamp(source), "stamp": _stamp(source), "name": name, "source": str(source), "layers": layers, "config": config}
        (building / "image.json").write_text(json.dumps(record))
    except (tarfile.TarError, KeyError, ValueError, IndexError, EOFError) as error:
        shutil.rmtree(building, ignore_errors=True)
        raise BadArchive(f"{error or type(error).__name__} (a tar of a root file system, docker save or OCI is expected)") from error
    shutil.rmtree(place, ignore_errors=True)
    building.rename(place)
    found = find(folder, name)
    if found is None:
        raise BadArchive("it could not be read back")
    return found


def remove(folder: Path, name: str) -> None:
    """Forget what was loaded under `name`, all of it or nothing."""
    place = _place(folder, name)
    leaving = place.with_name(place.name + ".gone")
    shutil.rmtree(leaving, ignore_errors=True)
    place.rename(leaving)
    shutil.rmtree(leaving, ignore_errors=True)


def _unpack(source: Path, layers: Path) -> tuple[Mapping[str, Any], int]:
    if source.is_dir():
        return _unpack_image(_FolderFiles(source), layers)
    with tarfile.open(source) as tar:
        names = {member.name.removeprefix("./") for member in tar}
        if "manifest.json" in names or "index.json" in names:
            return _unpack_image(_TarFiles(tar), layers)
        _extract(tar, layers / "0")
        return {}, 1


def _unpack_image(files: "_FolderFiles | _TarFiles", layers: Path) -> tuple[Mapping[str, Any], int]:
    if files.has("index.json"):
        manifest = _oci_manifest(files)
        config, paths = _blob(manifest["config"]), [_blob(layer) for layer in manifest["layers"]]
    else:
        entry = json.loads(files.read("manifest.json"))[0]
        config, paths = entry["Config"], entry["Layers"]
    for number, path in enumerate(paths):
        with files.open(path) as stream, tarfile.open(fileobj=stream, mode="r:*") as tar:
            _extract(tar, layers / str(number))
    return json.loads(files.read(config)).get("config") or {}, len(paths)


def _oci_manifest(files: "_FolderFiles | _TarFiles") -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = json.loads(files.read("index.json"))
    while "manifests" in manifest:
        manifest = json.loads(files.read(_blob(manifest["manifests"][0])))
    return manifest


def _blob(descriptor: Mapping[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def _extract(tar: tarfile.TarFile, target: Path) -> None:
    target.mkdir(parents=True)
    privileged = os.geteuid() == 0
    left = MAX_BYTES
    tar.extraction_filter = lambda member, _: member  # for Pythons with filters, which Debian 12's has not: `_safe_members` looks
    for member in _safe_members(tar):
        left -= member.size
        if left < 0:
            raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes")
        folder, name = os.path.split(member.name)
        if name == _OPAQUE:
            os.setxattr(target / folder, "trusted.overlay.opaque" if privileged else "user.overlay.opaque", b"y")
        elif name.startswith(_WHITEOUT):
            os.mknod(target / folder / name.removeprefix(_WHITEOUT), 0o600 | 0o020000, 0)
        elif not (member.ischr() or member.isblk()):
            member.mode &= 0o7777 if privileged else 0o755  # what an account writes for itself gives nobody else rights
            tar.extract(member, target, set_attrs=True, numeric_owner=True)


def _safe_members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    links: set[str] = set()
    for member in tar:
        member.name = os.path.normpath(member.name.lstrip("/"))
        parents = member.name.split("/")
        if ".." in parents or any("/".join(parents[:n]) in links for n in range(1, len(parents))):
            raise ValueError(f"member {member.name} leaves the archive")
        if member.islnk():
            member.linkname = os.path.normpath(member.linkname.lstrip("/"))
            if ".." in member.linkname.split("/"):
                raise ValueError(f"link {member.name} leaves the archive")
        if member.issym():
            links.add(member.name)
        else:
            links.discard(member.name)
        yield member


class _FolderFiles:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, name: str) -> bool:
        return (self._folder / name).is_file()

    def open(self, name: str) -> IO[bytes]:
        if ".." in name.split("/"):
            raise ValueError(f"{name} leaves the folder")
        return (self._folder / name).open("rb")

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()


class _TarFiles:
    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {member.name.removeprefix("./"): member for member in tar.getmembers()}

    def has(self, name: str) -> bool:
        return name in self._members

    def open(self, name: str) -> IO[bytes]:
        stream = self._tar.extractfile(self._members[name])
        if stream is None:
            raise ValueError(f"{name} is no file")
        return stream

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()


def _place(folder: Path, name: str) -> Path:
    return folder / hashlib.sha256(name.encode()).hexdigest()[:32]


def _stamp(source: Path) -> str:
    """Changes when the source does."""
    status = (source / "index.json" if source.is_dir() else source).stat()
    return hashlib.sha256(f"{source}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()
