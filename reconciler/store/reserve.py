"""Room kept for a full disk: a preallocated file and a margin under the quota, given up so that removals and compaction
still find space.

The journal is full exactly while the reserve is not stocked. It is a little larger than the log may grow, so that all of the log
can still be copied into the database and the log's own space be used again. It is stocked again only when there is
more space than it takes, so that the state does not flap at the edge.
"""

import errno
import os
from pathlib import Path

import apsw

from reconciler.store import disk

FILE = "journal.reserve"
BYTES = disk.LOG_BYTES + (4 << 20)
SPARE_BYTES = 4 << 20
PAGES = BYTES // disk.PAGE_BYTES


class Reserve:
    """`quota_bytes` bounds the database file; 0 is no bound."""

    def __init__(self, folder: Path, quota_bytes: int = 0) -> None:
        self._path = folder / FILE
        self._pages = quota_bytes // disk.PAGE_BYTES
        self._spare_pages = min(PAGES, self._pages // 8)
        self.stocked = False

    def stock(self, connection: apsw.Connection, spare_bytes: int = SPARE_BYTES) -> bool:
        """Set the reserve aside if there is space for it and for `spare_bytes` more."""
        if self._pages and not self._within_quota(connection, spare_bytes):
            self._limit(connection, self._pages + self._spare_pages)
            return False
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, BYTES + spare_bytes)
            os.ftruncate(file, BYTES)
            self.stocked = True
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            os.ftruncate(file, 0)
        finally:
            os.close(file)
        return self.stocked

    def release(self, connection: apsw.Connection | None = None) -> bool:
        """Give the reserve up; False when there was none. The quota needs the writer's connection."""
        had, self.stocked = self.stocked or self._path.exists(), False
        self._path.unlink(missing_ok=True)
        if self._pages and connection is not None:
            self._limit(connection, self._pages + self._spare_pages)
        return had

    def _within_quota(self, connection: apsw.Connection, spare_bytes: int) -> bool:
        (pages,) = connection.execute("PRAGMA page_count").fetchone() or (0,)
        (free,) = connection.execute("PRAGMA freelist_count").fetchone() or (0,)
        self._limit(connection, max(self._pages, pages))
        return bool(self._pages - pages + free >= min(spare_bytes // disk.PAGE_BYTES, self._spare_pages))

    def _limit(self, connection: apsw.Connection, pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")
