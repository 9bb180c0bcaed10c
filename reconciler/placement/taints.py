"""Taints of nodes and tolerations of pods (core/v1 Toleration.ToleratesTaint)."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from reconciler.model import meta

NO_SCHEDULE = "NoSchedule"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
NO_EXECUTE = "NoExecute"
KEEPS_OUT = (NO_SCHEDULE, NO_EXECUTE)


class Taint(NamedTuple):
    key: str
    value: str
    effect: str


class Toleration(NamedTuple):
    key: str  # "" with Exists: every key
    operator: str
    value: str
    effect: str  # "": every effect

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        return bool(self.key) and self.value == taint.value


UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", "", NO_SCHEDULE)  # what a cordoned node counts as


def of_node(node: meta.Obj) -> tuple[Taint, ...]:
    return tuple(
        Taint(taint.get("key", ""), taint.get("value") or "", taint.get("effect", "")) for taint in meta.spec(node).get("taints") or ()
    )


def of_pod(pod: meta.Obj) -> tuple[Toleration, ...]:
    return tuple(map(toleration, meta.spec(pod).get("tolerations") or ()))


def toleration(spec: Mapping[str, Any]) -> Toleration:
    return Toleration(spec.get("key") or "", spec.get("operator") or "Equal", spec.get("value") or "", spec.get("effect") or "")


def is_tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    return any(one.tolerates(taint) for one in tolerations)


def untolerated(taints: Iterable[Taint], tolerations: Iterable[Toleration], effects: Iterable[str] = KEEPS_OUT) -> Taint | None:
    """The first taint with one of `effects` that no toleration covers."""
    wanted, tolerations = tuple(effects), tuple(tolerations)
    return next((taint for taint in taints if taint.effect in wanted and not is_tolerated(taint, tolerations)), None)
