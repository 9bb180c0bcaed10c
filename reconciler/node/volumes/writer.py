"""Writes a volume's files so that a reader sees all of the old or all of the new, never a mixture.

As the kubelet does it: files live in a directory named after the moment, `..data` is a symbolic link to it that is
replaced atomically, and what users see are links through `..data`. Unchanged contents are not written again.
"""

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from reconciler.node.volumes.contents import File

DATA = "..data"


def write(folder: Path, files: Mapping[str, File], *, uid: int = -1, gid: int = -1) -> bool:
    """Make `folder` hold `files`, owned as told; returns whether anything changed. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    current = _current(folder)
    if current is not None and _held(current) == {path: (file.content, _mode(file, gid)) for path, file in files.items()}:
        return False
    fresh = folder / f"..{secrets.token_hex(6)}"
    fresh.mkdir(mode=0o755)
    for path, file in files.items():
        _write_file(fresh / path, file.content, _mode(file, gid), uid, gid)
    link = folder / "..data_tmp"
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.rename(folder / DATA)
    _link_tops(folder, {path.split("/")[0] for path in files})
    if current is not None:
        shutil.rmtree(current)
    return True


def _mode(file: File, gid: int) -> int:
    """A volume with a group is readable by it, as with fsGroup."""
    return file.mode | (0o040 if gid >= 0 else 0)


def _current(folder: Path) -> Path | None:
    try:
        target = folder / os.readlink(folder / DATA)
    except OSError:
        return None
    return target if target.is_dir() else None


def _held(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o7777)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def _write_file(path: Path, content: bytes, mode: int, uid: int, gid: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        if uid >= 0 or gid >= 0:
            os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)


def _link_tops(folder: Path, tops: set[str]) -> None:
    """One link per first path component; those of vanished files go."""
    for entry in folder.iterdir():
        if entry.is_symlink() and entry.name not in tops and not entry.name.startswith(".."):
            entry.unlink()
    for top in sorted(tops):
        link = folder / top
        if not link.is_symlink():
            link.symlink_to(f"{DATA}/{top}")
