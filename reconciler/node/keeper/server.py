"""The keeper: forks shims, knows which live, and ends what a dead one left.

It holds no state of its own: what there is stands in the run folder (records.py), so a new keeper after a kill
knows all that the old one knew. A pod's folder is locked by the keeper before it forks and stays locked by the
shim, so that no pod ever has two. Containers are the shims' business; the daemon speaks to each shim directly.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback

from reconciler.node.keeper import abilities, linux, records, shim, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LISTEN_VARIABLE = "RECONCILER_KEEPER_DESCRIPTORS"  # listening socket and lock, across a re-exec


class Keeper(wire.Endpoint):
    def __init__(self, run_dir: str, server: socket.socket, lock: int) -> None:
        super().__init__(server)
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        self._run_dir = run_dir
        self._lock = lock
        self._boot = records.boot_id()
        self._abilities = abilities.probe()
        self._shims: dict[int, str] = {}  # PID of our children and of adopted ones -> pod uid
        self._removing: dict[str, list[tuple[wire.Connection, dict[str, Any]]]] = {}
        for uid in records.pods(run_dir):
            pid = records.PodFolder(run_dir, uid).shim_pid(self._boot)
            if pid:
                self._adopt(pid, uid)
            else:
                self._conclude(uid)

    # Operations

    def op_hello(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any]:
        connection.subscribed = True
        return {"version": shim.VERSION, "pid": os.getpid(), "boot": self._boot, "abilities": self._abilities}

    def op_list(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any]:
        return {"pods": [pod for uid in records.pods(self._run_dir) if (pod := self._described(uid))]}

    def op_create(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any]:
        """A shim for the pod; the one it has, if it has one."""
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
        try:
            records.write(folder.at("pod.json"), pod)
            pid = self._fork(folder, wire.listen(folder.at("shim.sock")))
        finally:
            os.close(lock)
        return {"pid": pid}

    def op_remove(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any] | None:
        """End a pod with all it has; answers when nothing is left."""
        uid = records.checked_name(request["uid"])
        pid = next((pid for pid, owner in self._shims.items() if owner == uid), 0)
        if not pid:
            if not os.path.isdir(records.PodFolder(self._run_dir, uid).path):
                return {}
            pid = self._fork_cleaner(uid)
        self._removing.setdefault(uid, []).append((connection, request))
        os.kill(pid, signal.SIGTERM)
        return None

    def op_upgrade(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> None:
        """Become the program at the same path, newly read; children, sockets and the lock stay."""
        self.reply(connection, request, {})
        for descriptor in (self.server.fileno(), self._lock):
            os.set_inheritable(descriptor, True)
        os.environ[LISTEN_VARIABLE] = f"{self.server.fileno()},{self._lock}"
        signal.set_wakeup_fd(-1)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    def op_shutdown(self, request: dict[str, Any], _: list[int], connection: wire.Connection) -> dict[str, Any]:
        self.stopping = True
        return {}

    # Shims

    def _described(self, uid: str) -> dict[str, Any] | None:
        folder = records.PodFolder(self._run_dir, uid)
        pod = folder.pod()
        if pod is None:
            return None
        pid = folder.shim_pid(self._boot)
        lost = [] if pid else [folder.container(name, attempt) for name, attempt in folder.attempts()]
        return {"uid": uid, "pid": pid, "pod": pod, "containers": lost}

    def _fork(self, folder: records.PodFolder, server: socket.socket) -> int:
        pid = os.fork()
        if pid:
            server.close()
            self._adopt(pid, folder.uid)
            return pid
        try:
            self.close()
            os.close(self._lock)
            os.setsid()
            shim.Shim(folder, server, self._boot).run()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _fork_cleaner(self, uid: str) -> int:
        """A child that removes a dead shim's pod: its layers may be large."""
        pid = os.fork()
        if pid:
            self._adopt(pid, uid)
            return pid
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            shim.destroy(records.PodFolder(self._run_dir, uid))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _adopt(self, pid: int, uid: str) -> None:
        """Watch a shim by descriptor: it may be the child of a keeper before us."""
        self._shims[pid] = uid
        descriptor = os.pidfd_open(pid)
        self.watch(descriptor, lambda _: self._shim_ended(descriptor, pid))

    def _shim_ended(self, descriptor: int, pid: int) -> None:
        self.unwatch(descriptor)
        os.close(descriptor)
        uid = self._shims.pop(pid)
        self.on_child()
        self._conclude(uid)
        self.publish({"event": "ended", "uid": uid, "pod": self._described(uid)})
        for connection, request in self._removing.pop(uid, []):
            if os.path.isdir(records.PodFolder(self._run_dir, uid).path):
                self.refuse(connection, request, "Busy", f"pod {uid} could not be removed, the keeper's log says why")
            else:
                self.reply(connection, request, {})

    def _conclude(self, uid: str) -> None:
        folder = records.PodFolder(self._run_dir, uid)
        for orphan in self._strangers():
            os.kill(orphan, signal.SIGKILL)
        shim.conclude(folder, self._boot)

    def _strangers(self) -> list[int]:
        """Children that are no shims: what dead shims left, which came to us as their subreaper."""
        try:
            with open(f"/proc/self/task/{os.getpid()}/children") as file:
                return [int(pid) for pid in file.read().split() if int(pid) not in self._shims]
        except FileNotFoundError:
            return []  # a kernel without the list: marks and groups find them

    def on_child(self) -> None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
