"""Names, storage and labels by which a StatefulSet's pod is itself again after it was replaced."""

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.controllers import pods
from reconciler.kinds import statefulset, workload
from reconciler.model import meta

CLAIMS = "persistentvolumeclaims"
REVISION_LABEL = "controller-revision-hash"


def ordinal(owner: meta.Obj, one: meta.Obj) -> int:
    """The number in the name of a pod of `owner`; -1 for any other pod."""
    parent, _, number = meta.name(one).rpartition("-")
    return int(number) if parent == meta.name(owner) and number.isdecimal() else -1


def claim_name(owner: meta.Obj, template: Mapping[str, Any], number: int) -> str:
    return f"{template['metadata']['name']}-{meta.name(owner)}-{number}"


def made_pod(owner: meta.Obj, number: int, revision: str) -> dict[str, Any]:
    """A pod from the template of `owner`, which is the StatefulSet with one of its revisions applied."""
    name = f"{meta.name(owner)}-{number}"
    body = pods.from_template(owner, workload.template(owner), name, f"{meta.name(owner)}-")
    labels = {**body["metadata"].get("labels", {}), **labels_of(name, number), REVISION_LABEL: revision}
    spec = {**body["spec"], "hostname": name, "volumes": volumes(owner, body["spec"].get("volumes") or (), number)}
    if meta.spec(owner).get("serviceName"):
        spec["subdomain"] = meta.spec(owner)["serviceName"]
    if not spec["volumes"]:
        del spec["volumes"]
    return {**body, "metadata": {**body["metadata"], "labels": labels}, "spec": spec}


def labels_of(name: str, number: int) -> dict[str, str]:
    return {statefulset.POD_NAME_LABEL: name, statefulset.INDEX_LABEL: str(number)}


def volumes(owner: meta.Obj, present: Sequence[Mapping[str, Any]], number: int) -> list[Mapping[str, Any]]:
    """The claims' volumes, then those of the template that are not named like a claim."""
    claimed: list[Mapping[str, Any]] = [
        {"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim_name(owner, template, number)}}
        for template in statefulset.claim_templates(owner)
    ]
    names = {volume["name"] for volume in claimed}
    return claimed + [volume for volume in present if volume["name"] not in names]


def made_claim(owner: meta.Obj, template: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A claim from its template, labelled so that the StatefulSet's selector finds it."""
    wanted = template.get("metadata") or meta.EMPTY
    selected = (meta.spec(owner).get("selector") or meta.EMPTY).get("matchLabels") or {}
    metadata: dict[str, Any] = {
        "name": claim_name(owner, template, number),
        "namespace": meta.namespace(owner),
        "labels": {**(wanted.get("labels") or {}), **selected},
    }
    if wanted.get("annotations"):
        metadata["annotations"] = wanted["annotations"]
    if references := wanted_references(owner, None, (), is_condemned=False):
        metadata["ownerReferences"] = references
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template.get("spec") or {}}


def wanted_references(
    owner: meta.Obj, one: meta.Obj | None, present: Sequence[Mapping[str, Any]], *, is_condemned: bool
) -> list[Mapping[str, Any]]:
    """A claim's owner references as persistentVolumeClaimRetentionPolicy wants them: who goes takes the claim along."""
    policy = meta.spec(owner).get("persistentVolumeClaimRetentionPolicy") or meta.EMPTY
    goes_with_pod = policy.get("whenScaled") == "Delete" and is_condemned
    goes_with_set = policy.get("whenDeleted") == "Delete" and not goes_with_pod
    ours = {meta.uid(owner), meta.uid(one) if one is not None else ""}
    kept = [reference for reference in present if reference.get("uid") not in ours]
    if goes_with_set:
        kept.append(meta.controller_reference(owner))
    if goes_with_pod and one is not None:
        kept.append(meta.controller_reference(one, api_version="v1", kind="Pod"))
    return kept


def is_stale(claim: meta.Obj, pod_name: str) -> bool:
    """Whether a claim goes along with a former pod of the same name."""
    return any(reference.get("kind") == "Pod" and reference.get("name") == pod_name for reference in meta.owners(claim))
