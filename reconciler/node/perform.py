"""Performs what plan.py plans: volumes, sandboxes, containers, and the way out.

Everything here is idempotent, for a plan may be performed again after a crash. Failures become part of the pod's
observation (and an Event), so that its status says them; they never fail the plan, which would only repeat it.
"""

import asyncio
import dataclasses
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.client import protocol
from reconciler.kinds import pod as pods
from reconciler.kit import clock as clocks
from reconciler.kit import tasks
from reconciler.loop import perform
from reconciler.model import meta, plan
from reconciler.node import environment, lifecycle, memory, metrics, observed, specs, tokens
from reconciler.node import plan as decisions
from reconciler.node.runtimes import types
from reconciler.node.volumes import claims, contents, places, writer

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 10.0, 300.0
IMAGE_REASONS = ("ErrImagePull", "ErrImageNeverPull", "InvalidImageName")
BACK_OFF_PULLING_SECONDS = 1.0  # ErrImagePull is shown so long before it becomes ImagePullBackOff
MIN_TERM_SECONDS = 2.0  # what preStop leaves of the grace period at least, as in the kubelet
MAX_MESSAGE_BYTES = 4096
MANAGED_FILES = {"/etc/hosts": "etc-hosts", "/etc/hostname": "hostname", "/etc/resolv.conf": "resolv.conf"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    node: observed.Node
    pods_dir: Path  # volumes and managed files, a folder a pod
    log_root: Path  # /var/log/pods
    memory_capacity_bytes: int = 0
    host_images: bool = False


class Performer:
    def __init__(
        self,
        settings: Settings,
        runtime: types.Runtime,
        network: types.Network,
        pods_memory: memory.Memory,
        service_tokens: tokens.Tokens,
        asker: lifecycle.Asker,
        emit: memory.Emitter,
        clock: clocks.Clock,
        view: Any,
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._network = network
        self._memory = pods_memory
        self._tokens = service_tokens
        self._asker = asker
        self._emit = emit
        self._clock = clock
        self._view = view
        self._tasks = tasks.Tasks()
        self._stopping: dict[tuple[str, observed.Attempt], asyncio.Task[None]] = {}

    def performers(self) -> Mapping[type, perform.Performer]:
        async def do(action: plan.Action, _: protocol.Origin) -> None:
            await self._do(action)

        return dict.fromkeys(_ACTIONS, do)

    async def close(self) -> None:
        await self._tasks.close()

    async def _do(self, action: Any) -> None:
        operation = _OPERATIONS[type(action)]
        metrics.OPERATIONS.labels(operation).inc()
        sync = _sync(action)
        started = self._clock.monotonic()
        try:
            await _ACTIONS[type(action)](self, action)
        except types.RuntimeFailure as failure:
            metrics.OPERATION_ERRORS.labels(operation).inc()
            raise OSError(f"{failure.reason}: {failure.message}") from failure
        finally:
            metrics.OPERATION_SECONDS.labels(operation).observe(self._clock.monotonic() - started)
            metrics.POD_WORKER_SECONDS.labels(sync).observe(self._clock.monotonic() - started)

    # Volumes

    async def prepare_volumes(self, action: decisions.PrepareVolumes) -> None:
        pod, uid = action.pod, meta.uid(action.pod)
        try:
            await self._tokens.obtain(pod)
            files = self._contents(self._with_addresses(pod))
            await asyncio.to_thread(self._write_volumes, pod, claims.settled(pod, self._view), files)
        except (contents.Missing, OSError) as error:
            self._fail_pod(pod, "FailedMount", str(error), action.version)
            return
        self._memory.change(uid, volumes=action.version, failure=None)

    def _contents(self, pod: meta.Obj) -> dict[str, dict[str, contents.File]]:
        found = {}
        for volume in meta.spec(pod).get("volumes") or ():
            if not contents.is_written(volume):
                continue
            try:
                found[volume["name"]] = contents.files(
                    volume, pod, self._view, allocatable=self._settings.node.allocatable, tokens=self._tokens.of(pod)
                )
            except contents.Missing as error:
                raise contents.Missing(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
        return found

    def _write_volumes(self, pod: meta.Obj, volumes: Sequence[Mapping[str, Any]], files: Mapping[str, Mapping[str, contents.File]]) -> None:
        folder, gid = self.pod_dir(pod), specs.fs_group(pod)
        folder.mkdir(parents=True, exist_ok=True)
        for volume in volumes:
            place = places.folder(folder, meta.uid(pod), volume)
            try:
                if volume["name"] in files:
                    writer.write(place, files[volume["name"]], gid=gid)
                else:
                    places.prepare(place, volume, gid=gid)
            except contents.Missing as error:
                raise contents.Missing(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error

    # Sandboxes

    async def start_sandbox(self, action: decisions.StartSandbox) -> None:
        pod, uid = action.pod, meta.uid(action.pod)
        spec = specs.sandbox(pod, self._settings.log_root)
        lost = self._memory.of(uid).sandbox
        try:
            if lost is not None and not lost.ready:
                await self._network.detach(uid)  # what connected it went with it
            sandbox = await self._runtime.start_sandbox(spec)
            ip = self._settings.node.address
            if not spec.host_network:
                ip = await self._network.attach(sandbox.pid, uid, specs.host_ports(pod))
        except types.RuntimeFailure as error:
            self._fail_pod(pod, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error.message}", "")
            return
        self._write_managed_files(pod, spec.hostname, ip)
        self._memory.change(uid, ip=ip, failure=None)

    def _write_managed_files(self, pod: meta.Obj, hostname: str, ip: str) -> None:
        folder, node = self.pod_dir(pod), self._settings.node
        folder.mkdir(parents=True, exist_ok=True)
        try:
            host = Path("/etc/resolv.conf").read_text()
        except OSError:
            host = ""
        texts = {
            "etc-hosts": specs.hosts_file(pod, hostname, ip),
            "hostname": hostname + "\n",
            "resolv.conf": specs.resolver_file(pod, host, node.cluster_dns, node.cluster_domain),
        }
        for name, text in texts.items():
            path = folder / name
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
                path.chmod(0o644)

    async def stop_sandbox(self, action: decisions.StopSandbox) -> None:
        await self._network.detach(action.uid)
        await self._runtime.stop_sandbox(action.uid)

    async def remove_pod(self, action: decisions.RemovePod) -> None:
        for key in [key for key in self._stopping if key[0] == action.uid]:
            self._stopping.pop(key).cancel()
        await self._network.detach(action.uid)
        await self._runtime.remove_sandbox(action.uid)
        await asyncio.to_thread(self._remove_folders, action.uid)
        self._tokens.forget(action.uid)
        self._memory.forget(action.uid)

    def _remove_folders(self, uid: str) -> None:
        """Logs too: of a pod that ended with an earlier boot the runtime knows nothing."""
        places.remove(self._settings.pods_dir / uid, uid)
        for logs in self._settings.log_root.glob(f"*_{uid}"):
            shutil.rmtree(logs, ignore_errors=True)

    # Containers

    async def start_container(self, action: decisions.StartContainer) -> None:
        pod, uid, wanted = action.pod, meta.uid(action.pod), action.container
        name = wanted["name"]
        try:
            found = self._resolve_image(pod, wanted)
            spec = self._specify(pod, wanted, action.attempt)
            started = await self._runtime.start_container(uid, spec)
        except (specs.Refused, environment.Unresolved, contents.Missing) as error:
            self._fail_container(action, "CreateContainerConfigError", str(error))
            return
        except types.RuntimeFailure as error:
            self._fail_container(action, error.reason, error.message)
            return
        except OSError as error:
            self._fail_container(action, "CreateContainerError", str(error))
            return
        known = self._memory.of(uid)
        back_offs = {**known.back_offs, name: action.back_off} if action.back_off is not None else known.back_offs
        failures = {one: failure for one, failure in known.failures.items() if one != name}
        self._memory.change(uid, back_offs=back_offs, failures=failures)
        if started.state == "exited" and started.reason:
            self._emit(pod, name, "Warning", "Failed", f"Error: {started.message}")
            return
        sandbox = known.sandbox
        if action.attempt == 0 and sandbox is not None:
            metrics.POD_START_SECONDS.observe(self._clock.now() - sandbox.created_at)
        self._emit(pod, name, "Normal", "Pulled", f'Container image "{wanted.get("image")}" already present on machine: {found}')
        self._emit(pod, name, "Normal", "Created", f"Created container: {name}")
        self._emit(pod, name, "Normal", "Started", f"Started container {name}")
        hook = (wanted.get("lifecycle") or {}).get("postStart")
        if hook:
            self._set_hook(uid, (name, action.attempt), observed.Hook("running"))
            self._tasks.start(self._post_start(pod, wanted, action.attempt, hook), f"postStart of {name}")

    def _resolve_image(self, pod: meta.Obj, wanted: Mapping[str, Any]) -> str:
        image = str(wanted.get("image") or "")
        try:
            return self._runtime.resolve_image(image, wanted.get("command") or ())
        except types.RuntimeFailure as failure:
            if failure.reason == "ErrImagePull" and wanted.get("imagePullPolicy") == "Never":
                message = f'Container image "{image}" is not present with pull policy of Never'
                raise types.RuntimeFailure("ErrImageNeverPull", message) from failure
            raise

    def _specify(self, pod: meta.Obj, wanted: Mapping[str, Any], attempt: int) -> types.ContainerSpec:
        complete = self._with_addresses(pod)
        variables = environment.of(complete, wanted, self._view, self._settings.node.allocatable)
        mounts = [*self._volume_mounts(pod, wanted, dict(variables)), *self._managed_mounts(pod, wanted, attempt)]
        return specs.container(complete, wanted, attempt, variables, mounts, self._settings.memory_capacity_bytes)

    def _with_addresses(self, pod: meta.Obj) -> meta.Obj:
        """The pod as its own variables see it: its status may not say its address yet."""
        node, ip = self._settings.node, self._memory.of(meta.uid(pod)).ip or pods.ip(pod)
        known = {"hostIP": node.address, "hostIPs": [{"ip": node.address}]}
        if ip:
            known |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        return {**pod, "status": {**meta.status(pod), **known}}

    def _volume_mounts(self, pod: meta.Obj, wanted: Mapping[str, Any], variables: Mapping[str, str]) -> list[types.Mount]:
        volumes = {volume["name"]: volume for volume in claims.settled(pod, self._view)}
        mounts = []
        for one in wanted.get("volumeMounts") or ():
            volume = volumes.get(one["name"])
            if volume is None:
                raise contents.Missing(f"volume {one['name']} of mount {one['mountPath']} does not exist")
            mount = places.mount(places.folder(self.pod_dir(pod), meta.uid(pod), volume), one, variables)
            token_only = any("serviceAccountToken" in source for source in (volume.get("projected") or {}).get("sources") or ())
            only_read = mount.read_only or bool(volume.get("readOnly"))
            mounts.append(dataclasses.replace(mount, optional=token_only, read_only=only_read))
        return mounts

    def _managed_mounts(self, pod: meta.Obj, wanted: Mapping[str, Any], attempt: int) -> list[types.Mount]:
        """Files that the node keeps for every container, unless a volume is mounted there."""
        taken = {os.path.normpath(one["mountPath"]) for one in wanted.get("volumeMounts") or ()}
        folder = self.pod_dir(pod)
        mounts = [
            types.Mount(str(folder / name), target, optional=True)
            for target, name in MANAGED_FILES.items()
            if target not in taken and not (target == "/etc/hosts" and meta.spec(pod).get("hostNetwork"))
        ]
        path = str(wanted.get("terminationMessagePath") or "/dev/termination-log")
        message = self.message_path(meta.uid(pod), wanted["name"], attempt)
        message.parent.mkdir(parents=True, exist_ok=True)
        message.touch()
        message.chmod(0o666)  # whatever user the container runs as
        return [*mounts, types.Mount(str(message), path, optional=True)]

    async def remove_container(self, action: decisions.RemoveContainer) -> None:
        await self._runtime.remove_container(action.uid, action.name, action.attempt)
        self.message_path(action.uid, action.name, action.attempt).unlink(missing_ok=True)

    # Hooks and the way out

    async def _post_start(self, pod: meta.Obj, wanted: Mapping[str, Any], attempt: int, hook: Mapping[str, Any]) -> None:
        uid, name = meta.uid(pod), wanted["name"]
        target = lifecycle.Target(pod, wanted, self._memory.of(uid).ip)
        verdict = await self._asker.ask(target, hook, lifecycle.DEFAULT_TIMEOUT_SECONDS)
        if not verdict.passed:
            self._emit(pod, name, "Warning", "FailedPostStartHook", f"PostStartHook failed: {verdict.output}".rstrip(": "))
        self._set_hook(uid, (name, attempt), observed.Hook("done" if verdict.passed else "failed", verdict.output))

    def _set_hook(self, uid: str, attempt: observed.Attempt, hook: observed.Hook) -> None:
        self._memory.change(uid, hooks={**self._memory.of(uid).hooks, attempt: hook})

    async def stop_container(self, action: decisions.StopContainer) -> None:
        """Starts the way out and returns; asked again it only may hurry."""
        uid, attempt = meta.uid(action.pod), (action.container["name"], action.attempt)
        stops = self._memory.of(uid).stops
        self._memory.change(uid, stops={**stops, attempt: observed.Stop(action.deadline)})
        running = self._stopping.get((uid, attempt))
        if running is not None:
            running.cancel()
        else:
            self._emit(action.pod, attempt[0], "Normal", "Killing", action.message)
        self._stopping[uid, attempt] = self._tasks.start(self._stop(action, again=running is not None), f"stop {uid}/{attempt[0]}")

    async def _stop(self, action: decisions.StopContainer, *, again: bool) -> None:
        uid, name = meta.uid(action.pod), action.container["name"]
        hook = (action.container.get("lifecycle") or {}).get("preStop")
        left = action.deadline - self._clock.now()
        try:
            if hook and left > 0 and not again:
                target = lifecycle.Target(action.pod, action.container, self._memory.of(uid).ip)
                verdict = await self._asker.ask(target, hook, left)
                if not verdict.passed:
                    self._emit(action.pod, name, "Warning", "FailedPreStopHook", f"PreStopHook failed: {verdict.output}".rstrip(": "))
                left = max(action.deadline - self._clock.now(), MIN_TERM_SECONDS)
            if left > 0:
                signal = (action.container.get("lifecycle") or {}).get("stopSignal") or "TERM"
                await self._runtime.signal(uid, name, action.attempt, signal)
                await self._clock.sleep(left)
            await self._runtime.signal(uid, name, action.attempt, "KILL")
        except types.RuntimeFailure as failure:
            log.warning("stopping failed", extra={"facts": {"pod": uid, "container": name, "error": failure}})

    def ended(self, uid: str, attempt: observed.Attempt) -> None:
        """A container has ended: nothing more needs to be done to stop it."""
        task = self._stopping.pop((uid, attempt), None)
        if task is not None:
            task.cancel()

    # What containers say when they end

    def termination_message(self, pod: meta.Obj, wanted: Mapping[str, Any], ended: types.Container) -> str:
        """Its termination message file; or with FallbackToLogsOnError the end of its log."""
        try:
            data = self.message_path(meta.uid(pod), ended.name, ended.attempt).read_bytes()[:MAX_MESSAGE_BYTES]
        except OSError:
            data = b""
        if data or ended.exit_code == 0 or wanted.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return data.decode(errors="replace")
        path = self._runtime.log_path(meta.uid(pod), ended.name, ended.attempt)
        return _log_end(path) if path is not None else ""

    def pod_dir(self, pod: meta.Obj) -> Path:
        return self._settings.pods_dir / meta.uid(pod)

    def message_path(self, uid: str, name: str, attempt: int) -> Path:
        return self._settings.pods_dir / uid / "containers" / name / f"{attempt}.message"

    # Failures

    def _fail_pod(self, pod: meta.Obj, reason: str, message: str, version: str) -> None:
        old = self._memory.of(meta.uid(pod)).failure
        self._memory.change(meta.uid(pod), failure=self._failure(old, reason, message, version))
        self._emit(pod, "", "Warning", reason, message)

    def _fail_container(self, action: decisions.StartContainer, reason: str, message: str) -> None:
        uid, name, image = meta.uid(action.pod), action.container["name"], action.container.get("image")
        known = self._memory.of(uid)
        failure = self._failure(known.failures.get(name), reason, message, action.version)
        self._memory.change(uid, failures={**known.failures, name: failure})
        if reason in IMAGE_REASONS:
            self._emit(action.pod, name, "Warning", "Failed", f'Failed to pull image "{image}": {message}')
        self._emit(action.pod, name, "Warning", "Failed", f"Error: {reason if reason in IMAGE_REASONS else message}")
        if reason == "ErrImagePull":
            self._tasks.start(self._back_off_pulling(uid, name, failure, f'Back-off pulling image "{image}"'), f"back-off of {name}")

    async def _back_off_pulling(self, uid: str, name: str, failure: observed.Failure, words: str) -> None:
        """The status says what went wrong first, then that it is waited before the next attempt."""
        await self._clock.sleep(BACK_OFF_PULLING_SECONDS)
        known = self._memory.of(uid)
        if known.failures.get(name) is failure:
            shown = dataclasses.replace(failure, reason="ImagePullBackOff", message=f"{words}: ErrImagePull: {failure.message}")
            self._memory.change(uid, failures={**known.failures, name: shown})

    def _failure(self, old: observed.Failure | None, reason: str, message: str, version: str) -> observed.Failure:
        now, count = self._clock.now(), (old.count if old is not None else 0) + 1
        delay = min(FIRST_RETRY_SECONDS * 2 ** (count - 1), LAST_RETRY_SECONDS)
        return observed.Failure(reason, message, now, now + delay, version, count)


def _log_end(path: Path) -> str:
    """The last lines of a CRI log, 2 KiB at most."""
    try:
        lines = path.read_bytes()[-8192:].split(b"\n")[-81:]
    except OSError:
        return ""
    text = b"\n".join(line.split(b" ", 3)[-1] for line in lines if line.count(b" ") >= 3)
    return text[-2048:].decode(errors="replace")


def _sync(action: Any) -> str:
    """The kubelet's kind of work on a pod: create before it ever ran, sync while it runs, kill on its way out."""
    if isinstance(action, decisions.StopContainer | decisions.StopSandbox | decisions.RemovePod):
        return "kill"
    pod = getattr(action, "pod", None)
    return "sync" if pod is None or meta.status(pod).get("startTime") else "create"


# The names of the CRI's calls, as dashboards know them.
_OPERATIONS: dict[type, str] = {
    decisions.PrepareVolumes: "prepare_volumes",
    decisions.StartSandbox: "run_podsandbox",
    decisions.StartContainer: "start_container",
    decisions.StopContainer: "stop_container",
    decisions.StopSandbox: "stop_podsandbox",
    decisions.RemoveContainer: "remove_container",
    decisions.RemovePod: "remove_podsandbox",
}
_ACTIONS: dict[type, Any] = {
    decisions.PrepareVolumes: Performer.prepare_volumes,
    decisions.StartSandbox: Performer.start_sandbox,
    decisions.StartContainer: Performer.start_container,
    decisions.StopContainer: Performer.stop_container,
    decisions.StopSandbox: Performer.stop_sandbox,
    decisions.RemoveContainer: Performer.remove_container,
    decisions.RemovePod: Performer.remove_pod,
}
