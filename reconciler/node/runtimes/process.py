"""The `process` runtime: containers as processes of this machine, held by the keeper's shims.

Invariants: what `sandboxes()` shows came from a shim or, for a dead one, from its records; an attempt that has
ended never runs again. One connection listens to the keeper and one to each shim; their events keep the picture
current, so nothing is polled. When the keeper is gone it is started again and everything is read anew.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal as signals
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import reconciler
from reconciler.kit import tasks
from reconciler.node import machine
from reconciler.node.keeper import client, leftovers, wire
from reconciler.node.keeper import launch as keeper_launch
from reconciler.node.runtimes import cgroups, images, launch, sessions, types

log = logging.getLogger(__name__)
T = TypeVar("T")

HELLO: Mapping[str, Any] = {"op": "hello"}
RETRY_SECONDS = 0.2
BUSY_ATTEMPTS = 25
BUSY_DELAY_SECONDS = 0.02
MAX_READ_BYTES = 65536
KUBELET_PROFILES = Path("/var/lib/kubelet/seccomp")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    run_dir: Path
    data_dir: Path
    images: Mapping[str, str] = dataclasses.field(default_factory=dict)
    host_images: bool = False
    mode: launch.Mode | None = None  # None: the most that the keeper may
    share_host_network: bool = False  # pods get no network namespace: nothing would connect it
    pod_pids_limit: int = 0
    hidden: tuple[str, ...] = ()  # further folders of the host that image `host` does not see


class ProcessRuntime:
    name = "process"
    version = reconciler.__version__

    def __init__(self, settings: Settings) -> None:
        self.images = images.Images(settings.data_dir, settings.images, host_images=settings.host_images)
        self._settings = settings
        self._keeper = settings.run_dir / keeper_launch.SOCKET
        self._sandboxes: dict[str, types.Sandbox] = {}
        self._specs: dict[str, types.SandboxSpec] = {}
        self._listening: dict[str, asyncio.Task[None]] = {}
        self._first: dict[str, client.Channel] = {}  # to a shim's first worker, for the pod's first container
        self._changed: types.Listener = _nobody
        self._around: launch.Surroundings | None = None
        self._tasks = tasks.Tasks()
        self._channels: set[client.Channel] = set()
        self._starting: list[str] = []  # ids of images that containers are made of right now

    @property
    def mode(self) -> launch.Mode:
        """What this user may do here; known after `open`."""
        return self._surroundings.mode

    @property
    def _surroundings(self) -> launch.Surroundings:
        if self._around is None:
            raise types.RuntimeFailure("FailedCreatePodSandBox", "the keeper is not connected")
        return self._around

    async def open(self, changed: types.Listener) -> None:
        self._changed = changed
        channel = await self._connect_again(attempts=BUSY_ATTEMPTS)
        self._tasks.start(self._follow_keeper(channel), "keeper events")

    async def close(self) -> None:
        await self._tasks.close()
        self._listening.clear()
        for channel in [*self._channels, *self._first.values()]:
            self._close(channel)
        self._first.clear()

    def sandboxes(self) -> Mapping[str, types.Sandbox]:
        return self._sandboxes

    # Sandboxes

    async def start_sandbox(self, spec: types.SandboxSpec) -> types.Sandbox:
        if self._settings.share_host_network and not spec.host_network:
            spec = dataclasses.replace(spec, host_network=True)
        pod = {
            "uid": spec.uid,
            "namespaces": launch.namespaces(spec, self.mode),
            "share_pid": spec.share_process_namespace and self.mode != "plain",
            "hostname": spec.hostname,
            "sysctls": dict(spec.sysctls),
            "folders": [str(self._surroundings.layers_dir / spec.uid), str(spec.log_dir)],
            "note": _note(spec),
        }
        self._specs[spec.uid] = spec
        if self._surroundings.groups.bases:
            self._tasks.start(asyncio.to_thread(cgroups.rouse), "cgroups")
        try:
            return await self._insist(lambda: self._create(pod))
        except client.Gone as error:
            raise types.RuntimeFailure("FailedCreatePodSandBox", f"the pod's shim ended at once: {error}") from error

    async def _create(self, pod: Mapping[str, Any]) -> types.Sandbox:
        """The answer and then events come from the shim, where it is new."""
        uid = pod["uid"]
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        first = client.Channel(ours)
        try:
            channel, hello = await self._subscribe(self._keeper, {"op": "create", "pod": pod}, [theirs.fileno()])
        except BaseException:
            first.close()
            raise
        finally:
            theirs.close()
        if "containers" in hello:
            self._first[uid] = first
            return self._follow(uid, pod, channel, hello)
        first.close()
        self._close(channel)
        return await self._listen(uid, pod)

    async def stop_sandbox(self, uid: str) -> None:
        await self._ask_keeper("stop", uid=uid)

    async def remove_sandbox(self, uid: str) -> None:
        await self._ask_keeper("remove", uid=uid)
        await asyncio.to_thread(leftovers.clear, str(self._surroundings.layers_dir / uid))  # of an earlier boot no keeper knows
        self._forget(uid)

    # Containers

    def resolve_image(self, image: str, command: Sequence[str]) -> str:
        return self.images.resolve(image, command).described

    async def remove_unused_images(self) -> bool:
        used = {container.image_id for sandbox in self._sandboxes.values() for container in sandbox.containers}
        return bool(await asyncio.to_thread(self.images.remove_unused, used | set(self._starting)))

    async def start_container(self, uid: str, spec: types.ContainerSpec) -> types.Container:
        image = self.images.resolve(spec.image, spec.command)
        description = launch.specification(self._surroundings, self._specs[uid], spec, image)
        fields: dict[str, Any] = {"name": spec.name, "attempt": spec.attempt, "spec": description}
        self._starting.append(image.id)
        try:
            answer = await self._ask_first(uid, "start", **fields) or await self._ask_shim(uid, "start", **fields)
            container = _container(uid, answer["container"])
            self._put(uid, container)
        finally:
            self._starting.remove(image.id)
        return container

    async def signal(self, uid: str, name: str, attempt: int, signal: str) -> None:
        number = signals.Signals[f"SIG{(signal or 'TERM').removeprefix('SIG')}"]
        with contextlib.suppress(client.Gone):  # a dead shim's containers are dead
            await client.request(self._shim(uid), "signal", name=name, attempt=attempt, signal=int(number))

    async def remove_container(self, uid: str, name: str, attempt: int) -> None:
        await self._ask_shim(uid, "remove", name=name, attempt=attempt)
        sandbox = self._sandboxes.get(uid)
        if sandbox is not None:
            kept = tuple(c for c in sandbox.containers if (c.name, c.attempt) != (name, attempt))
            self._sandboxes[uid] = dataclasses.replace(sandbox, containers=kept)

    async def exec(
        self, uid: str, name: str, command: Sequence[str], *, timeout_seconds: float, limit_bytes: int = 10_240
    ) -> types.ExecResult:
        """Raises RuntimeFailure where the program could not be started."""
        container = self._running(uid, name)
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(write, True)
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        output = bytearray()
        loop = asyncio.get_running_loop()
        loop.add_reader(read, _drain, read, output, limit_bytes)
        fields = {"name": name, "attempt": container.attempt, "spec": {"argv": list(command)}}
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._ask_shim(uid, "exec", descriptors=(null, write, write), **fields)
            _drain(read, output, limit_bytes)
            return types.ExecResult(answer["exit_code"], bytes(output[:limit_bytes]))
        except TimeoutError:  # the connection is closed by now, which kills the program
            return types.ExecResult(-1, bytes(output[:limit_bytes]), timed_out=True)
        finally:
            loop.remove_reader(read)
            for descriptor in (read, write, null):
                os.close(descriptor)

    async def run(self, uid: str, name: str, command: Sequence[str], streams: types.Streams) -> types.Session:
        return await sessions.execute(self._shim(uid), self._running(uid, name), command, streams)

    async def attach(self, uid: str, name: str, streams: types.Streams) -> types.Session:
        return await sessions.attach(self._shim(uid), self._running(uid, name), streams)

    async def open_socket(
        self, uid: str, *, bind: tuple[str, int] | None = None, connect: tuple[str, int] | None = None, kind: str = "tcp"
    ) -> int:
        address = bind or connect or ("", 0)
        family = "inet6" if ":" in address[0] else "inet"
        try:
            _, descriptors = await client.request_descriptors(
                self._shim(uid), "socket", family=family, type=kind, bind=bind, connect=connect
            )
        except (wire.Refused, client.Gone) as error:
            raise types.RuntimeFailure("SocketError", f"a socket of pod {uid}: {error}") from error
        return descriptors[0]

    async def usage(self, uid: str) -> Mapping[str, types.Usage]:
        sandbox, groups = self._sandboxes.get(uid), self._surroundings.groups
        running = [c for c in sandbox.containers if c.state == "running"] if sandbox is not None else []
        if not groups.bases:
            return await asyncio.to_thread(lambda: {c.name: machine.tree(c.pid) for c in running})
        return await asyncio.to_thread(lambda: {c.name: cgroups.usage(groups.of_container(uid, c.name, c.attempt)) for c in running})

    def log_path(self, uid: str, name: str, attempt: int) -> Path | None:
        spec = self._specs.get(uid)
        return launch.log_path(spec, name, attempt) if spec is not None else None

    def layer_path(self, uid: str, name: str, attempt: int) -> Path | None:
        return launch.layer_path(self._around, uid, name, attempt) if self._around is not None else None

    # The keeper and its shims

    def _running(self, uid: str, name: str) -> types.Container:
        container = self._sandboxes[uid].latest(name) if uid in self._sandboxes else None
        if container is None or container.state != "running":
            raise types.RuntimeFailure("NotRunning", f"container {name} is not running")
        return container

    def _shim(self, uid: str) -> Path:
        return self._settings.run_dir / "pods" / uid / "shim.sock"

    async def _ask_keeper(self, op: str, **fields: Any) -> dict[str, Any]:
        return await self._insist(lambda: client.request(self._keeper, op, **fields))

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """A keeper that is gone is started again; one that says Busy is asked again."""
        for attempt in range(BUSY_ATTEMPTS):
            try:
                return await ask()
            except client.Gone as error:
                await self._launch(error)
            except wire.Refused as error:
                if error.reason != "Busy" or attempt == BUSY_ATTEMPTS - 1:
                    raise types.RuntimeFailure("FailedCreatePodSandBox", error.message) from error
            await asyncio.sleep(BUSY_DELAY_SECONDS)
        raise types.RuntimeFailure("FailedCreatePodSandBox", "the keeper does not answer")

    async def _launch(self, cause: Exception) -> None:
        try:
            await keeper_launch.launch(self._settings.run_dir)
        except (keeper_launch.LaunchFailure, OSError) as error:
            raise types.RuntimeFailure("FailedCreatePodSandBox", f"the keeper does not start: {error}") from cause

    async def _ask_first(self, uid: str, op: str, **fields: Any) -> dict[str, Any] | None:
        """By the worker that made the sandbox, once and where it still waits; None where it does not."""
        channel = self._first.pop(uid, None)
        if channel is None:
            return None
        try:
            await channel.send({"op": op, **fields})
            answer, _ = await channel.answer()
        except wire.Refused as error:
            raise types.RuntimeFailure(error.reason, error.message) from error
        except client.Gone:
            return None
        finally:
            channel.close()
        return answer

    async def _ask_shim(self, uid: str, op: str, descriptors: Sequence[int] = (), **fields: Any) -> dict[str, Any]:
        try:
            return await client.request(self._shim(uid), op, descriptors, **fields)
        except wire.Refused as error:
            raise types.RuntimeFailure(error.reason, error.message) from error
        except client.Gone as error:
            raise types.RuntimeFailure("ContainerStatusUnknown", f"the shim of pod {uid} is gone") from error

    async def _connect_again(self, attempts: int | None = None) -> client.Channel:
        """Until it succeeds, or for so many attempts."""
        while True:
            try:
                return await self._connect()
            except (keeper_launch.LaunchFailure, client.Gone, wire.Refused, OSError) as error:
                attempts = None if attempts is None else attempts - 1
                if attempts == 0:
                    raise types.RuntimeFailure("RuntimeNotReady", f"the keeper does not start: {error}") from error
                log.warning("the keeper does not start", extra={"facts": {"error": error}})
                await asyncio.sleep(RETRY_SECONDS)

    async def _subscribe(
        self, path: Path, request: Mapping[str, Any] = HELLO, descriptors: Sequence[int] = ()
    ) -> tuple[client.Channel, dict[str, Any]]:
        """A connection that hears events, and what was there when it began."""
        channel = await client.Channel.connect(path)
        self._channels.add(channel)
        try:
            await channel.send(request, descriptors)
            hello, _ = await channel.answer()
        except BaseException:
            self._close(channel)
            raise
        return channel, hello

    def _close(self, channel: client.Channel) -> None:
        self._channels.discard(channel)
        channel.close()

    async def _connect(self) -> client.Channel:
        """Subscribe to the keeper, then read what there is."""
        await keeper_launch.launch(self._settings.run_dir)
        channel, hello = await self._subscribe(self._keeper)
        self._around = self._surroundings_of(hello["abilities"])
        pods = (await client.request(self._keeper, "list"))["pods"]
        known = {pod["uid"] for pod in pods}
        for uid in [uid for uid in self._sandboxes if uid not in known]:
            self._forget(uid)
        await asyncio.gather(*map(self._adopt, pods))
        return channel

    def _surroundings_of(self, abilities: Mapping[str, Any]) -> launch.Surroundings:
        settings = self._settings
        mode: launch.Mode = settings.mode or abilities["mode"]
        hidden = (str(settings.data_dir), str(settings.run_dir), *settings.hidden)
        may = mode != "plain" or abilities["uid"] == 0
        groups = cgroups.detect(abilities["cgroup"], settings.pod_pids_limit) if may else cgroups.Groups({})
        profiles = settings.data_dir / "seccomp", KUBELET_PROFILES
        return launch.Surroundings(mode, settings.data_dir / "layers", hidden, groups, profiles)

    async def _adopt(self, pod: Mapping[str, Any]) -> None:
        uid = pod["uid"]
        self._specs[uid] = _spec(uid, pod["pod"]["note"])
        if uid in self._listening:
            return
        if pod["pid"]:
            with contextlib.suppress(client.Gone, wire.Refused):  # it ended meanwhile: the keeper's event tells
                await self._listen(uid, pod["pod"])
                return
        self._bury(uid, pod)

    async def _follow_keeper(self, channel: client.Channel) -> None:
        while True:
            async for event in channel.events():
                if event["event"] == "ended" and not self._is_replaced(event["uid"], event["shim"]):
                    self._bury(event["uid"], event["pod"])
            self._close(channel)
            log.warning("the keeper is gone, starting it again")
            channel = await self._connect_again()

    async def _listen(self, uid: str, pod: Mapping[str, Any]) -> types.Sandbox:
        """Subscribe to a shim; the sandbox as it is now."""
        channel, hello = await self._subscribe(self._shim(uid))
        return self._follow(uid, pod, channel, hello)

    def _follow(self, uid: str, pod: Mapping[str, Any], channel: client.Channel, hello: Mapping[str, Any]) -> types.Sandbox:
        spec = self._specs[uid]
        containers = self._merged(uid, hello["containers"])
        created = pod["note"]["created_at"]
        sandbox = types.Sandbox(
            uid=uid, namespace=spec.namespace, name=spec.name, ready=True, pid=hello["pid"], created_at=created, containers=containers
        )
        self._sandboxes[uid] = sandbox
        old = self._listening.pop(uid, None)
        if old is not None:
            old.cancel()
        self._listening[uid] = self._tasks.start(self._follow_shim(uid, channel), f"shim {uid}")
        self._changed(uid)
        return sandbox

    async def _follow_shim(self, uid: str, channel: client.Channel) -> None:
        try:
            async for event in channel.events():
                if event["event"] == "exit":
                    self._put(uid, _container(uid, event["container"]))
        finally:
            self._close(channel)
        if self._listening.get(uid) is asyncio.current_task():
            del self._listening[uid]
            self._close_first(uid)
            sandbox = self._sandboxes.get(uid)
            if sandbox is not None:  # the keeper tells soon what became of its containers
                self._sandboxes[uid] = dataclasses.replace(sandbox, ready=False, pid=0)

    def _close_first(self, uid: str) -> None:
        first = self._first.pop(uid, None)
        if first is not None:
            first.close()

    def _put(self, uid: str, container: types.Container) -> None:
        sandbox = self._sandboxes.get(uid)
        if sandbox is None:
            return
        others = [c for c in sandbox.containers if (c.name, c.attempt) != (container.name, container.attempt)]
        known = next((c for c in sandbox.containers if (c.name, c.attempt) == (container.name, container.attempt)), None)
        if known is not None and known.state in ("exited", "unknown"):
            return  # news that its end has overtaken
        self._sandboxes[uid] = dataclasses.replace(sandbox, containers=(*others, container))
        self._changed(uid)

    def _is_replaced(self, uid: str, shim: int) -> bool:
        """Whether the pod has another shim than the one that ended."""
        sandbox = self._sandboxes.get(uid)
        return sandbox is not None and sandbox.ready and sandbox.pid != shim

    def _merged(self, uid: str, records: Iterable[Mapping[str, Any]]) -> tuple[types.Container, ...]:
        """What was read, and what has happened since: newer attempts, and ends."""
        found = {(c.name, c.attempt): c for c in (_container(uid, record) for record in records)}
        newest = dict(sorted(found))
        sandbox = self._sandboxes.get(uid)
        for known in sandbox.containers if sandbox is not None else ():
            has_ended = known.state in ("exited", "unknown")
            if known.attempt > newest.get(known.name, -1) or (has_ended and (known.name, known.attempt) in found):
                found[known.name, known.attempt] = known
        return tuple(found.values())

    def _bury(self, uid: str, pod: Mapping[str, Any] | None) -> None:
        """A shim ended; `pod` is what its records say now, None where it was removed."""
        if pod is None:
            self._forget(uid)
        elif not pod["pid"]:
            spec = self._specs[uid] = _spec(uid, pod["pod"]["note"])
            self._sandboxes[uid] = types.Sandbox(
                uid=uid,
                namespace=spec.namespace,
                name=spec.name,
                ready=False,
                created_at=pod["pod"]["note"]["created_at"],
                containers=self._merged(uid, pod["containers"]),
            )
        self._changed(uid)

    def _forget(self, uid: str) -> None:
        self._sandboxes.pop(uid, None)
        self._specs.pop(uid, None)
        self._close_first(uid)
        listening = self._listening.pop(uid, None)
        if listening is not None:
            listening.cancel()
        self._changed(uid)


def _nobody(_: str) -> None:
    """Before `open`."""


def _drain(descriptor: int, output: bytearray, limit_bytes: int) -> None:
    """Read what there is; more than the limit is read and dropped, so that the program goes on."""
    try:
        data = os.read(descriptor, MAX_READ_BYTES)
    except BlockingIOError:
        return
    output += data[: max(0, limit_bytes - len(output))]


def _note(spec: types.SandboxSpec) -> dict[str, Any]:
    """What is kept of a sandbox's spec, to be the same after a restart of the daemon."""
    kept = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec) if field.name not in ("uid", "sysctls")}
    return {**kept, "log_dir": str(spec.log_dir), "created_at": time.time()}


def _spec(uid: str, note: Mapping[str, Any]) -> types.SandboxSpec:
    fields = {name: value for name, value in note.items() if name != "created_at"}
    return types.SandboxSpec(uid=uid, **{**fields, "log_dir": Path(fields["log_dir"])})


def _container(uid: str, record: Mapping[str, Any]) -> types.Container:
    note = record.get("note") or {}
    reason, message = record.get("reason", ""), record.get("message", "")
    return types.Container(
        name=record["name"],
        attempt=record["attempt"],
        state=record["state"],
        id=launch.container_id(uid, record["name"], record["attempt"]),
        image=note.get("image", ""),
        image_id=note.get("image_id", ""),
        pid=record.get("pid", 0),
        created_at=record["created_ns"] / 1e9,
        started_at=record.get("started_ns", 0) / 1e9,
        finished_at=record.get("finished_ns", 0) / 1e9,
        exit_code=record.get("exit_code", 0),
        signal=record.get("signal", 0),
        oom_killed=bool(record.get("oom")),
        reason=reason,
        message=message,
    )
