"""Ephemeral volumes: a claim of the pod's own for each, which goes with the pod.

Upstream: pkg/controller/volume/ephemeral. A claim of that name that is not the pod's is never touched.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.kinds import pod
from reconciler.model import errors, meta, plan
from reconciler.model.view import View

PODS = "pods"
CLAIMS = "persistentvolumeclaims"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(PODS, *key)
    if one is None or meta.is_deleting(one) or pod.is_terminal(one):
        return plan.NOTHING
    creates: list[plan.Action] = []
    emits: list[plan.Action] = []
    for volume in meta.spec(one).get("volumes") or ():
        if "ephemeral" not in volume:
            continue
        name = f"{key[1]}-{volume['name']}"
        claim = view.get(CLAIMS, key[0], name)
        if claim is None:
            creates.append(_creation(one, volume, name))
        elif (meta.controller(claim) or meta.EMPTY).get("uid") != meta.uid(one):
            why = f"PVC {key[0]}/{name} was not created for pod {key[0]}/{key[1]} (pod is not owner)"
            emits.append(_failed(one, volume, why))
    return plan.plan_of(creates, emits)


def _creation(one: meta.Obj, volume: Mapping[str, Any], name: str) -> plan.Create:
    template = volume["ephemeral"].get("volumeClaimTemplate") or meta.EMPTY
    wanted = template.get("metadata") or meta.EMPTY
    metadata: dict[str, Any] = {"name": name, "namespace": meta.namespace(one), "ownerReferences": [meta.controller_reference(one)]}
    for field in ("labels", "annotations"):
        if wanted.get(field):
            metadata[field] = wanted[field]
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template.get("spec") or {}}

    def refused(error: errors.StatusError) -> Iterable[plan.Action]:
        return (_failed(one, volume, error.message),)

    return plan.Create(kind=CLAIMS, body=body, why=f"volume {volume['name']} of pod {meta.name(one)} wants it", refused=refused)


def _failed(one: meta.Obj, volume: Mapping[str, Any], why: str) -> plan.Emit:
    message = f"ephemeral volume {volume['name']}: {why}"
    return plan.Emit(regarding=one, reason="FailedBinding", message=message, type="Warning", component="ephemeral_volume")


def _with_ephemeral(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is not None and old is None and any("ephemeral" in volume for volume in meta.spec(new).get("volumes") or ()):
        yield meta.key(new)


CONTROLLER = plan.Controller(
    name="ephemeral-volume-controller", kind="", plan=planned, follows={PODS: _with_ephemeral, CLAIMS: plan.owner_key("Pod")}
)
