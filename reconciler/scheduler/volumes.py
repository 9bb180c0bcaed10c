"""The volumes that a pod's claims stand for: bound ones, and which ones to bind or have made where.

A claim whose class waits for its first consumer is bound by the choice of a node: to the smallest free volume that
fits there, smallest claim first, or else it is to be provisioned for that node. What was chosen for pods whose
binding is under way is assumed, so that nobody else is given the same volume. Rules are those of
k8s.io/component-helpers/storage and the VolumeBinding plugin.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from reconciler.model import meta, plan, quantity, selectors, view
from reconciler.placement import affinity
from reconciler.placement import claims as matching
from reconciler.scheduler import match
from reconciler.scheduler.columns import Mask
from reconciler.scheduler.rules import Case

CLAIMS = "persistentvolumeclaims"
VOLUMES = "persistentvolumes"
CLASSES = "storageclasses.storage.k8s.io"
CAPACITIES = "csistoragecapacities.storage.k8s.io"
DRIVERS = "csidrivers.storage.k8s.io"

CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
NO_PROVISIONER = "kubernetes.io/no-provisioner"


@dataclass(frozen=True, slots=True)
class Claims:
    """A shape's claims by what they need; `problem` is why the pod cannot be placed at all, or ""."""

    bound: tuple[meta.Obj, ...] = ()
    delayed: tuple[meta.Obj, ...] = ()  # to be bound with the choice of the node
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """What binding a pod to a node means for its claims."""

    bindings: tuple[tuple[meta.Obj, meta.Obj], ...] = ()  # (volume, claim)
    provisions: tuple[meta.Obj, ...] = ()  # claims to be provisioned for the node

    def __bool__(self) -> bool:
        return bool(self.bindings or self.provisions)


NOTHING = Choice()


def claims_of(case: Case) -> Claims:
    found = []
    for name, ephemeral in case.shape.claims:
        claim = case.view.get(CLAIMS, case.shape.namespace, name)
        problem = _problem(case, name, ephemeral, claim)
        if claim is None or problem:
            return Claims(problem=problem)
        found.append(claim)
    bound = tuple(claim for claim in found if is_bound(claim))
    rest = [claim for claim in found if not is_bound(claim)]
    if any(_volume_name(claim) or not _waits_for_consumer(case, claim) for claim in rest):
        return Claims(problem="pod has unbound immediate PersistentVolumeClaims")
    return Claims(bound, tuple(rest))


def _problem(case: Case, name: str, ephemeral: bool, claim: meta.Obj | None) -> str:
    """Why a claim keeps the pod from every node, "" if it does not."""
    if claim is None:
        absent = f'persistentvolumeclaim "{name}" not found'
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"' if ephemeral else absent
    if meta.status(claim).get("phase") == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{_volume_name(claim)}"'
    if meta.is_deleting(claim):
        return f'persistentvolumeclaim "{name}" is being deleted'
    owner = meta.controller(claim)
    shape = case.shape
    if ephemeral and (owner is None or owner.get("uid") != shape.uid):
        pod = f"{shape.namespace}/{shape.name}"
        return f"PVC {shape.namespace}/{name} was not created for pod {pod} (pod is not owner)"
    return ""


def is_bound(claim: meta.Obj) -> bool:
    return bool(_volume_name(claim)) and BIND_COMPLETED in meta.annotations(claim)


def class_of(obj: meta.Obj) -> str:
    """The storage class of a claim or volume, "" for none."""
    return meta.annotations(obj).get(CLASS_ANNOTATION) or meta.spec(obj).get("storageClassName") or ""


def reachable(case: Case, volume: meta.Obj) -> Mask | None:
    """Rows from which `volume` can be used by its node affinity; None for all."""
    required = (meta.spec(volume).get("nodeAffinity") or meta.EMPTY).get("required")
    return match.selected(case.table, affinity.NodeSelector(terms=affinity.terms(required)))


class Search:
    """Where the delayed claims of a shape can be satisfied, and how on one row."""

    def __init__(self, case: Case, claims: Iterable[meta.Obj]) -> None:
        self._case = case
        self._claims = sorted(claims, key=matching.wanted_size)
        self._free = [] if not self._claims else self._free_volumes()

    def satisfiable(self) -> tuple[Mask, Mask]:
        """Rows where every claim finds a volume or may be provisioned; of those, where there is room for that."""
        size = self._case.table.size
        found, roomy = np.ones(size, dtype=np.bool_), np.ones(size, dtype=np.bool_)
        provisionable = [self._provisionable(claim) for claim in self._claims]
        static = np.zeros(size, dtype=np.bool_)  # rows where some free volume could serve
        for claim, (allowed, room) in zip(self._claims, provisionable, strict=True):
            found &= allowed
            roomy &= room
            selected = self._selected_node(claim)
            if selected:
                found &= np.arange(size) == self._case.table.row_of.get(selected, -1)
            for _, rows in self._candidates(claim):
                static |= rows
        for row in np.flatnonzero(static).tolist():
            choice = self.choose(row)
            found[row] = choice is not None
            roomy[row] = choice is not None and all(
                room[row] for claim, (_, room) in zip(self._claims, provisionable, strict=True) if claim in choice.provisions
            )
        return found, roomy

    def choose(self, row: int) -> Choice | None:
        """Volumes for the claims on one row; None if some claim gets none."""
        taken: set[str] = set()
        bindings, provisions = [], []
        for claim in self._claims:
            selected = self._selected_node(claim)
            if selected and selected != self._case.table.names[row]:
                return None
            volume = None if selected else self._smallest(claim, row, taken)
            if volume is not None:
                taken.add(meta.name(volume))
                bindings.append((volume, claim))
            elif self._provisionable(claim)[0][row]:
                provisions.append(claim)
            else:
                return None
        return Choice(tuple(bindings), tuple(provisions))

    def _smallest(self, claim: meta.Obj, row: int, taken: set[str]) -> meta.Obj | None:
        """The volume that is reserved for the claim, else the smallest that is free there."""
        candidates = self._candidates(claim)
        for volume, rows in candidates:
            if matching.is_reserved_for(volume, claim):
                return volume if rows[row] else None
        fitting = [volume for volume, rows in candidates if rows[row] and meta.name(volume) not in taken]
        return min(fitting, key=lambda volume: (matching.size(volume), meta.name(volume)), default=None)

    def _candidates(self, claim: meta.Obj) -> list[tuple[meta.Obj, Mask]]:
        """Volumes of the claim's class that it may be bound to, with the rows they can be used from."""
        wanted = class_of(claim)
        return self._case.once(
            f"volumes for {meta.uid(claim)} {self._case.table.assumed_volumes!r}",
            lambda: [
                (volume, _rows(self._case, volume))
                for volume in self._free
                if class_of(volume) == wanted and matching.serves(volume, claim)
            ],
        )

    def _free_volumes(self) -> list[meta.Obj]:
        assumed = self._case.table.assumed_volumes
        every = self._case.view.by(VOLUMES, view.NAMESPACE, "")
        return [volume for volume in every if meta.name(volume) not in assumed and not meta.is_deleting(volume)]

    def _selected_node(self, claim: meta.Obj) -> str:
        return meta.annotations(claim).get(SELECTED_NODE) or self._case.table.assumed_claims.get(meta.key(claim), "")

    def _provisionable(self, claim: meta.Obj) -> tuple[Mask, Mask]:
        """Rows for which the claim's class makes volumes, and where the driver has room."""
        return self._case.once(f"provisionable {meta.uid(claim)}", lambda: _provisionable(self._case, claim))


def _provisionable(case: Case, claim: meta.Obj) -> tuple[Mask, Mask]:
    nowhere = np.zeros(case.table.size, dtype=np.bool_)
    everywhere = ~nowhere
    storage = case.view.get(CLASSES, "", class_of(claim)) if class_of(claim) else None
    if storage is None or storage.get("provisioner") in (None, "", NO_PROVISIONER):
        return nowhere, everywhere
    terms = tuple(map(_topology, storage.get("allowedTopologies") or ()))
    rows = match.selected(case.table, affinity.NodeSelector(terms=terms or None))
    return everywhere if rows is None else rows, _roomy(case, claim, storage)


def _topology(term: Mapping[str, Any]) -> affinity.Term:
    return affinity.term({"matchExpressions": [{**one, "operator": "In"} for one in term.get("matchLabelExpressions") or ()]})


def _roomy(case: Case, claim: meta.Obj, storage: meta.Obj) -> Mask:
    """Rows where a driver that publishes its capacity has enough; all, for a driver that does not."""
    everywhere = np.ones(case.table.size, dtype=np.bool_)
    driver = case.view.get(DRIVERS, "", str(storage["provisioner"]))
    if driver is None or not meta.spec(driver).get("storageCapacity"):
        return everywhere
    found = ~everywhere
    for namespace in case.table.namespaces:
        for published in case.view.by(CAPACITIES, view.NAMESPACE, namespace):
            if published.get("storageClassName") != meta.name(storage) or published.get("nodeTopology") is None:
                continue
            offered = published.get("maximumVolumeSize") or published.get("capacity")
            if offered is not None and quantity.parse(str(offered)).value >= matching.wanted_size(claim):
                wanted = selectors.from_label_selector(published["nodeTopology"]).requirements
                term = affinity.Term(wanted)
                found |= match.matching(case.table, term) if wanted else everywhere
    return found


def _rows(case: Case, volume: meta.Obj) -> Mask:
    rows = reachable(case, volume)
    return np.ones(case.table.size, dtype=np.bool_) if rows is None else rows


def _waits_for_consumer(case: Case, claim: meta.Obj) -> bool:
    storage = case.view.get(CLASSES, "", class_of(claim)) if class_of(claim) else None
    return storage is not None and storage.get("volumeBindingMode") == "WaitForFirstConsumer"


def _volume_name(claim: meta.Obj) -> str:
    return meta.spec(claim).get("volumeName") or ""


# Choices as actions.


def binding(volume: meta.Obj, claim: meta.Obj) -> plan.Patch:
    """Reserves the volume for the claim; the volume controller does the rest."""
    reference = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta.namespace(claim),
        "name": meta.name(claim),
        "uid": meta.uid(claim),
        "resourceVersion": meta.resource_version(claim),
    }
    change = {"metadata": {"annotations": {BOUND_BY_CONTROLLER: "yes"}}, "spec": {"claimRef": reference}}
    return plan.Patch(
        kind=VOLUMES,
        namespace="",
        name=meta.name(volume),
        uid=meta.uid(volume),
        resource_version=meta.resource_version(volume),
        type="merge",
        patch=change,
        why="it is the smallest volume that fits the claim on the chosen node",
    )


def provisioning(claim: meta.Obj, node: str) -> plan.Patch:
    """Tells the provisioner for which node the claim's volume is to be made."""
    namespace, name = meta.key(claim)
    return plan.Patch(
        kind=CLAIMS,
        namespace=namespace,
        name=name,
        uid=meta.uid(claim),
        type="merge",
        patch={"metadata": {"annotations": {SELECTED_NODE: node}}},
        why="its first consumer goes to that node",
    )
