"""What a node knows of one pod beside the pod itself: the facts that plan.py and status.py decide from.

Values only. The agent replaces them as things happen; a restarted daemon begins with empty ones and the sandboxes
that its runtime found, so everything here must be safe to forget.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from reconciler.model import meta
from reconciler.node.runtimes import types

Attempt = tuple[str, int]  # container name, attempt
EVICTED = "Evicted"


@dataclass(frozen=True, slots=True)
class Hook:
    """A postStart hook."""

    state: Literal["running", "done", "failed"]
    message: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """A container on its way out: preStop, TERM, and KILL at `deadline` (seconds since the epoch)."""

    deadline: float


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probes of one attempt say. `alive` turns False once, when liveness or startup failed for good."""

    started: bool = True
    ready: bool = True
    alive: bool = True
    why: str = ""  # "liveness" or "startup" when not alive


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long a container rests between restarts; reset after it ran for long."""

    delay_seconds: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something could not be started the last time, and when it is tried again."""

    reason: str
    message: str
    at: float
    retry_at: float
    version: str = ""  # of what it depends on: another one is reason to try at once
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Doom:
    """Why the node ends a pod for good."""

    reason: str
    message: str
    grace_seconds: float | None = None  # what it gets at most, where that is less than its own
    is_disruption: bool = False  # a DisruptionTarget condition says so, too

    @property
    def leaves_nothing(self) -> bool:
        """Whether its files go as soon as it has ended, for want of room."""
        return self.reason == EVICTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    sandbox: types.Sandbox | None = None
    ip: str = ""
    volumes: str = ""  # version of the contents that are in place; "" before the first time
    hooks: Mapping[Attempt, Hook] = field(default_factory=dict)
    stops: Mapping[Attempt, Stop] = field(default_factory=dict)
    probes: Mapping[Attempt, Probed] = field(default_factory=dict)
    messages: Mapping[Attempt, str] = field(default_factory=dict)  # termination messages
    back_offs: Mapping[str, BackOff] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)  # by container
    failure: Failure | None = None  # of volumes or sandbox
    doom: Doom | None = None  # what the node as a whole has decided

    def latest(self, name: str) -> types.Container | None:
        return self.sandbox.latest(name) if self.sandbox is not None else None

    def attempt(self, name: str, attempt: int) -> types.Container | None:
        containers = self.sandbox.containers if self.sandbox is not None else ()
        return next((c for c in containers if (c.name, c.attempt) == (name, attempt)), None)


NOTHING = Pod()


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What is the same for all pods of a node."""

    name: str
    address: str
    runtime: str  # scheme of container IDs
    allocatable: Mapping[str, str] = field(default_factory=dict)
    cluster_domain: str = "cluster.local"
    cluster_dns: str = ""


def runs(container: types.Container | None) -> bool:
    return container is not None and container.state in ("created", "running")


def status_of(pod: meta.Obj, name: str) -> Mapping[str, object]:
    """The container status that the pod carries now, {} where it has none."""
    status = meta.status(pod)
    for field_name in ("containerStatuses", "initContainerStatuses"):
        for one in status.get(field_name) or ():
            if one.get("name") == name:
                found: Mapping[str, object] = one
                return found
    return {}
