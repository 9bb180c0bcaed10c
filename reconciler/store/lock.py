"""One process per journal: an advisory lock that the kernel drops when its holder dies, however it dies."""

import fcntl
import os
from pathlib import Path

from reconciler.store.types import JournalError, Locked

FILE = "journal.lock"


class Lock:
    def __init__(self, folder: Path) -> None:
        """Makes the folder and takes the lock. Raises Locked, JournalError."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(folder / FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise JournalError(f"cannot write to {folder} ({error.strerror}): make it writable or choose another data folder") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 20).decode() or "unknown"
            os.close(self._file)
            raise Locked(f"{folder} is in use by process {holder}: stop it or choose another data folder") from None
        os.truncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        os.close(self._file)
