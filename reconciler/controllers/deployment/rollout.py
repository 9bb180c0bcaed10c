"""One step of a Deployment in the making: its ReplicaSets as they will be, and what is to be said about it.

The rules (revisions, scaling, progress) change a Rollout; `planned` compares it with what was there and returns the
difference as a plan.
"""

from collections.abc import Iterable
from typing import Any

from reconciler.controllers import percentages
from reconciler.controllers.templates import Templates
from reconciler.kinds import deployment as deployments
from reconciler.kinds import workload
from reconciler.model import conditions, errors, meta, plan

DEPLOYMENTS = "deployments.apps"
SETS = "replicasets.apps"


class Rollout:
    """`old` and `new` are ReplicaSets as they are meant to become; `made` says that `new` does not exist yet."""

    def __init__(self, templates: Templates, deployment: meta.Obj, sets: list[meta.Obj], now: float) -> None:
        self.templates = templates
        self.original = deployment
        self.deployment = deployment
        self.now = now
        self.before = {meta.name(one): one for one in sets}
        self.old = sets
        self.new: meta.Obj | None = None
        self.made = False
        self.status: dict[str, Any] | None = None
        self.emits: list[plan.Emit] = []
        self.deletes: list[plan.Delete] = []
        self.waiting: list[plan.Waiting] = []
        self.again_at: float | None = None

    @property
    def replicas(self) -> int:
        return workload.replicas(self.deployment)

    @property
    def sets(self) -> list[meta.Obj]:
        return [*self.old, self.new] if self.new is not None else self.old

    @property
    def max_surge(self) -> int:
        return self._bounds()[0] if deployments.strategy(self.deployment) == "RollingUpdate" else 0

    @property
    def max_unavailable(self) -> int:
        if deployments.strategy(self.deployment) != "RollingUpdate" or self.replicas == 0:
            return 0
        return min(self._bounds()[1], self.replicas)

    @property
    def has_deadline(self) -> bool:
        return deployments.progress_deadline_seconds(self.deployment) != 2**31 - 1

    def condition(self, type: str) -> conditions.Condition | None:
        return conditions.find(meta.status(self.deployment).get("conditions") or (), type)

    def set_condition(self, type: str, status: str, reason: str, message: str) -> None:
        """Set it in the status that the Deployment has so far."""
        known = meta.status(self.deployment).get("conditions") or ()
        condition = dated(conditions.made(type, status, reason, message, self.now))
        self.deployment = meta.put(self.deployment, ("status", "conditions"), conditions.replaced(known, condition))

    def replace(self, changed: meta.Obj) -> None:
        """Put a changed ReplicaSet in the place of the one of its name."""
        if self.new is not None and meta.name(self.new) == meta.name(changed):
            self.new = changed
        else:
            self.old = [changed if meta.name(one) == meta.name(changed) else one for one in self.old]

    def planned(self, claiming: Iterable[plan.Action]) -> plan.Plan:
        create = [self._creation()] if self.made else []
        changed = [one for one in self.sets if not (self.made and one is self.new) and one is not self.before.get(meta.name(one))]
        guard, why = plan.guard(DEPLOYMENTS, self.original), f"Deployment {meta.name(self.deployment)} rolls"
        updates = [plan.Update(kind=SETS, body=one, guard=guard, why=why) for one in changed]
        return plan.plan_of(
            claiming,
            create,
            updates,
            [*self.emits, *self.deletes],
            self._status_update(self.status),
            again_at=self.again_at,
            waiting_on=self.waiting,
        )

    def _status_update(self, status: dict[str, Any] | None) -> Iterable[plan.Action]:
        body = self.deployment if status is None else meta.put(self.deployment, ("status",), status)
        if body != self.original:
            yield plan.Update(kind=DEPLOYMENTS, body=body, subresource="status", why="its ReplicaSets changed")

    def _creation(self) -> plan.Create:
        assert self.new is not None
        name, size = meta.name(self.new), workload.replicas(self.new)
        message = f"Scaled up replica set {name} from 0 to {size}"
        announce = plan.Emit(regarding=self.original, reason="ScalingReplicaSet", message=message) if size else None
        return plan.Create(
            kind=SETS,
            body=self.new,
            guard=plan.guard(DEPLOYMENTS, self.original),
            why=f"no ReplicaSet has the template of Deployment {meta.name(self.deployment)}",
            announce=announce,
            refused=self._refused,
        )

    def _refused(self, error: errors.StatusError) -> Iterable[plan.Action]:
        """A foreign ReplicaSet of the same name counts as a collision of hashes: the next plan names another."""
        assert self.new is not None
        status = dict(meta.status(self.original))
        if error.reason == "AlreadyExists":
            status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
        else:
            message = f'Failed to create new replica set "{meta.name(self.new)}": {error.message}'
            yield plan.Emit(regarding=self.original, reason="ReplicaSetCreateError", message=message, type="Warning")
            if self.has_deadline:
                condition = dated(conditions.made("Progressing", "False", "ReplicaSetCreateError", message, self.now))
                status["conditions"] = conditions.replaced(status.get("conditions") or (), condition)
        if status != meta.status(self.original):
            body = meta.put(self.original, ("status",), status)
            yield plan.Update(kind=DEPLOYMENTS, body=body, subresource="status", why="its new ReplicaSet was refused")

    def _bounds(self) -> tuple[int, int]:
        """maxSurge and maxUnavailable in pods; not both zero, or nothing could ever move."""
        rolling = (meta.spec(self.deployment).get("strategy") or {}).get("rollingUpdate") or {}
        surge = percentages.scaled(rolling.get("maxSurge", 0), self.replicas, up=True)
        unavailable = percentages.scaled(rolling.get("maxUnavailable", 0), self.replicas, up=False)
        return (surge, unavailable) if surge or unavailable else (0, 1)


def dated(condition: dict[str, Any]) -> dict[str, Any]:
    """A DeploymentCondition also says when it was last looked at."""
    return {**condition, "lastUpdateTime": condition["lastTransitionTime"]}
