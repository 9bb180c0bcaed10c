"""One process per journal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.store.lock import Lock
from reconciler.store.types import JournalError, Locked


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    held = Lock(tmp_path)
    with pytest.raises(Locked, match=f"in use by process {os.getpid()}: stop it or choose another"):
        Lock(tmp_path)
    held.release()
    Lock(tmp_path).release()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\nfrom reconciler.store.lock import Lock\nheld = Lock(pathlib.Path(sys.argv[1]))\nprint(1, flush=True)\ninput()"
    )
    child = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"1\n"
    with pytest.raises(Locked, match=str(child.pid)):
        Lock(tmp_path)
    child.kill()
    child.communicate()
    Lock(tmp_path).release()


def test_the_folder_is_made_and_private(tmp_path: Path) -> None:
    Lock(tmp_path / "a" / "b").release()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"cannot write to .*/file/journal \(Not a directory\): make it writable"):
        Lock(tmp_path / "file" / "journal")
