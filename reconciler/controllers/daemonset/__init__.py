"""DaemonSet: one pod on every node that fits.

Upstream: pkg/controller/daemon. The scheduler places the pods; a node affinity on the node's name says where each
belongs. What is missing, failed or too much is dealt with first; only when nothing of that is to be done a rolling
update goes on. `targets.py` knows nodes and pod bodies, `rolling.py` the update.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from reconciler.controllers import Facts, claims, history, pods
from reconciler.controllers.daemonset import rolling, targets
from reconciler.controllers.templates import Templates
from reconciler.kinds import daemonset, node, pod, workload
from reconciler.kit import clock as clocks
from reconciler.model import errors, meta, plan
from reconciler.model.view import NAMESPACE, View
from reconciler.placement import admission

SETS = "daemonsets.apps"
NODES = "nodes"
BURST = 250  # upstream's BurstReplicas
FAILED_REST_SECONDS = 1.0  # a pod that failed sooner is left alone until it is that old


@dataclass(slots=True)
class Work:
    """What is to be made and deleted, by node and by pod."""

    nodes: list[str] = field(default_factory=list)
    doomed: list[meta.Obj] = field(default_factory=list)
    emits: list[plan.Emit] = field(default_factory=list)
    again_at: float | None = None


def planned(keeping: history.Keeping, view: View, key: meta.Key, now: float) -> plan.Plan:
    owner = view.get(SETS, *key)
    if owner is None:
        return plan.NOTHING
    claimed = claims.claim(view, owner, pods.PODS, daemonset.selector(owner))
    known = history.known(view, owner)
    update, revising = history.present(view, keeping, owner, known.owned)
    placed = targets.by_node(claimed.owned)
    fits = targets.fitting(owner, view.by(NODES, NAMESPACE, ""))
    hash = keeping.hash_of(update)
    work = Work()
    if not meta.is_deleting(owner):
        _manage(owner, fits, placed, work, now)
        if not work.nodes and not work.doomed and daemonset.update_strategy(owner) == "RollingUpdate":
            work.nodes, work.doomed = rolling.step(owner, fits, placed, hash, now)
    counted = _counted(owner, fits, placed, hash, now)
    status = _status_update(owner, counted)
    return plan.plan_of(
        [*claimed.actions, *known.actions],
        revising,
        work.emits,
        _performed(view, owner, work, hash, status),
        status,
        history.surplus(known.owned, _live(keeping, known.owned, update, claimed.owned), history.limit(owner)),
        again_at=_earliest(work.again_at, targets.next_available(owner, claimed.owned, now)),
        waiting_on=_waiting(owner, counted),
    )


def _waiting(owner: meta.Obj, counted: Mapping[str, Any]) -> Iterable[plan.Waiting]:
    if late := counted.get("numberUnavailable", 0):
        yield plan.Waiting(f"{late} pods of DaemonSet {meta.name(owner)} to become available")
    old = counted["currentNumberScheduled"] - counted.get("updatedNumberScheduled", 0)
    if old > 0 and daemonset.update_strategy(owner) == "OnDelete":
        yield plan.Waiting(f"somebody to delete {old} pods of an older template")
    if not counted["desiredNumberScheduled"]:
        yield plan.Waiting("a node that its pods may run on")


def _manage(owner: meta.Obj, fits: Mapping[str, targets.Fit], placed: Mapping[str, list[meta.Obj]], work: Work, now: float) -> None:
    """Pods on each node as they should be; pods for nodes that are gone and that never got there go."""
    for name, fit in fits.items():
        here = placed.get(name)
        if here is None:
            if fit.wanted:
                work.nodes.append(name)
        elif fit.may_stay:
            _tend(owner, fit.node, here, work, now)
        else:
            work.doomed += [one for one in here if not meta.is_deleting(one)]
    for name, here in placed.items():
        if name not in fits:
            work.doomed += [one for one in here if not pod.is_scheduled(one) and not meta.is_deleting(one)]


def _tend(owner: meta.Obj, place: meta.Obj, here: Sequence[meta.Obj], work: Work, now: float) -> None:
    running = []
    for one in here:
        if meta.is_deleting(one):
            continue
        if not pod.is_terminal(one):
            running.append(one)
            continue
        if meta.status(one).get("reason") == admission.EVICTED and admission.under_pressure(one, place) is not None:
            continue  # the next one would be refused, too, and so on for as long as the node is short of something
        ripe_at = clocks.parse_rfc3339(str(meta.meta(one)["creationTimestamp"])) + FAILED_REST_SECONDS
        if ripe_at > now:
            work.again_at = _earliest(work.again_at, ripe_at)
            continue
        where = f"daemon pod {meta.namespace(one)}/{meta.name(one)} on node {meta.name(place)}"
        if pod.phase(one) == "Failed":
            message = f"Found failed {where}, will try to kill it"
            work.emits.append(plan.Emit(regarding=owner, reason="FailedDaemonPod", message=message, type="Warning"))
        else:
            message = f"Found succeeded {where}, will try to delete it"
            work.emits.append(plan.Emit(regarding=owner, reason="SucceededDaemonPod", message=message))
        work.doomed.append(one)
    work.doomed += rolling.excess(owner, sorted(running, key=targets.age), now)


def _performed(view: View, owner: meta.Obj, work: Work, hash: str, status: Iterable[plan.Action]) -> Iterable[plan.Action]:
    refused = _Refused(owner, tuple(status))
    names = pods.free_names(view, pods.PODS, owner, f"{meta.name(owner)}-")
    for place, name in zip(work.nodes[:BURST], itertools.islice(names, BURST), strict=False):
        yield plan.Create(
            kind=pods.PODS,
            body=targets.made_pod(owner, place, name, hash),
            why=f"node {place} has no pod of DaemonSet {meta.name(owner)}",
            guard=plan.guard(SETS, owner),
            announce=plan.Emit(regarding=owner, reason="SuccessfulCreate", message=f"Created pod: {name}"),
            refused=refused.creating,
        )
    for one in work.doomed[:BURST]:
        yield plan.Delete(
            kind=pods.PODS,
            namespace=meta.namespace(one),
            name=meta.name(one),
            uid=meta.uid(one),
            why=f"DaemonSet {meta.name(owner)} does not want it any more",
            announce=plan.Emit(regarding=owner, reason="SuccessfulDelete", message=f"Deleted pod: {meta.name(one)}"),
            refused=refused.deleting,
        )


def _counted(
    owner: meta.Obj, fits: Mapping[str, targets.Fit], placed: Mapping[str, list[meta.Obj]], hash: str, now: float
) -> dict[str, Any]:
    seconds = workload.min_ready_seconds(owner)
    first = {name: min(placed[name], key=targets.age) for name, fit in fits.items() if fit.wanted and name in placed}
    desired = sum(fit.wanted for fit in fits.values())
    available = sum(pod.is_available(one, seconds, now) for one in first.values())
    counts = {
        "updatedNumberScheduled": sum(targets.is_updated(owner, one, hash) for one in first.values()),
        "numberAvailable": available,
        "numberUnavailable": desired - available,
        "collisionCount": workload.count(owner, "collisionCount"),
    }
    status = {
        "currentNumberScheduled": len(first),
        "numberMisscheduled": sum(name in placed for name, fit in fits.items() if not fit.wanted),
        "desiredNumberScheduled": desired,
        "numberReady": sum(map(pod.is_ready, first.values())),
        "observedGeneration": meta.generation(owner),
        **{name: count for name, count in counts.items() if count},
    }
    listed = meta.status(owner).get("conditions")
    return {**status, "conditions": listed} if listed else status


def _status_update(owner: meta.Obj, status: dict[str, Any]) -> list[plan.Action]:
    if status == meta.status(owner):
        return []
    body = meta.put(owner, ("status",), status)
    return [plan.Update(kind=SETS, body=body, subresource="status", why="its pods or the nodes changed")]


def _live(keeping: history.Keeping, revisions: Iterable[meta.Obj], update: meta.Obj, owned: Iterable[meta.Obj]) -> set[str]:
    """Names of the revisions that are in use."""
    hashes = {str(meta.labels(one).get(targets.HASH_LABEL, "")) for one in owned}
    return {meta.name(update), *(meta.name(one) for one in revisions if keeping.hash_of(one) in hashes)}


def _earliest(left: float | None, right: float | None) -> float | None:
    return min((time for time in (left, right) if time is not None), default=None)


@dataclass(frozen=True, slots=True)
class _Refused:
    """What to say when the server refuses a pod."""

    owner: meta.Obj
    status: tuple[plan.Action, ...]

    def creating(self, error: errors.StatusError) -> Iterable[plan.Action]:
        return self._say("FailedCreate", f"Error creating: {error.message}")

    def deleting(self, error: errors.StatusError) -> Iterable[plan.Action]:
        return self._say("FailedDelete", f"Error deleting: {error.message}")

    def _say(self, reason: str, message: str) -> Iterable[plan.Action]:
        return (plan.Emit(regarding=self.owner, reason=reason, message=message, type="Warning"), *self.status)


def _of_node(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    """DaemonSets that a new or changed node lacks, and those that it no longer bears, or may bear again.

    A gone node's pods tell on their own.
    """
    if new is None or (old is not None and _looks(old) == _looks(new)):
        return
    present = targets.owners_on(view, meta.name(new))
    has_eased = old is not None and not set(node.pressures(old)) <= set(node.pressures(new))
    for namespace in view.by("namespaces", NAMESPACE, ""):
        for owner in view.by(SETS, NAMESPACE, meta.name(namespace)):
            probe = targets.probe(owner)
            here = meta.uid(owner) in present
            if (not here and admission.is_wanted(probe, new)) or (here and (has_eased or not admission.may_stay(probe, new))):
                yield meta.key(owner)


def _looks(one: meta.Obj) -> tuple[Any, ...]:
    return meta.labels(one), meta.spec(one).get("taints"), meta.spec(one).get("unschedulable"), node.pressures(one)


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    templates = Templates(facts.schemas)
    keeping = history.Keeping(
        kind=SETS,
        hash_label=targets.HASH_LABEL,
        hash=lambda owner, _: templates.hash(workload.template(owner), meta.status(owner).get("collisionCount")),
        templates=templates,
    )
    return (
        plan.Controller(
            name="daemonset-controller",
            kind=SETS,
            plan=partial(planned, keeping),
            is_causal=True,
            follows={
                pods.PODS: claims.follow(SETS, "DaemonSet", daemonset.selector),
                NODES: _of_node,
                history.REVISIONS: plan.owner_key("DaemonSet"),
            },
            reads=frozenset({"namespaces"}),
        ),
    )
