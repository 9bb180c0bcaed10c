"""A person at a terminal: runs a program on one, waits for words and types."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence

PATIENCE_SECONDS = 60.0


def run(
    command: Sequence[str], typed: Sequence[tuple[str, str | None]], *, env: Mapping[str, str], columns: int = 100, rows: int = 30
) -> tuple[int, str]:
    """Its exit code and what was seen; `typed` is what to wait for and what to type then, in order; None hangs up."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=dict(env))
    os.close(slave)
    seen, waiting, deadline = b"", list(typed), time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    seen += os.read(master, 4096)
                except OSError:
                    break  # it has closed the terminal
            if waiting and waiting[0][0].encode() in seen:
                _, text = waiting.pop(0)
                if text is None:
                    process.kill()
                    break
                os.write(master, text.encode())
        return process.wait(10), seen.decode(errors="replace")
    finally:
        process.kill()
        process.wait()
        os.close(master)
