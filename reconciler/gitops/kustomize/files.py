"""What a build may read: the files of one tree, and nothing outside it.

As kustomize has it, a kustomization reads files only at or below its own directory, links followed; directories that
it builds upon may be anywhere in the tree. What was read, or looked for in vain, is remembered, so that the result
need only be made again when one of these changes.
"""

import posixpath
from typing import Protocol

REMOTE = ("://", "git@", "github.com/", "git::", "ssh:")


class Unreadable(Exception):
    """A path that cannot be had: why, and what to do."""


class Files(Protocol):
    """A tree; paths are relative to its root, "" is the root itself, and may not leave it."""

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError, IsADirectoryError or another OSError."""

    def real(self, path: str) -> str | None:
        """The path with links followed; None for what is outside the tree."""

    def is_directory(self, path: str) -> bool: ...


def below(directory: str, path: str) -> bool:
    return not directory or path == directory or path.startswith(directory + "/")


def joined(directory: str, path: str) -> str:
    """`path` as seen from `directory`. Raises Unreadable where it leads out of the tree."""
    if path.startswith("/"):
        raise Unreadable(f"{path} is absolute: write it relative to this file")
    found = posixpath.normpath(posixpath.join(directory, path))
    if found == ".." or found.startswith("../"):
        raise Unreadable(f"{path} lies outside the folder that is followed: follow the folder that holds both")
    return "" if found == "." else found


def is_remote(path: str) -> bool:
    return any(mark in path for mark in REMOTE[:1]) or path.startswith(REMOTE[1:]) or "?ref=" in path


def read(files: Files, directory: str, path: str) -> tuple[str, bytes]:
    """(path in the tree, content) of a file that the kustomization in `directory` names. Raises Unreadable."""
    if is_remote(path):
        raise Unreadable(f"{path} is remote, and nothing is fetched while building: keep a copy in the folder")
    found = joined(directory, path)
    real, home = files.real(found), files.real(directory)
    try:
        content = files.read(found) if real is not None else b""
        if real is None or home is None or not below(home, real):
            raise Unreadable(f"{path} is not at or below the directory of this file, so it is not used")
        return found, content
    except FileNotFoundError:
        raise Unreadable(f"{path} does not exist") from None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from None
