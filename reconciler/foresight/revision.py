"""A folder as it was at a commit, laid out in a temporary folder by the git program.

Nothing of the repository is touched: git writes to an index of its own.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

TIMEOUT_SECONDS = 60


class NoSuchRevision(Exception):
    """The folder is in no repository, or git does not know the revision; the message is for the user."""


@contextlib.contextmanager
def checked_out(folder: Path, revision: str) -> Iterator[Path]:
    """`folder` at `revision`, as long as the context lasts. Raises NoSuchRevision."""
    top = Path(_git(folder, ["rev-parse", "--show-toplevel"]))
    commit = _git(folder, ["rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}"])
    within = os.path.relpath(folder.resolve(), top.resolve())
    with tempfile.TemporaryDirectory(prefix="reconciler-plan-") as scratch:
        tree, index = Path(scratch) / "tree", {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        _git(top, ["read-tree", commit], index)
        _git(top, ["checkout-index", "--all", f"--prefix={tree}/"], index)
        found = tree / within
        if not found.is_dir():
            raise NoSuchRevision(f"{within} is no folder at {revision}")
        yield found


def _git(folder: Path, words: Sequence[str], environment: Mapping[str, str] = {}) -> str:
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False, env={**os.environ, **environment}
        )
    except FileNotFoundError:
        raise NoSuchRevision("git is not installed: apt-get install git") from None
    if done.returncode:
        raise NoSuchRevision(done.stderr.strip() or f"git {words[0]}: there is no such revision in {folder}")
    return done.stdout.strip()
