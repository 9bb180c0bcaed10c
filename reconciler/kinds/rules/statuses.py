"""What the statuses of workloads must fulfil: counts that are no nonsense, conditions that agree with each other.

Each takes (object, old), as Kind.validate_status does. Upstream: the Validate*Status functions of pkg/apis.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import check
from reconciler.model import conditions, errors, meta
from reconciler.model.errors import FieldError

ABOVE_REPLICAS = "cannot be greater than status.replicas"
ABOVE_READY = "cannot be greater than readyReplicas"
TERMINAL = ("Failed", "Complete", "FailureTarget", "SuccessCriteriaMet")


def deployment(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    counts = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
    yield from _counts(obj, counts)
    yield from _collisions(obj, old)
    yield from _at_most_replicas(obj, ("updatedReplicas", "readyReplicas", "availableReplicas"))
    yield from _available(obj)


def replica_set(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    """Of a ReplicationController too."""
    among = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    yield from _counts(obj, ("replicas", *among, "observedGeneration"))
    yield from _at_most_replicas(obj, among)
    yield from _available(obj)


def stateful_set(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    among = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    yield from _counts(obj, ("replicas", *among, "observedGeneration"))
    yield from _collisions(obj, old)
    yield from _at_most_replicas(obj, among)
    yield from _available(obj)


def daemon_set(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    counts = (
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
    )
    yield from _counts(obj, counts)
    yield from _collisions(obj, old)


def disruption_budget(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    yield from _counts(obj, ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"))


def autoscaler(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    yield from _counts(obj, ("currentReplicas", "desiredReplicas"))


def job(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    """What did not change is not asked about again: it may stem from a version that knew less."""
    status, before = meta.status(obj), meta.status(old) if old is not None else meta.EMPTY
    yield from _counts(obj, ("active", "succeeded", "failed", "ready", "terminating"))
    yield from _uncounted(status.get("uncountedTerminatedPods") or {})
    changed = {name for name in {*status, *before} if status.get(name) != before.get(name)}
    if "conditions" in changed:
        yield from _job_conditions(obj)
    if changed & {"conditions", "completionTime", "startTime"}:
        yield from _job_times(obj, before)
    if changed & {"conditions", "active", "terminating", "uncountedTerminatedPods"} and _finishes(obj):
        yield from _still_at_work(status)
    for condition in TERMINAL:
        if conditions.is_true(before.get("conditions") or (), condition) and not _holds(obj, condition):
            yield errors.invalid_whole("status.conditions", f"cannot disable the terminal {condition}=True condition")
    for name in ("failed", "succeeded"):
        if old is not None and _count(obj, name) < _count(old, name) and meta.spec(obj).get("completionMode") != "Indexed":
            yield errors.invalid(f"status.{name}", _count(obj, name), f"cannot decrease the {name} counter")


def _job_conditions(obj: meta.Obj) -> Iterator[FieldError]:
    for one, other, both in (
        ("Complete", "Failed", "cannot set Complete=True and Failed=true conditions"),
        ("Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
        ("SuccessCriteriaMet", "Failed", "cannot set Failed=True and SuccessCriteriaMet=true conditions"),
        ("SuccessCriteriaMet", "FailureTarget", "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
    ):
        if _holds(obj, one) and _holds(obj, other):
            yield errors.invalid_whole("status.conditions", both)
    for one, first in (("Failed", "FailureTarget"), ("Complete", "SuccessCriteriaMet")):
        if _holds(obj, one) and not _holds(obj, first):
            yield errors.invalid_whole("status.conditions", f"cannot set {one}=True condition without the {first}=true condition")


def _job_times(obj: meta.Obj, before: Mapping[str, Any]) -> Iterator[FieldError]:
    status = meta.status(obj)
    completed, started = status.get("completionTime"), status.get("startTime")
    if completed and not _holds(obj, "Complete"):
        detail = "cannot set completionTime when there is no Complete=True condition"
        yield errors.invalid("status.completionTime", completed, detail)
    if not completed and _holds(obj, "Complete"):
        yield errors.required("status.completionTime", "completionTime is required for Complete jobs")
    if completed and started and completed < started:
        yield errors.invalid("status.completionTime", completed, "completionTime cannot be set before startTime")
    if completed != before.get("completionTime") and conditions.is_true(before.get("conditions") or (), "Complete"):
        yield errors.invalid_whole("status.completionTime", "completionTime cannot be mutated")
    if not started and _finishes(obj):
        yield errors.required("status.startTime", "startTime is required for finished job")


def _still_at_work(status: Mapping[str, Any]) -> Iterator[FieldError]:
    for name in ("active", "terminating"):
        if status.get(name, 0) > 0:
            yield errors.invalid(f"status.{name}", status[name], f"{name}>0 is invalid for finished job")
    waiting = status.get("uncountedTerminatedPods") or {}
    if waiting.get("succeeded") or waiting.get("failed"):
        detail = "uncountedTerminatedPods needs to be empty for finished job"
        yield errors.invalid("status.uncountedTerminatedPods", waiting, detail)


def _uncounted(waiting: Mapping[str, Any]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for name in ("succeeded", "failed"):
        for index, uid in enumerate(waiting.get(name) or ()):
            path = f"status.uncountedTerminatedPods.{name}[{index}]"
            if not uid:
                yield errors.invalid(path, uid, "must not be empty")
            elif uid in seen:
                yield errors.duplicate(path, uid)
            seen.add(uid)


def _holds(obj: meta.Obj, condition: str) -> bool:
    return conditions.is_true(meta.status(obj).get("conditions") or (), condition)


def _finishes(obj: meta.Obj) -> bool:
    return _holds(obj, "Complete") or _holds(obj, "Failed")


def _count(obj: meta.Obj, name: str) -> int:
    return meta.status(obj).get(name) or 0


def _counts(obj: meta.Obj, names: Sequence[str]) -> Iterator[FieldError]:
    for name in names:
        yield from check.non_negative(f"status.{name}", meta.status(obj).get(name))


def _at_most_replicas(obj: meta.Obj, names: Sequence[str]) -> Iterator[FieldError]:
    for name in names:
        if _count(obj, name) > _count(obj, "replicas"):
            yield errors.invalid(f"status.{name}", _count(obj, name), ABOVE_REPLICAS)


def _available(obj: meta.Obj) -> Iterator[FieldError]:
    if _count(obj, "availableReplicas") > _count(obj, "readyReplicas"):
        yield errors.invalid("status.availableReplicas", _count(obj, "availableReplicas"), ABOVE_READY)


def _collisions(obj: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    """How often a generated name was taken only grows."""
    count, before = meta.status(obj).get("collisionCount"), meta.status(old).get("collisionCount") if old is not None else None
    yield from check.non_negative("status.collisionCount", count)
    if before is not None and (count is None or count < before):
        yield errors.invalid("status.collisionCount", count or 0, "cannot be decremented")


def load_balancer(path: str, spec: Mapping[str, Any], status: Mapping[str, Any]) -> Iterator[FieldError]:
    """Of a Service."""
    ingress = status.get("ingress") or ()
    if ingress and spec.get("type") != "LoadBalancer":
        yield errors.forbidden(f"{path}.ingress", "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for index, one in enumerate(ingress):
        at = f"{path}.ingress[{index}]"
        yield from _ingress_mode(at, one)
        if one.get("ip"):
            yield from check.ip(f"{at}.ip", one["ip"])
        if one.get("hostname"):
            yield from check.subdomain(f"{at}.hostname", one["hostname"])
            if not check.ip_reasons(one["hostname"]):
                yield errors.invalid(f"{at}.hostname", one["hostname"], "must be a DNS name, not an IP address")


def _ingress_mode(path: str, one: Mapping[str, Any]) -> Iterator[FieldError]:
    mode = one.get("ipMode")
    if mode is None:
        if one.get("ip"):
            yield errors.required(f"{path}.ipMode", "must be specified when `ip` is set")
    elif mode not in ("Proxy", "VIP"):
        yield errors.not_supported(f"{path}.ipMode", mode, ("Proxy", "VIP"))
    elif not one.get("ip"):
        yield errors.forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set")
