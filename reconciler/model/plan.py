"""The shape of every decision: `plan(view, key, now) -> Plan`.

A planner is a plain synchronous function without I/O, clock or randomness. What it wants done is a Plan: groups
of actions. Actions of one group run concurrently; a group starts only when the one before it succeeded; on any
failure the rest is dropped and the key is planned afresh. This module deliberately knows nothing of how actions
are performed (loop/driver.py) nor of what exists (model/view.py).

The API actions below are also what a client performs (client/protocol.py): a plan is a list of requests with
reasons. Agents that act on more than the API (containers, rules, sockets) add action types of their own, frozen
dataclasses with a `why`, and a performer for them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from reconciler.model import errors, meta
from reconciler.model.view import View

MAX_CREATES = 500  # Kubernetes' burst: kube-controller-manager never starts more creates for one key at once
BUDGET_SECONDS = 0.010  # what one call of a planner may take; longer work returns partially with again_at = now

PatchType = Literal["json", "merge", "strategic", "apply"]
Propagation = Literal["Background", "Foreground", "Orphan"]


class Action(Protocol):
    """Anything a plan may ask for."""

    @property
    def why(self) -> str: ...


# What to do when the server refuses an action, such as an Event and a condition with its message. Pure. The driver
# performs it in place of the rest of the plan, and plans the key afresh after it.
Refusal = Callable[[errors.StatusError], "Iterable[Action]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Emit:
    """An Event about `regarding`; repeated ones are counted, not stored again."""

    regarding: meta.Obj
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"
    why: str = ""
    action: str = ""
    component: str = ""  # who reports it; empty: the controller's own name


# The API actions share two optional fields: `announce` is emitted once the action took effect, whatever becomes of
# its neighbours in the group; `refused` is its Refusal. All but patches may carry a `guard`, the owner as the plan saw
# it, so that of two leaders only one that knows the owner can add, resize or take away;
# only the in-process client can hold to it.


@dataclass(frozen=True, slots=True)
class Guard:
    """An object that must still be at `resource_version` for an action to take effect; else it is a Conflict."""

    kind: str
    namespace: str
    name: str
    resource_version: str


def guard(kind: str, obj: meta.Obj) -> Guard:
    return Guard(kind, meta.namespace(obj), meta.name(obj), meta.resource_version(obj))


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """POST of `body`. AlreadyExists counts as success where the object that exists has the same controller.

    With a `subresource` it is a POST to that of the object which the metadata of `body` names: kind "pods",
    "binding" and a v1 Binding bind a pod, "eviction" and a policy/v1 Eviction evict one. `metadata.uid` in such
    a body is a precondition. What comes back as `Written` is the answer (a Status), with the parent's revision.
    """

    kind: str  # Kind.id, such as "replicasets.apps"
    body: meta.Obj
    why: str
    subresource: str = ""  # "binding", "eviction", "token", ...; "" is the kind itself
    guard: Guard | None = None
    announce: Emit | None = field(default=None, compare=False)
    refused: Refusal | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """PUT of `body`, whose metadata carries the uid and the resourceVersion that the decision was made on."""

    kind: str
    body: meta.Obj
    why: str
    subresource: str = ""  # "status", "scale", ... ; "" is the object itself
    guard: Guard | None = None
    announce: Emit | None = field(default=None, compare=False)
    refused: Refusal | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """PATCH. `uid` and, where the decision rests on content, `resource_version` become preconditions.

    `patch` is a mapping for merge, strategic and apply, a list of operations for json. `force` and the field
    manager matter to apply only; an empty manager means the client's own.
    """

    kind: str
    namespace: str
    name: str
    type: PatchType
    patch: Any
    why: str
    uid: str = ""
    resource_version: str = ""
    subresource: str = ""
    force: bool = False
    manager: str = ""
    source: str = ""  # file:line that the change came from, kept as provenance
    announce: Emit | None = field(default=None, compare=False)
    refused: Refusal | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """DELETE. NotFound counts as success. A grace of None leaves the kind's own."""

    kind: str
    namespace: str
    name: str
    why: str
    uid: str = ""
    resource_version: str = ""
    grace_seconds: int | None = None
    propagation: Propagation | None = None
    guard: Guard | None = None
    announce: Emit | None = field(default=None, compare=False)
    refused: Refusal | None = field(default=None, compare=False, repr=False)


ApiAction = Create | Update | Patch | Delete


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing that must happen before the key can go further, in words a user understands."""

    on: str  # such as 'pod default/web-x7k2p to become ready'
    since: float = 0.0  # seconds since the epoch, 0 when unknown


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one key now, when to look again whatever happens, and what it waits on meanwhile."""

    groups: tuple[tuple[Action, ...], ...] = ()
    again_at: float | None = None  # seconds since the epoch
    waiting_on: tuple[Waiting, ...] = ()

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(action for group in self.groups for action in group)


NOTHING = Plan()


def plan_of(*groups: Iterable[Action], again_at: float | None = None, waiting_on: Iterable[Waiting] = ()) -> Plan:
    """A Plan of the groups that are not empty."""
    return Plan(tuple(tuple(group) for group in map(tuple, groups) if group), again_at, tuple(waiting_on))


Planner = Callable[[View, meta.Key, float], Plan]
# Which keys of the controller's own kind a change of another object touches. `old` is None for a new object,
# `new` for a deleted one; the view already holds `new`.
Follow = Callable[[View, meta.Obj | None, meta.Obj | None], Iterable[meta.Key]]


EVERY_KIND = "*"  # in `follows` and `reads`: all kinds of the roster, as garbage collection needs them


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """One planner and what wakes it. A file in controllers/ exports exactly one as CONTROLLER.

    `name` is kube-controller-manager's name for it, such as "replicaset-controller". The driver plans a key when
    an object of `kind` with that key changes, when a followed kind's function names the key, and at `again_at`.
    """

    name: str
    kind: str  # Kind.id whose keys are planned
    plan: Planner
    follows: Mapping[str, Follow] = field(default_factory=dict)  # Kind.id, or EVERY_KIND -> keys it touches
    reads: frozenset[str] = frozenset()  # further kinds the planner reads without being woken by them
    concurrency: int = 16  # keys in flight at once
    is_causal: bool = False  # acts only on a view whose followed kinds are as new as the object that is planned
    delay_seconds: float = 0.0  # how long after a change a key is planned, for what may pass by itself
    gather_seconds: float = 0.0  # the same for all but new objects, new specs and deletions: what comes in bursts is planned for once
    enabled_by_default: bool = True


def owner_key(owner_kind: str) -> Follow:
    """The usual follow: the key of the controller reference of kind `owner_kind` (its kind name, "ReplicaSet")."""

    def of(obj: meta.Obj | None) -> tuple[meta.Key, ...]:
        owner = meta.controller(obj) if obj is not None else None
        if obj is None or owner is None or owner.get("kind") != owner_kind:
            return ()
        return ((meta.namespace(obj), str(owner["name"])),)

    def keys(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
        if old is not None and new is not None and meta.meta(old).get("ownerReferences") is meta.meta(new).get("ownerReferences"):
            return of(new)  # as most changes leave them
        return dict.fromkeys((*of(old), *of(new)))

    return keys
