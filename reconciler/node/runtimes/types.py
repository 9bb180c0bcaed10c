"""The runtime contract: what runs sandboxes and containers for the node agent.

A sandbox is a pod's shared surroundings (namespaces, address); containers run in it. Whatever is asked of a
runtime is idempotent: starting what runs answers with its state, stopping or removing what is gone succeeds.
A container is named by (pod uid, name, attempt) and one such triple never starts twice, whoever crashes.

Runtimes know nothing of the API, of volumes' contents or of restart policy: they get finished specs.
Implementations live beside this module, one file each (process.py; sim.py on a virtual clock).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

State = Literal["created", "running", "exited", "unknown"]
Stream = Literal["stdout", "stderr"]
LOST_EXIT_CODE = 137  # what Kubernetes reports with ContainerStatusUnknown


class RuntimeFailure(Exception):
    """A runtime could not do what was asked. `reason` is the waiting reason that the status shows."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason  # CreateContainerError, RunContainerError, ErrImagePull, FailedCreatePodSandBox, ...
        self.message = message


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory or file of the host at `target` in the container."""

    source: str
    target: str
    read_only: bool = False
    propagation: Literal["private", "slave", "shared"] = "private"
    sub_path: str = ""  # below `source`, resolved so that no symbolic link leaves it
    optional: bool = False  # left out where nothing can be mounted, instead of refusing the container


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits as cgroups take them; 0 or None is none."""

    cpu_shares: int = 2
    cpu_quota_us: int = 0
    cpu_period_us: int = 100_000
    memory_limit_bytes: int = 0
    oom_score_adj: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """The effective securityContext of one container, pod and container level already merged."""

    uid: int | None = None  # None: the image's own, root where it says nothing
    gid: int | None = None
    groups: tuple[int, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = True
    read_only_root: bool = False
    add_capabilities: tuple[str, ...] = ()  # names without CAP_, or ALL
    drop_capabilities: tuple[str, ...] = ()
    seccomp: Literal["RuntimeDefault", "Unconfined", "Localhost"] = "RuntimeDefault"
    seccomp_profile: str = ""  # with Localhost: a file below the node's profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    uid: str
    namespace: str
    name: str
    hostname: str
    log_dir: Path  # <log dir>/<container>/<attempt>.log, as under /var/log/pods
    host_network: bool = False
    host_pid: bool = False
    host_ipc: bool = False
    share_process_namespace: bool = False
    grace_seconds: float = 30.0  # between the stop signal and the kill, for whoever stops the pod without the daemon
    sysctls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    name: str
    attempt: int
    image: str
    command: tuple[str, ...] = ()  # replaces the image's entrypoint
    args: tuple[str, ...] = ()  # replaces the image's arguments
    env: tuple[tuple[str, str], ...] = ()
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    security: Security = Security()
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    stop_signal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One attempt of one container as the runtime sees it. Times are seconds since the epoch, 0 for never."""

    name: str
    attempt: int
    state: State
    id: str  # without the runtime's scheme
    image: str = ""
    image_id: str = ""
    pid: int = 0
    created_at: float = 0.0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    signal: int = 0
    oom_killed: bool = False
    reason: str = ""  # StartError or CreateContainerError where its program never ran
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A pod's surroundings; not `ready` once its shim or pause process is gone: its containers died with it."""

    uid: str
    namespace: str
    name: str
    ready: bool
    pid: int = 0  # a process in the pod's namespaces
    created_at: float = 0.0
    containers: tuple[Container, ...] = ()

    def latest(self, name: str) -> Container | None:
        """The newest attempt of a container."""
        return max((c for c in self.containers if c.name == name), key=lambda c: c.attempt, default=None)


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    output: bytes  # stdout and stderr, cut at the limit asked for
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What one container has used, from its cgroup; None where the machine does not say."""

    cpu_seconds: float | None = None
    cfs_periods: int | None = None
    cfs_throttled_periods: int | None = None
    memory_working_set_bytes: int | None = None
    memory_rss_bytes: int | None = None
    memory_cache_bytes: int | None = None
    memory_swap_bytes: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Which streams of a program a client wants; with `tty` stdout is a terminal's output, and there is no stderr."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; `failure` says why it never ran."""

    exit_code: int = 0
    failure: str = ""


class Session(Protocol):
    """A client connected to a program in a container."""

    async def read(self, stream: Stream) -> bytes:
        """The next piece of its output; b"" at the end, and for a stream that was not wanted."""

    async def write(self, data: bytes) -> bool:
        """Return once the program has taken its input; False where it does not read any."""

    def end_input(self) -> None: ...

    def resize(self, columns: int, rows: int) -> None:
        """Of its terminal, where it has one."""

    async def ended(self) -> Ended:
        """At once where the client is attached to a container: its streams' ends are all there is to wait for."""

    async def close(self) -> None:
        """Let go; a program that was run for the client is killed."""


Listener = Callable[[str], None]  # called with a pod uid whose sandbox or containers changed; must not block


class Runtime(Protocol):
    """All methods raise RuntimeFailure when the runtime could not; never for what is already so."""

    name: str  # "process": the scheme of container IDs
    version: str

    async def open(self, changed: Listener) -> None:
        """Connect, adopt whatever runs, and from now on call `changed` the moment a sandbox changes."""

    async def close(self) -> None:
        """Disconnect; everything keeps running."""

    def sandboxes(self) -> Mapping[str, Sandbox]:
        """Every sandbox by pod uid, as last reported; kept current, costs nothing."""

    async def start_sandbox(self, spec: SandboxSpec) -> Sandbox: ...

    async def stop_sandbox(self, uid: str) -> None:
        """Kill what still runs and let go of the namespaces; records and logs stay until `remove_sandbox`."""

    async def remove_sandbox(self, uid: str) -> None:
        """Kill what still runs and forget the pod: processes, records, mounts, cgroups, writable layers."""

    async def remove_unused_images(self) -> bool:
        """Make room by what no container uses and can be had again; whether there was any."""

    def resolve_image(self, image: str, command: Sequence[str]) -> str:
        """What `image` is here, in words for an Event; raises RuntimeFailure(ErrImagePull or InvalidImageName)."""

    async def start_container(self, uid: str, spec: ContainerSpec) -> Container: ...

    async def signal(self, uid: str, name: str, attempt: int, signal: str) -> None:
        """Send a signal by name ("TERM", "KILL", "" for the container's own stop signal) to its first process."""

    async def remove_container(self, uid: str, name: str, attempt: int) -> None:
        """Forget an exited attempt: its record, writable layer and logs."""

    async def exec(
        self, uid: str, name: str, command: Sequence[str], *, timeout_seconds: float, limit_bytes: int = 10_240
    ) -> ExecResult: ...

    async def run(self, uid: str, name: str, command: Sequence[str], streams: Streams) -> Session:
        """Run a program in a container for a client."""

    async def attach(self, uid: str, name: str, streams: Streams) -> Session:
        """Connect a client to the program that a container is."""

    async def open_socket(
        self, uid: str, *, bind: tuple[str, int] | None = None, connect: tuple[str, int] | None = None, kind: str = "tcp"
    ) -> int:
        """The descriptor of a socket made inside the pod's network namespace: listening, or connecting (non-blocking)."""

    def log_path(self, uid: str, name: str, attempt: int) -> Path | None:
        """Where the attempt's log is, None for a pod that is not known."""

    def layer_path(self, uid: str, name: str, attempt: int) -> Path | None:
        """Where the attempt's changes to its root are, None where there is no such place."""

    async def usage(self, uid: str) -> Mapping[str, Usage]:
        """Per container name."""


class Network(Protocol):
    """Gives pods their addresses (node/network.py, or HostNetwork where pods share the host's)."""

    async def attach(self, pid: int, pod_uid: str, host_ports: Sequence[tuple[str, int, int]] = ()) -> str:
        """Connect the network namespace of `pid`; returns the pod's address. (protocol, host port, container port)."""

    async def detach(self, pod_uid: str) -> None: ...


@dataclass(frozen=True, slots=True)
class HostNetwork:
    """Every pod has the host's address."""

    address: str

    async def attach(self, pid: int, pod_uid: str, host_ports: Sequence[tuple[str, int, int]] = ()) -> str:
        return self.address

    async def detach(self, pod_uid: str) -> None:
        return None
