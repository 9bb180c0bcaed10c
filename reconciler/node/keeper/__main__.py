"""`python -I -S .../keeper RUN_DIR [--foreground]`: the keeper's process.

Run by path and without site-packages, so that it and every shim that it forks carry the least. It goes to the
background once its socket is open, unless --foreground (systemd). A second one for the same folder ends at once
with status 0: the first keeps it.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
import time

if __package__ in (None, ""):
    sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..")))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != os.path.dirname(os.path.abspath(__file__))]

from reconciler.node.keeper import records, server, wire

LOCK_ATTEMPTS = 500
LOCK_DELAY_SECONDS = 0.01
MAX_DESCRIPTORS = 65536  # one a pod in the keeper


def main(arguments: list[str]) -> int:
    run_dir = os.path.abspath(arguments[0])
    kept = os.environ.pop(server.KEPT_VARIABLE, "")
    if kept:
        listening, lock = (int(part) for part in kept.split(","))
        for descriptor in (listening, lock):
            os.set_inheritable(descriptor, False)
        return serve(run_dir, listening, lock)
    os.closerange(3, MAX_DESCRIPTORS)  # whoever started this may have left some open
    os.makedirs(os.path.join(run_dir, "pods"), 0o700, exist_ok=True)
    lock = _become_the_only_one(run_dir)
    if lock < 0:
        return 0
    listener = wire.listen(os.path.join(run_dir, "keeper.sock")).detach()
    if "--foreground" not in arguments:
        if os.fork():
            return 0
        os.setsid()
        _leave_terminal(os.path.join(run_dir, "keeper.log"))
    return serve(run_dir, listener, lock)


def _become_the_only_one(run_dir: str) -> int:
    """The lock; -1 where a keeper serves already. The workers of a killed one may hold the lock a moment longer."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            return records.lock(os.path.join(run_dir, "keeper.lock"))
        except BlockingIOError:
            if wire.answers(os.path.join(run_dir, "keeper.sock")):
                return -1
            time.sleep(LOCK_DELAY_SECONDS)
    sys.exit(f"{run_dir}/keeper.lock is held by a process that does not serve {run_dir}/keeper.sock")


def serve(run_dir: str, listener: int, lock: int) -> int:
    os.chdir("/")
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MAX_DESCRIPTORS)), hard))
    gc.collect()
    gc.freeze()  # what exists now is never looked at again, so its pages stay shared with every shim
    keeper = server.Keeper(run_dir, lock)
    _notify_ready()
    keeper.serve(listener)
    return 0


def _leave_terminal(log: str) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (written, 1), (written, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(written)


def _notify_ready() -> None:
    """systemd's Type=notify."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"READY=1", "\0" + address[1:] if address[0] == "@" else address)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
