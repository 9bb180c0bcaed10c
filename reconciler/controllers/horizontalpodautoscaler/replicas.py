"""How many replicas the measured values call for.

Upstream: pkg/controller/podautoscaler/replica_calculator.go. Pods that are not ready or not measured are counted so that
they damp a change and never reverse it. All values are thousandths.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.controllers.measures import Sample
from reconciler.kinds import pod
from reconciler.kit import clock as clocks
from reconciler.model import meta, quantity

CPU_INITIALIZATION_SECONDS = 300.0  # a starting pod's CPU says little
INITIAL_READINESS_SECONDS = 30.0  # a pod that became unready later than this was ready once

NO_PODS = "no pods returned by selector while calculating replica count"
NO_METRICS = "did not receive metrics for targeted pods (pods might be unready)"


class Unknown(Exception):
    """The number of replicas cannot be computed; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a ratio may be from 1 before anything is done about it."""

    up: float
    down: float

    def covers(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Proposal:
    replicas: int
    milli: int  # the value as the status shows it: the average of pods, or the whole
    percent: int | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def by_utilization(
    current: int,
    target_percent: int,
    resource: str,
    container: str,
    pods: Sequence[meta.Obj],
    samples: Mapping[str, Sample],
    tolerance: Tolerance,
    now: float,
) -> Proposal:
    """Of a resource, as a percentage of what the pods request."""
    groups = _grouped(pods, samples, resource, now)
    requests = _requests(pods, container, resource)
    measured = _measured(samples, groups)
    ratio, percent, average = _utilization(measured, requests, target_percent)

    def again(values: Mapping[str, int]) -> float:
        return _utilization(values, requests, target_percent)[0]

    full = {name: requests.get(name, 0) * max(100, target_percent) // 100 for name in groups.missing}
    return Proposal(_damped(current, ratio, groups, measured, full, again, tolerance), average, percent)


def by_average(
    current: int,
    target: int,
    resource: str,
    pods: Sequence[meta.Obj],
    samples: Mapping[str, Sample],
    tolerance: Tolerance,
    now: float,
) -> Proposal:
    """Of any value of pods, against its average; `resource` is "" for a metric that is none."""
    groups = _grouped(pods, samples, resource, now)
    measured = _measured(samples, groups)

    def again(values: Mapping[str, int]) -> float:
        return sum(values.values()) // len(values) / target

    full = dict.fromkeys(groups.missing, target)
    average = sum(measured.values()) // len(measured)
    return Proposal(_damped(current, again(measured), groups, measured, full, again, tolerance), average)


def by_value(current: int, target: int, value: int, pods: Iterable[meta.Obj], tolerance: Tolerance) -> Proposal:
    """Of one value against one target, in proportion to the pods that are ready."""
    ratio = value / target
    if current == 0:
        return Proposal(math.ceil(ratio), value)
    if tolerance.covers(ratio):
        return Proposal(current, value)
    listed = list(pods)
    if not listed:
        raise Unknown(f"unable to calculate ready pods: {NO_PODS}")
    ready = sum(pod.phase(one) == "Running" and pod.is_ready(one) for one in listed)
    return Proposal(math.ceil(ratio * ready), value)


def by_value_per_pod(replicas: int, target: int, value: int, tolerance: Tolerance) -> Proposal:
    """Of one value that the replicas share. `replicas` are those that there are."""
    ratio = value / (target * replicas) if replicas else math.inf
    wanted = replicas if tolerance.covers(ratio) else math.ceil(value / target)
    return Proposal(wanted, math.ceil(value / replicas) if replicas else value)


def _damped(
    current: int,
    ratio: float,
    groups: Groups,
    measured: Mapping[str, int],
    full: Mapping[str, int],
    again: Callable[[Mapping[str, int]], float],
    tolerance: Tolerance,
) -> int:
    """The replicas for `ratio`, looked at again with pods that said nothing if there are any.

    When less is wanted, pods without a value count as `full`; when more is, they and the unready ones count as idle.
    """
    recount = bool(groups.unready) and ratio > 1.0
    if not recount and not groups.missing:
        return current if tolerance.covers(ratio) else math.ceil(ratio * groups.ready)
    values = dict(measured)
    if ratio < 1.0:
        values.update(full)
    elif ratio > 1.0:
        values.update(dict.fromkeys(groups.missing, 0))
    if recount:
        values.update(dict.fromkeys(groups.unready, 0))
    new = again(values)
    if tolerance.covers(new) or (ratio < 1.0 < new) or (new < 1.0 < ratio):
        return current
    wanted = math.ceil(new * len(values))
    return current if (new < 1.0 and wanted > current) or (new > 1.0 and wanted < current) else wanted


def _grouped(pods: Sequence[meta.Obj], samples: Mapping[str, Sample], resource: str, now: float) -> Groups:
    if not pods:
        raise Unknown(NO_PODS)
    ready, unready, missing, ignored = 0, set(), set(), set()
    for one in pods:
        name = meta.name(one)
        if meta.is_deleting(one) or pod.phase(one) == "Failed":
            ignored.add(name)
        elif pod.phase(one) == "Pending":
            unready.add(name)
        elif name not in samples:
            missing.add(name)
        elif resource == "cpu" and _is_starting(one, samples[name], now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _is_starting(one: meta.Obj, sample: Sample, now: float) -> bool:
    """Whether the pod's CPU is still that of its start."""
    condition, started = pod.condition(one, "Ready"), meta.status(one).get("startTime")
    if condition is None or not started:
        return True
    began, is_unready = clocks.parse_rfc3339(started), condition.get("status") == "False"
    changed = clocks.parse_rfc3339(str(condition.get("lastTransitionTime") or started))
    if began + CPU_INITIALIZATION_SECONDS > now:
        return is_unready or sample.timestamp < changed + sample.window_seconds
    return is_unready and began + INITIAL_READINESS_SECONDS > changed


def _measured(samples: Mapping[str, Sample], groups: Groups) -> dict[str, int]:
    left = {name: sample.milli for name, sample in samples.items() if name not in groups.ignored and name not in groups.unready}
    if not left:
        raise Unknown(NO_METRICS)
    return left


def _utilization(values: Mapping[str, int], requests: Mapping[str, int], target_percent: int) -> tuple[float, int, int]:
    """(ratio to the target, percentage, average), of pods that are known on both sides."""
    known = [name for name in values if name in requests]
    requested = sum(requests[name] for name in known)
    if not requested:
        raise Unknown("no metrics returned matched known pods")
    total = sum(values[name] for name in known)
    percent = total * 100 // requested
    return percent / target_percent, percent, total // len(known)


def _requests(pods: Iterable[meta.Obj], container: str, resource: str) -> dict[str, int]:
    return {meta.name(one): _request(one, container, resource) for one in pods}


def _request(one: meta.Obj, container: str, resource: str) -> int:
    whole = ((meta.spec(one).get("resources") or meta.EMPTY).get("requests") or meta.EMPTY).get(resource)
    if whole is not None and not container:
        return quantity.parse(str(whole)).milli
    total = 0
    for each in (*pod.containers(one), *filter(pod.is_sidecar, pod.init_containers(one))):
        if container not in ("", each["name"]):
            continue
        asked = ((each.get("resources") or meta.EMPTY).get("requests") or meta.EMPTY).get(resource)
        if asked is None:
            raise Unknown(f"missing request for {resource} in container {each['name']} of Pod {meta.name(one)}")
        total += quantity.parse(str(asked)).milli
    return total
