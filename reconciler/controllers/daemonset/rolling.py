"""Replacing the pods of a former template, by deleting first or, with maxSurge, by adding first."""

from collections.abc import Iterable, Mapping, Sequence

from reconciler.controllers import percentages
from reconciler.controllers.daemonset import targets
from reconciler.kinds import pod, workload
from reconciler.model import meta

Placed = Mapping[str, list[meta.Obj]]
Pair = tuple[meta.Obj | None, meta.Obj | None]  # a node's pod of the present template and that of a former one


def step(owner: meta.Obj, fits: Mapping[str, targets.Fit], placed: Placed, hash: str, now: float) -> tuple[list[str], list[meta.Obj]]:
    """The nodes to surge onto and the pods to delete now."""
    desired = sum(fit.wanted for fit in fits.values())
    surge, unavailable = _bounds(owner, desired)
    pairs = {node: _pair(owner, here, hash) for node, here in placed.items()}
    if surge:
        return _surging(owner, pairs, surge, now)
    return [], _deleting(owner, pairs, unavailable, now)


def excess(owner: meta.Obj, running: Sequence[meta.Obj], now: float) -> Iterable[meta.Obj]:
    """Of a node's running pods, oldest first, those that are too many: during a surge an old and a new one may be."""
    if len(running) <= 1:
        return ()
    if not _bounds(owner, 1)[0]:
        return running[1:]
    hashes = {meta.labels(one).get(targets.HASH_LABEL, "") for one in running}
    oldest = [next(one for one in running if meta.labels(one).get(targets.HASH_LABEL, "") == hash) for hash in hashes]
    kept = sorted(oldest, key=targets.age)[:2]
    doomed = [one for one in running if one not in kept]
    if len(kept) == 2 and not pod.is_ready(kept[0]):
        doomed.append(kept[0])
    return doomed


def _pair(owner: meta.Obj, here: Iterable[meta.Obj], hash: str) -> Pair | None:
    """(new, old) pod of a node; None where there are several of one sort."""
    new: list[meta.Obj] = []
    old: list[meta.Obj] = []
    for one in here:
        if not meta.is_deleting(one):
            (new if targets.is_updated(owner, one, hash) else old).append(one)
    if len(new) > 1 or len(old) > 1:
        return None
    return (new[0] if new else None), (old[0] if old else None)


def _deleting(owner: meta.Obj, pairs: Mapping[str, Pair | None], most: int, now: float) -> list[meta.Obj]:
    seconds, unavailable = workload.min_ready_seconds(owner), 0
    replaceable: list[meta.Obj] = []
    candidates: list[meta.Obj] = []
    for pair in pairs.values():
        new, old = pair if pair is not None else (None, None)
        if old is not None and new is None:
            if pod.is_available(old, seconds, now):
                candidates.append(old)
            else:
                replaceable.append(old)
                unavailable += 1
        elif new is None or old is not None or not pod.is_available(new, seconds, now):
            unavailable += 1
    return replaceable + candidates[: max(0, most - unavailable)]


def _surging(owner: meta.Obj, pairs: Mapping[str, Pair | None], most: int, now: float) -> tuple[list[str], list[meta.Obj]]:
    seconds, surging = workload.min_ready_seconds(owner), 0
    replaceable: list[str] = []
    candidates: list[str] = []
    done: list[meta.Obj] = []
    for node, pair in pairs.items():
        if pair is None:
            surging += 1
            continue
        new, old = pair
        if old is None:
            continue
        if new is None:
            (candidates if pod.is_available(old, seconds, now) else replaceable).append(node)
        elif pod.is_available(new, seconds, now):
            done.append(old)
        else:
            surging += 1
    return replaceable + candidates[: max(0, most - surging)], done


def _bounds(owner: meta.Obj, desired: int) -> tuple[int, int]:
    """maxSurge and maxUnavailable in nodes; not both zero."""
    rolling = (meta.spec(owner).get("updateStrategy") or meta.EMPTY).get("rollingUpdate") or meta.EMPTY
    surge = percentages.scaled(rolling.get("maxSurge", 0), desired, up=True)
    unavailable = percentages.scaled(rolling.get("maxUnavailable", 1), desired, up=True)
    return (surge, unavailable) if surge or unavailable else (0, 1)
