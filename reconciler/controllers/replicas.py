"""Keeps a number of equal pods: the planner that ReplicaSet and ReplicationController share.

Upstream: pkg/controller/replicaset. One plan adopts and releases, then creates or deletes at most 500 pods, then
writes the status that was seen before; a refused pod becomes an event and the condition ReplicaFailure.

Invariant: pods are made and deleted only while the owner is as the plan saw it, and only where its status already
tells the counts that the plan sees. Of two leaders whose views differ, one has to write the status first and thereby
outdates the other, so that together they never make or delete too many.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from reconciler.controllers import claims, pods, ranking
from reconciler.kinds import pod, workload
from reconciler.model import conditions, errors, meta, plan
from reconciler.model.selectors import Selector
from reconciler.model.view import OWNER, View

FAILURE = "ReplicaFailure"


@dataclass(frozen=True, slots=True)
class Sort:
    """What differs between the two kinds."""

    kind: str  # Kind.id
    counts_terminating: bool  # status.terminatingReplicas exists
    component: str  # the reporter of its events


class _Member(NamedTuple):
    """What one asks of a pod that a set may own."""

    pod: meta.Obj
    owner: str  # uid of its controller
    labels: Mapping[str, str]
    is_active: bool
    is_leaving: bool
    is_ready: bool


def _member(one: meta.Obj) -> _Member:
    reference = meta.controller(one)
    leaving, over = meta.is_deleting(one), pod.is_terminal(one)
    owner = str(reference.get("uid", "")) if reference is not None else ""
    return _Member(one, owner, meta.labels(one), not leaving and not over, leaving and not over, pod.is_ready(one))


class _Census(NamedTuple):
    active: Sequence[_Member]  # owned, or about to be
    leaving: int
    claims: Sequence[plan.Action]  # adoptions and releases


def planned(view: View, owner: meta.Obj, selector: Selector, sort: Sort, now: float) -> plan.Plan:
    census = _census(view, owner, selector)
    active = [member.pod for member in census.active]
    status = _status(owner, census, sort, now)
    excess = len(active) - workload.replicas(owner)
    work: Sequence[plan.Action] = ()
    if excess and not meta.is_deleting(owner) and _is_confirmed(owner, status):
        refused = _Refused(owner, status, sort, now)
        if excess < 0:
            work = [_creation(owner, name, sort, refused) for name in _names(view, owner, min(-excess, plan.MAX_CREATES))]
        else:
            spared = ranking.first_to_go(active, min(excess, plan.MAX_CREATES), _related(view, owner, sort, active), now)
            work = [_deletion(owner, one, sort, refused) for one in spared]
    partial = len(work) < abs(excess) and bool(work)
    return plan.plan_of(
        census.claims,
        work,
        _status_update(owner, status, sort),
        again_at=now if partial else _next_available(owner, active, now),
        waiting_on=_waiting(owner, len(active) - status.get("availableReplicas", 0)),
    )


def _names(view: View, owner: meta.Obj, count: int) -> Iterable[str]:
    return itertools.islice(pods.free_names(view, pods.PODS, owner, f"{meta.name(owner)}-"), count)


def _creation(owner: meta.Obj, name: str, sort: Sort, refused: "_Refused") -> plan.Create:
    body = pods.from_template(owner, workload.template(owner), name, f"{meta.name(owner)}-")
    return plan.Create(
        kind=pods.PODS,
        body=body,
        why=f"{meta.name(owner)} has too few pods",
        guard=plan.guard(sort.kind, owner),
        announce=plan.Emit(regarding=owner, reason="SuccessfulCreate", message=f"Created pod: {name}", component=sort.component),
        refused=refused.creating,
    )


def _deletion(owner: meta.Obj, one: meta.Obj, sort: Sort, refused: "_Refused") -> plan.Delete:
    return plan.Delete(
        kind=pods.PODS,
        namespace=meta.namespace(one),
        name=meta.name(one),
        uid=meta.uid(one),
        why=f"{meta.name(owner)} has too many pods",
        guard=plan.guard(sort.kind, owner),
        announce=plan.Emit(regarding=owner, reason="SuccessfulDelete", message=f"Deleted pod: {meta.name(one)}", component=sort.component),
        refused=refused.deleting,
    )


def _related(view: View, owner: meta.Obj, sort: Sort, active: Sequence[meta.Obj]) -> Iterable[meta.Obj]:
    """The pods of all sets with the same controller, such as the ReplicaSets of one Deployment."""
    controller = meta.controller(owner)
    if controller is None:
        return active
    siblings = view.by(sort.kind, OWNER, str(controller.get("uid", "")))
    return itertools.chain.from_iterable(view.by(pods.PODS, OWNER, meta.uid(sibling)) for sibling in siblings)


def _census(view: View, owner: meta.Obj, selector: Selector) -> _Census:
    """claims.claim in one pass over what is known of the pods: a set may have thousands."""
    uid, deleting, matches, template = meta.uid(owner), meta.is_deleting(owner), selector.matches, workload.template_labels(owner)
    active, actions, leaving = [], [], 0
    for member in view.facts(pods.PODS, OWNER, uid, _member):
        fits = member.labels == template or matches(member.labels)  # a valid selector matches its template
        if member.is_active and member.owner == uid:
            if fits:
                active.append(member)
            elif not deleting:
                actions.append(claims.release(owner, pods.PODS, member.pod))
        elif member.is_leaving and fits:
            leaving += 1
    adoptions = () if deleting else claims.adopt(view, owner, pods.PODS, selector, pod.is_active)
    return _Census((*active, *(_member(one.body) for one in adoptions)), leaving, (*actions, *adoptions))


def _status(owner: meta.Obj, census: _Census, sort: Sort, now: float) -> dict[str, Any]:
    active, template_labels = census.active, workload.template_labels(owner)
    min_ready_seconds = workload.min_ready_seconds(owner)
    ready = [member.pod for member in active if member.is_ready]
    counts = {
        "fullyLabeledReplicas": len([member for member in active if _is_labelled(member.labels, template_labels)]),
        "readyReplicas": len(ready),
        "availableReplicas": sum(pod.is_available(one, min_ready_seconds, now) for one in ready) if min_ready_seconds else len(ready),
    }
    status = {"replicas": len(active), **{name: count for name, count in counts.items() if count}}
    if sort.counts_terminating:
        status["terminatingReplicas"] = census.leaving
    status["observedGeneration"] = meta.generation(owner)
    kept = conditions.without(meta.status(owner).get("conditions") or (), FAILURE)
    return {**status, "conditions": kept} if kept else status


def _is_labelled(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return labels == wanted or wanted.items() <= labels.items()


def _is_confirmed(owner: meta.Obj, status: Mapping[str, Any]) -> bool:
    known = meta.status(owner)
    return all((known.get(name) or 0) == (status.get(name) or 0) for name in ("replicas", "terminatingReplicas"))


def _status_update(owner: meta.Obj, status: dict[str, Any], sort: Sort) -> Iterable[plan.Action]:
    if status == meta.status(owner):
        return ()
    body = meta.put(owner, ("status",), status)
    return (plan.Update(kind=sort.kind, body=body, subresource="status", why="its pods changed"),)


def _next_available(owner: meta.Obj, active: Sequence[meta.Obj], now: float) -> float | None:
    """When the next ready pod will have been ready for minReadySeconds."""
    min_ready_seconds = workload.min_ready_seconds(owner)
    if not min_ready_seconds:
        return None
    times = [since + min_ready_seconds for one in active if (since := pod.ready_since(one)) is not None]
    return min((time for time in times if time > now), default=None)


def _waiting(owner: meta.Obj, late: int) -> Iterable[plan.Waiting]:
    if late:
        yield plan.Waiting(f"{late} pods of {owner['kind']} {meta.name(owner)} to become available")


@dataclass(frozen=True, slots=True)
class _Refused:
    """What to say when the server refuses a pod."""

    owner: meta.Obj
    status: dict[str, Any]
    sort: Sort
    now: float

    def creating(self, error: errors.StatusError) -> Iterable[plan.Action]:
        return self._say("FailedCreate", f"Error creating: {error.message}", error)

    def deleting(self, error: errors.StatusError) -> Iterable[plan.Action]:
        return self._say("FailedDelete", f"Error deleting: {error.message}", error)

    def _say(self, reason: str, message: str, error: errors.StatusError) -> Iterable[plan.Action]:
        yield plan.Emit(regarding=self.owner, reason=reason, message=message, type="Warning", component=self.sort.component)
        known = workload.condition(self.owner, FAILURE) or conditions.made(FAILURE, "True", reason, error.message, self.now)
        status = {**self.status, "conditions": [*self.status.get("conditions", ()), known]}
        yield from _status_update(self.owner, status, self.sort)
