"""How to tell without reading it that a file is as it was."""

import os

YOUNG_SECONDS = 0.05  # a file written so recently may be written again without its stamp showing it

Stamp = tuple[int, int, int, int, int]  # device, inode, size, mtime_ns, ctime_ns


def stamp(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
