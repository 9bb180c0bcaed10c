"""Which commit a checkout is at, read from its files: no git program is needed and none is run.

Knows plain checkouts, worktrees and submodules (.git as a file), loose and packed references. Whether a file was
changed since the commit is told from the index: its blob hash is compared, so it costs a hash of the file. Blocking.
"""

import hashlib
import os
import struct
from collections.abc import Mapping
from pathlib import Path

MAX_INDEX_BYTES = 64 << 20
_ENTRY = struct.Struct(">40x20sH")  # of an index entry: times, device, mode, ... skipped; blob hash, flags
_LONG_NAME = 0xFFF


def repository(folder: Path) -> tuple[Path, Path] | None:
    """(top of the checkout, its git directory) of the checkout that holds `folder`, or None."""
    top = Path(os.path.realpath(folder))
    for directory in (top, *top.parents):
        entry = directory / ".git"
        try:
            if entry.is_dir():
                return directory, entry
            if entry.is_file():
                text = entry.read_text().strip()
                if text.startswith("gitdir: "):
                    return directory, directory / text.removeprefix("gitdir: ")
        except OSError:
            return None
    return None


def head(git: Path) -> str:
    """The commit that HEAD stands for, "" where there is none yet or it cannot be read."""
    try:
        text = (git / "HEAD").read_text().strip()
        if not text.startswith("ref: "):
            return text
        return _reference(git, text.removeprefix("ref: "))
    except OSError:
        return ""


def is_busy(git: Path) -> bool:
    """Whether git is changing the checkout at this moment."""
    return (git / "index.lock").exists()


def index(git: Path) -> Mapping[str, bytes]:
    """Path, relative to the top of the checkout, to blob hash; empty where the index is of a form not known here."""
    try:
        if (git / "index").stat().st_size > MAX_INDEX_BYTES:
            return {}
        data = (git / "index").read_bytes()
        return _entries(data) if data[:4] == b"DIRC" and data[4:8] in (b"\0\0\0\2", b"\0\0\0\3") else {}
    except (OSError, struct.error, ValueError):
        return {}


def blob(data: bytes) -> bytes:
    """The hash under which git knows a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).digest()


def _reference(git: Path, name: str) -> str:
    common = git
    if (git / "commondir").is_file():
        common = git / (git / "commondir").read_text().strip()
    for directory in (git, common):
        if (directory / name).is_file():
            return (directory / name).read_text().strip()
    if (common / "packed-refs").is_file():
        for line in (common / "packed-refs").read_text().splitlines():
            commit, _, packed = line.partition(" ")
            if packed == name:
                return commit
    return ""


def _entries(data: bytes) -> dict[str, bytes]:
    (count,) = struct.unpack_from(">I", data, 8)
    found: dict[str, bytes] = {}
    offset = 12
    for _ in range(count):
        digest, flags = _ENTRY.unpack_from(data, offset)
        start = offset + 62 + (2 if flags & 0x4000 else 0)
        length = flags & _LONG_NAME
        end = start + length if length < _LONG_NAME else data.index(b"\0", start)
        found[data[start:end].decode("utf-8", "surrogateescape")] = digest
        offset += (end - offset) // 8 * 8 + 8
    return found
