"""The keeper: forks shims, knows which live, and has ended what a dead one left.

It holds no state of its own: what there is stands in the run folder (records.py), so a new keeper after a kill
knows all that the old one knew. A pod's folder is locked before the fork and stays locked by the shim, so that
no pod ever has two. Containers are the shims' business; the daemon speaks to each shim directly.

A shim is forked blank and then claimed for a pod. One is forked ahead, a moment after the last one was claimed and of
its nature: the spare, with its namespaces, its first worker and that one's fork which will be the first container. It is on
no disk and nothing depends on it; without its keeper it ends.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

from reconciler.node.keeper import abilities, leftovers, linux, quiet, records, wire, work, zygote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPARE_DELAY_MILLISECONDS = 200  # without work, before a shim is made ahead: pods often come several at a time
END_MILLISECONDS = 1000  # for the spare, whose end is waited for so that nothing of a keeper is left behind
KEPT_VARIABLE = "RECONCILER_KEEPER_DESCRIPTORS"  # listening socket and lock, across a re-exec
LOCK_ATTEMPTS = 200
LOCK_DELAY_SECONDS = 0.005
CREATE, UPGRADE, STOP = b"F", b"U", b"X"  # told by workers


class Keeper(quiet.Loop):
    def __init__(self, run_dir: str, lock: int) -> None:
        super().__init__()
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        self._run_dir = run_dir
        self._lock = lock
        self._pid = os.getpid()  # for workers: where the keeper has died meanwhile their parent is PID 1, whose children are not ours
        self._boot = records.boot_id()
        self._abilities = abilities.probe()
        self._zygote = zygote.Zygote(run_dir, self._boot)
        self._shims: dict[int, tuple[str, int]] = {}  # PID, of whatever keeper's child -> pod uid, "" for the spare; pidfd
        self._spare: zygote.Blank | None = None
        self._nature: zygote.Nature | None = None  # of the next spare

    def serve(self, server: int) -> None:
        self.open()
        self.serve_at(server)
        lost = []
        for uid in records.pods(self._run_dir):
            pid = records.PodFolder(self._run_dir, uid).shim_pid(self._boot)
            if pid:
                self._adopt(pid, uid)
            else:
                lost.append(uid)
        for uid in lost:  # settling ends every child that is not known, so all that live come first
            self.work(self._settle, uid, 0)
        self.run()
        if self._spare is not None:
            _end(self._spare)

    # Operations, in workers

    def op_hello(self, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
        return {"version": work.PROTOCOL_VERSION, "pid": os.getppid(), "boot": self._boot, "abilities": self._abilities}

    def op_list(self, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
        return {"pods": [pod for uid in records.pods(self._run_dir) if (pod := self._described(uid))]}

    def op_create(self, request: dict[str, Any], first: list[int], connection: socket.socket) -> dict[str, Any] | None:
        """A shim for the pod, which answers itself as to "hello" and sends events; the one it has, if it has one.

        Over a socket that came along the pod's first container can be started, at less cost.
        """
        pod = request["pod"]
        folder = records.PodFolder(self._run_dir, pod["uid"])
        os.makedirs(folder.at("containers"), 0o700, exist_ok=True)
        try:
            lock = records.lock(folder.at("shim.lock"))
        except BlockingIOError:
            pid = folder.shim_pid(self._boot)
            if not pid:
                raise wire.Refused("Busy", f"the shim of pod {folder.uid} is starting or ending") from None
            return {"pid": pid}
        records.discard(folder.at("keep.json"))
        records.write(folder.at("pod.json"), pod)
        server = wire.listen(folder.at("shim.sock"))
        fields = ("F", folder.uid, str(int(pod.get("namespaces", 0))), str(int(bool(pod.get("share_pid")))))
        work.tell(self, "\0".join(fields).encode(), [server.fileno(), lock, connection.fileno(), *first[:1]])
        return None

    def op_stop(self, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
        """End a pod's shim and containers; records and logs stay."""
        folder = records.PodFolder(self._run_dir, request["uid"])
        records.write(folder.at("keep.json"), {})
        self._end_shim(folder)
        return {}

    def op_remove(self, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
        """End a pod with all it has; answers when nothing is left."""
        folder = records.PodFolder(self._run_dir, request["uid"])
        records.discard(folder.at("keep.json"))
        self._end_shim(folder)
        if os.path.isdir(folder.path):
            if self._lock_patiently(folder) < 0:  # held until this worker ends
                raise wire.Refused("Busy", f"the shim of pod {folder.uid} is starting or ending")
            work.conclude(folder, self._boot)
            work.destroy(folder)
        return {}

    def _end_shim(self, folder: records.PodFolder) -> None:
        pid = folder.shim_pid(self._boot)
        if not pid:
            return
        ended = select.poll()
        try:
            ended.register(os.pidfd_open(pid), select.POLLIN)
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        ended.poll()

    def op_upgrade(self, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
        """Become the program at the same path, newly read; children, sockets and the lock stay."""
        work.tell(self, UPGRADE)
        return {}

    def op_shutdown(self, request: dict[str, Any], _: list[int], connection: socket.socket) -> dict[str, Any]:
        work.tell(self, STOP)
        return {}

    def _described(self, uid: str) -> dict[str, Any] | None:
        folder = records.PodFolder(self._run_dir, uid)
        pod = folder.pod()
        if pod is None:
            return None
        pid = folder.shim_pid(self._boot)
        lost = [] if pid else [folder.container(name, attempt) for name, attempt in folder.attempts()]
        return {"uid": uid, "pid": pid, "pod": pod, "containers": lost}

    # Shims

    def on_told(self, message: bytes, descriptors: list[int]) -> None:
        if message == STOP:
            self.stopping = True
        elif message == UPGRADE:
            self._upgrade()
        else:
            _, uid, namespaces, share_pid = message.split(b"\0")
            self._create(uid, (int(namespaces), share_pid == b"1"), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)

    def _create(self, uid: bytes, nature: zygote.Nature, descriptors: list[int]) -> None:
        """The spare becomes the pod's shim where it is of that nature, else a new one does."""
        shim = self._spare if self._spare is not None and self._spare.nature == nature else None
        if shim is not None:
            self._spare = None
        if shim is None or not shim.claim(uid, descriptors):
            shim = self._make(nature)
            shim.claim(uid, descriptors)  # if it has ended already, that is what whoever asked hears
        self._shims[shim.pid] = uid.decode(), self._shims[shim.pid][1]
        self._nature = nature

    def _make(self, nature: zygote.Nature) -> zygote.Blank:
        shim = self._zygote.fork(nature)
        self._adopt(shim.pid, "")
        return shim

    def run(self) -> None:
        """With a spare shim, so that the next pod like the last one has not to wait for it."""
        while not self.stopping:
            nature = self._nature if self._spare is None else None
            if not self.turn(None if nature is None else SPARE_DELAY_MILLISECONDS) and nature is not None:
                self._spare = self._make(nature)

    def _adopt(self, pid: int, uid: str) -> None:
        descriptor = os.pidfd_open(pid)
        self._shims[pid] = uid, descriptor
        self.watch(descriptor, lambda _: self._shim_ended(pid))

    def _shim_ended(self, pid: int) -> None:
        uid, descriptor = self._shims.pop(pid)
        self.unwatch(descriptor)
        os.close(descriptor)
        if uid:
            self.work(self._settle, uid, pid)
        elif self._spare is not None and self._spare.pid == pid:
            self._spare = self._nature = None  # none that ends at once is made again and again

    def _settle(self, uid: str, shim: int) -> None:
        """In a worker: end what a dead shim left, record it and tell."""
        leftovers.kill_children(self._pid, spare={*self._shims, *self.workers, self._zygote.pid})
        folder = records.PodFolder(self._run_dir, uid)
        lock = self._lock_patiently(folder)
        if lock >= 0:
            work.conclude(folder, self._boot)
            os.close(lock)
        work.tell(self, quiet.EVENT + wire.encode({"event": "ended", "uid": uid, "shim": shim, "pod": self._described(uid)}))

    def _lock_patiently(self, folder: records.PodFolder) -> int:
        """A dead shim's lock, which its last children may hold a moment longer; -1 where another shim has it."""
        for _ in range(LOCK_ATTEMPTS):
            try:
                return records.lock(folder.at("shim.lock"))
            except BlockingIOError:
                if folder.shim_pid(self._boot):
                    return -1
                time.sleep(LOCK_DELAY_SECONDS)
            except FileNotFoundError:
                return -1  # removed meanwhile
        return -1

    def _upgrade(self) -> None:
        for descriptor in (self.server, self._lock):
            os.set_inheritable(descriptor, True)
        os.environ[KEPT_VARIABLE] = f"{self.server},{self._lock}"
        signal.set_wakeup_fd(-1)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - itself


def _end(spare: zygote.Blank) -> None:
    spare.claims.close()
    ended = select.poll()
    try:
        ended.register(os.pidfd_open(spare.pid), select.POLLIN)
    except ProcessLookupError:
        return
    ended.poll(END_MILLISECONDS)
