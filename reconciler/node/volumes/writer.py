"""Payload files that change all at once, as Kubernetes' atomic writer does.

    DIR/..2026_01_02_03_04_05.000000001/key     this version
    DIR/..data -> ..2026_...                     swapped by one rename
    DIR/key -> ..data/key                        what users see

A reader sees the old version or the new one, never a mixture; the folder before is removed.
"""

import os
import shutil
import time
from pathlib import Path

from reconciler.node.volumes.payload import Payload

DATA = "..data"
_NEW = "..data_tmp"


def write(folder: Path, payload: Payload, *, uid: int | None = None, gid: int | None = None) -> bool:
    """Make `folder` show `payload`; False if it does already. Ownership is given where it is asked for and may be."""
    folder.mkdir(parents=True, exist_ok=True)
    if _shows(folder, payload):
        return False
    version = f"..{time.strftime('%Y_%m_%d_%H_%M_%S', time.gmtime())}.{time.time_ns() % 1_000_000_000:09d}"
    for path, (contents, mode) in payload.items():
        _write_file(folder / version, checked(path), contents, mode, uid, gid)
    (folder / version).mkdir(exist_ok=True)
    os.chmod(folder / version, 0o755)
    old = os.readlink(folder / DATA) if (folder / DATA).is_symlink() else ""
    new_link = folder / _NEW
    new_link.unlink(missing_ok=True)
    new_link.symlink_to(version)
    new_link.rename(folder / DATA)
    _link(folder, payload)
    if old:
        shutil.rmtree(folder / old, ignore_errors=True)
    return True


def checked(path: str) -> str:
    """A path below the volume; raises ValueError for one that leaves it or is the writer's own."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise ValueError(f"{path!r} is no path below a volume")
    return path


def _write_file(base: Path, path: str, contents: bytes, mode: int, uid: int | None, gid: int | None) -> None:
    target = base / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if gid is not None:
        mode |= (mode & 0o444) and 0o040  # readable for the group that it is given to
    target.write_bytes(contents)
    os.chmod(target, mode)
    if (uid is not None or gid is not None) and os.geteuid() == 0:
        os.chown(target, -1 if uid is None else uid, -1 if gid is None else gid)


def _link(folder: Path, payload: Payload) -> None:
    """Links for the first part of every path, and none for parts that are gone."""
    wanted = {path.split("/")[0] for path in payload}
    for entry in list(folder.iterdir()):
        if not entry.name.startswith("..") and entry.name not in wanted:
            entry.unlink()
    for name in wanted:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{name}")


def _shows(folder: Path, payload: Payload) -> bool:
    current = folder / DATA
    if not current.is_dir():
        return False
    found = {str(path.relative_to(current.resolve())) for path in current.resolve().rglob("*") if path.is_file()}
    return found == set(payload) and all((current / path).read_bytes() == contents for path, (contents, _) in payload.items())
