"""How many replicas each ReplicaSet of a Deployment gets.

Both bounds hold at every instant: never more than replicas + maxSurge pods wanted, never fewer than replicas -
maxUnavailable available ones taken into account. A change of spec.replicas during a rollout is spread in proportion.
"""

from collections.abc import Iterable

from reconciler.controllers.deployment.rollout import Rollout
from reconciler.kinds import deployment as deployments
from reconciler.kinds import replicaset, workload
from reconciler.model import meta, plan


def by_age(one: meta.Obj) -> tuple[str, str]:
    return str(meta.meta(one).get("creationTimestamp") or "9999"), meta.name(one)


def size_annotations(rollout: Rollout) -> dict[str, str]:
    return {
        deployments.DESIRED_ANNOTATION: str(rollout.replicas),
        deployments.MAX_ANNOTATION: str(rollout.replicas + rollout.max_surge),
    }


def next_size_of_new(rollout: Rollout) -> int:
    """How far the new ReplicaSet may grow now."""
    assert rollout.new is not None
    size = workload.replicas(rollout.new)
    if deployments.strategy(rollout.deployment) == "Recreate":
        return rollout.replicas
    if not all(map(_has_settled, rollout.old)):
        return size
    room = rollout.replicas + rollout.max_surge - sum(map(_present, rollout.sets))
    return size if room <= 0 else size + min(room, rollout.replicas - size)


def grow_new(rollout: Rollout) -> bool:
    """Scale the new ReplicaSet towards its size. Whether that changed anything."""
    assert rollout.new is not None
    size = workload.replicas(rollout.new)
    if size == rollout.replicas:
        return False
    return _scale(rollout, rollout.new, rollout.replicas if size > rollout.replicas else next_size_of_new(rollout))


def fill_new(rollout: Rollout) -> None:
    assert rollout.new is not None
    _scale(rollout, rollout.new, rollout.replicas)


def empty_old(rollout: Rollout) -> bool:
    """Scale every old ReplicaSet to nothing. Whether that changed anything."""
    scaled = [_scale(rollout, one, 0) for one in _active(rollout.old)]
    return any(scaled)


def shrink_old(rollout: Rollout) -> bool:
    """Take away old pods: first those that are unavailable anyway, then as many as availability allows."""
    if _total(rollout.old) == 0:
        return False
    assert rollout.new is not None
    least_available = rollout.replicas - rollout.max_unavailable
    unavailable_new = workload.replicas(rollout.new) - replicaset.available_replicas(rollout.new)
    most = _total(rollout.sets) - least_available - unavailable_new
    if most <= 0:
        return False
    taken = _take_unhealthy(rollout, most)
    available = sum(map(_staying, rollout.sets))
    spare = available - least_available
    for one in sorted(rollout.old, key=by_age):
        size = workload.replicas(one)
        share = min(size, spare)
        if share > 0:
            _scale(rollout, one, size - share)
            spare, taken = spare - share, taken + share
    return taken > 0


def was_resized(rollout: Rollout) -> bool:
    """Whether spec.replicas differs from what it was when the ReplicaSets were last scaled."""
    wanted = str(rollout.replicas)
    return any(meta.annotations(one).get(deployments.DESIRED_ANNOTATION, wanted) != wanted for one in _active(rollout.sets))


def resize(rollout: Rollout) -> None:
    """Follow spec.replicas without rolling on."""
    only = _active_or_latest(rollout)
    if only is not None:
        _scale(rollout, only, rollout.replicas)
        return
    if _is_saturated(rollout):
        empty_old(rollout)
    elif deployments.strategy(rollout.deployment) == "RollingUpdate":
        _resize_in_proportion(rollout)


def _resize_in_proportion(rollout: Rollout) -> None:
    active = _active(rollout.sets)
    allowed = rollout.replicas + rollout.max_surge if rollout.replicas > 0 else 0
    missing = allowed - _total(active)
    if missing > 0:
        active.sort(key=by_age, reverse=True)  # of equal size the newer first
    else:
        active.sort(key=by_age)
    active.sort(key=workload.replicas, reverse=True)
    sizes, added = [], 0
    for one in active:
        share = _proportion(rollout, one, missing - added) if missing else 0
        sizes.append(workload.replicas(one) + share)
        added += share
    if missing and sizes:
        sizes[0] = max(0, sizes[0] + missing - added)
    for one, size in zip(active, sizes, strict=True):
        _scale(rollout, one, size, annotate=True)


def _proportion(rollout: Rollout, one: meta.Obj, left: int) -> int:
    """The part of a change that falls to `one`, by the size that it had in the whole before."""
    if left == 0:
        return 0
    size = workload.replicas(one)
    if rollout.replicas == 0:
        fraction = -size
    else:
        before = int(meta.annotations(one).get(deployments.MAX_ANNOTATION) or 0) or workload.count(rollout.original, "replicas") or 1
        exact = size * (rollout.replicas + rollout.max_surge) / before
        fraction = int(exact + 0.5) - size
    return min(fraction, left) if left > 0 else max(fraction, left)


def _take_unhealthy(rollout: Rollout, most: int) -> int:
    taken = 0
    for one in sorted(rollout.old, key=by_age):
        size = workload.replicas(one)
        share = min(most - taken, size - replicaset.available_replicas(one))
        if size and share > 0:
            _scale(rollout, one, size - share)
            taken += share
    return taken


def _scale(rollout: Rollout, one: meta.Obj, size: int, *, annotate: bool = False) -> bool:
    """Give `one` a size. With `annotate` its annotations follow even when the size stays."""
    before = workload.replicas(one)
    annotations = {**meta.annotations(one), **size_annotations(rollout)}
    resized = size != before
    if not resized and not (annotate and annotations != meta.annotations(one)):
        return False
    rollout.replace(meta.put(meta.put(one, ("spec", "replicas"), size), ("metadata", "annotations"), annotations))
    if resized:
        direction = "up" if size > before else "down"
        message = f"Scaled {direction} replica set {meta.name(one)} from {before} to {size}"
        rollout.emits.append(plan.Emit(regarding=rollout.original, reason="ScalingReplicaSet", message=message))
    return resized


def _active(sets: Iterable[meta.Obj]) -> list[meta.Obj]:
    return [one for one in sets if workload.replicas(one) > 0]


def _total(sets: Iterable[meta.Obj]) -> int:
    return sum(map(workload.replicas, sets))


def _has_settled(one: meta.Obj) -> bool:
    """Whether its status tells of its present size: before, it may have any number of pods."""
    return int(meta.status(one).get("observedGeneration") or 0) >= meta.generation(one)


def _present(one: meta.Obj) -> int:
    """The pods that a ReplicaSet has or is about to have: it may not have shrunk yet as far as it should."""
    return max(workload.replicas(one), workload.count(one, "replicas"))


def _staying(one: meta.Obj) -> int:
    """The available pods that a ReplicaSet will still have when it has shrunk as far as it should."""
    return min(workload.replicas(one), replicaset.available_replicas(one))


def _active_or_latest(rollout: Rollout) -> meta.Obj | None:
    """The one ReplicaSet with replicas; without any the new one, or else the youngest."""
    active = _active(rollout.sets)
    if len(active) == 1:
        return active[0]
    if active:
        return None
    return rollout.new if rollout.new is not None else max(rollout.old, key=by_age, default=None)


def _is_saturated(rollout: Rollout) -> bool:
    new = rollout.new
    if new is None:
        return False
    sizes = (workload.replicas(new), replicaset.available_replicas(new))
    desired = meta.annotations(new).get(deployments.DESIRED_ANNOTATION)
    return sizes == (rollout.replicas, rollout.replicas) and desired == str(rollout.replicas)
