"""What one plan of a StatefulSet does: claims before pods, and the words for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reconciler.controllers import history, pods
from reconciler.controllers.statefulset import identity
from reconciler.kinds import pod, statefulset, workload
from reconciler.model import errors, meta, plan
from reconciler.model.view import View

SETS = "statefulsets.apps"


@dataclass(slots=True, eq=False)
class Slot:
    """One ordinal and the pod that has it, if any."""

    ordinal: int
    pod: meta.Obj | None


class Step:
    def __init__(self, view: View, owner: meta.Obj, current: meta.Obj, update: meta.Obj, now: float) -> None:
        self.view = view
        self.owner = owner
        self.current = current
        self.update = update
        self.now = now
        self.waiting: list[plan.Waiting] = []
        self.status: Sequence[plan.Action] = ()  # its update, which is due also when a pod is refused
        self._claims: list[plan.Action] = []
        self._pods: list[plan.Action] = []

    @property
    def groups(self) -> Iterable[Iterable[plan.Action]]:
        return (self._claims, self._pods)

    def is_healthy(self, one: meta.Obj) -> bool:
        return pod.phase(one) == "Running" and pod.is_ready(one) and not meta.is_deleting(one)

    def is_available(self, one: meta.Obj) -> bool:
        seconds = workload.min_ready_seconds(self.owner)
        return self.is_healthy(one) and pod.is_available(one, seconds, self.now)

    def wait(self, slot: Slot, what: str) -> None:
        self.waiting.append(plan.Waiting(f"pod {self._name(slot)} {what}"))

    def make(self, slot: Slot) -> None:
        """Create the pod, after its claims."""
        if not self.make_claims(slot):
            self.wait(slot, "can be made when its former claim is gone")
            return
        body = self._body(slot.ordinal)
        name = meta.name(body)
        self._pods.append(
            plan.Create(
                kind=pods.PODS,
                body=body,
                why=f"StatefulSet {meta.name(self.owner)} wants {name}",
                guard=plan.guard(SETS, self.owner),
                announce=self._say("SuccessfulCreate", f"Create Pod {name} in StatefulSet {meta.name(self.owner)} successful"),
                refused=_Refused(self, f"Create Pod {name}", "FailedCreate"),
            )
        )

    def make_claims(self, slot: Slot) -> bool:
        """Create what claims are missing. False while one of a former pod is still on its way out."""
        name = self._name(slot)
        for template in statefulset.claim_templates(self.owner):
            claim = self.view.get(identity.CLAIMS, meta.namespace(self.owner), identity.claim_name(self.owner, template, slot.ordinal))
            if claim is not None:
                if meta.is_deleting(claim) or (slot.pod is None and identity.is_stale(claim, name)):
                    return False
                continue
            body = identity.made_claim(self.owner, template, slot.ordinal)
            subject = f"Create Claim {meta.name(body)} Pod {name}"
            self._claims.append(
                plan.Create(
                    kind=identity.CLAIMS,
                    body=body,
                    why=f"pod {name} wants it",
                    announce=self._say("SuccessfulCreate", f"{subject} in StatefulSet {meta.name(self.owner)} success"),
                    refused=_Refused(self, subject, "FailedCreate"),
                )
            )
        self.match_claims(slot)
        return True

    def match_claims(self, slot: Slot) -> None:
        """Give existing claims the owners that the retention policy wants."""
        first = statefulset.first_ordinal(self.owner)
        is_condemned = not first <= slot.ordinal < first + workload.replicas(self.owner)
        for template in statefulset.claim_templates(self.owner):
            claim = self.view.get(identity.CLAIMS, meta.namespace(self.owner), identity.claim_name(self.owner, template, slot.ordinal))
            if claim is None:
                continue
            present = list(meta.owners(claim))
            references = identity.wanted_references(self.owner, slot.pod, present, is_condemned=is_condemned)
            if references != present:
                body = meta.put(claim, ("metadata", "ownerReferences"), references)
                self._claims.append(plan.Update(kind=identity.CLAIMS, body=body, why="the retention policy says with whom it goes"))

    def repair(self, slot: Slot) -> None:
        """Restore labels that somebody took away, and the claims' owners."""
        assert slot.pod is not None
        wanted = identity.labels_of(meta.name(slot.pod), slot.ordinal)
        if not wanted.items() <= meta.labels(slot.pod).items():
            body = meta.put(slot.pod, ("metadata", "labels"), {**meta.labels(slot.pod), **wanted})
            self._pods.append(plan.Update(kind=pods.PODS, body=body, why="its identity was changed"))
        self.match_claims(slot)

    def delete(self, slot: Slot, why: str) -> None:
        assert slot.pod is not None
        name = meta.name(slot.pod)
        self._pods.append(
            plan.Delete(
                kind=pods.PODS,
                namespace=meta.namespace(slot.pod),
                name=name,
                uid=meta.uid(slot.pod),
                why=why,
                announce=self._say("SuccessfulDelete", f"Delete Pod {name} in StatefulSet {meta.name(self.owner)} successful"),
                refused=_Refused(self, f"Delete Pod {name}", "FailedDelete"),
            )
        )

    def _body(self, ordinal: int) -> meta.Obj:
        """A pod of the revision that its ordinal is to have."""
        is_current = statefulset.update_strategy(self.owner) == "RollingUpdate" and ordinal < self._first_updated()
        revision = self.current if is_current else self.update
        return identity.made_pod(history.applied(self.owner, revision), ordinal, meta.name(revision))

    def _first_updated(self) -> int:
        first = statefulset.first_ordinal(self.owner)
        if (meta.spec(self.owner).get("updateStrategy") or meta.EMPTY).get("rollingUpdate") is None:
            return first + workload.count(self.owner, "currentReplicas")
        return first + statefulset.partition(self.owner)

    def _name(self, slot: Slot) -> str:
        return f"{meta.name(self.owner)}-{slot.ordinal}"

    def _say(self, reason: str, message: str) -> plan.Emit:
        return plan.Emit(regarding=self.owner, reason=reason, message=message)


@dataclass(frozen=True, slots=True)
class _Refused:
    """What to say when the server refuses a claim or pod."""

    step: Step
    subject: str
    reason: str

    def __call__(self, error: errors.StatusError) -> Iterable[plan.Action]:
        if error.reason == "AlreadyExists":
            return
        owner = self.step.owner
        message = f"{self.subject} in StatefulSet {meta.name(owner)} failed error: {error.message}"
        yield plan.Emit(regarding=owner, reason=self.reason, message=message, type="Warning")
        yield from self.step.status
