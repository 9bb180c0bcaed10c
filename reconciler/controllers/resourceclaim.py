"""ResourceClaims from the templates that pods name, and their names in the pods' status.

Upstream: pkg/controller/resourceclaim. Allocation and reservation are the scheduler's part.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from reconciler.controllers import pods
from reconciler.kinds import pod
from reconciler.model import meta, plan
from reconciler.model.view import OWNER, View

CLAIMS = "resourceclaims.resource.k8s.io"
TEMPLATES = "resourceclaimtemplates.resource.k8s.io"
ENTRY_ANNOTATION = "resource.kubernetes.io/pod-claim-name"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get(pods.PODS, *key)
    if one is None or meta.is_deleting(one) or pod.is_terminal(one):
        return plan.NOTHING
    owned = {meta.annotations(claim).get(ENTRY_ANNOTATION, ""): claim for claim in view.by(CLAIMS, OWNER, meta.uid(one))}
    creates: list[plan.Action] = []
    emits: list[plan.Action] = []
    statuses: list[Mapping[str, Any]] = []
    for entry in _templated(one):
        claim = owned.get(entry["name"])
        if claim is not None:
            statuses.append({"name": entry["name"], "resourceClaimName": meta.name(claim)})
            continue
        template = view.get(TEMPLATES, key[0], entry["resourceClaimTemplateName"])
        if template is None:
            emits.append(_missing(one, entry))
        else:
            creates.append(_creation(view, one, entry, template))
    return plan.plan_of(creates, emits, [] if creates or emits else _status_update(one, statuses))


def _templated(one: meta.Obj) -> Iterable[Mapping[str, Any]]:
    return (entry for entry in meta.spec(one).get("resourceClaims") or () if entry.get("resourceClaimTemplateName"))


def _creation(view: View, one: meta.Obj, entry: Mapping[str, Any], template: meta.Obj) -> plan.Create:
    wanted = meta.spec(template).get("metadata") or meta.EMPTY
    prefix = f"{meta.name(one)}-{entry['name']}-"
    reference = {name: value for name, value in meta.controller_reference(one).items() if name != "blockOwnerDeletion"}
    metadata: dict[str, Any] = {
        "name": next(itertools.islice(pods.free_names(view, CLAIMS, one, prefix), 1)),
        "generateName": prefix,
        "namespace": meta.namespace(one),
        "annotations": {**(wanted.get("annotations") or {}), ENTRY_ANNOTATION: entry["name"]},
        "ownerReferences": [reference],
    }
    if wanted.get("labels"):
        metadata["labels"] = wanted["labels"]
    body = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": metadata,
        "spec": meta.spec(template).get("spec") or {},
    }
    return plan.Create(kind=CLAIMS, body=body, why=f"pod {meta.name(one)} wants {entry['name']}", guard=plan.guard(pods.PODS, one))


def _missing(one: meta.Obj, entry: Mapping[str, Any]) -> plan.Emit:
    name = entry["resourceClaimTemplateName"]
    why = f'resource claim template "{name}": resourceclaimtemplate.resource.k8s.io "{name}" not found'
    message = f"PodResourceClaim {entry['name']}: {why}"
    return plan.Emit(regarding=one, reason="FailedResourceClaimCreation", message=message, type="Warning", component="resource_claim")


def _status_update(one: meta.Obj, statuses: list[Mapping[str, Any]]) -> list[plan.Action]:
    if statuses == list(meta.status(one).get("resourceClaimStatuses") or ()):
        return []
    body = meta.put(one, ("status", "resourceClaimStatuses"), statuses)
    return [plan.Update(kind=pods.PODS, body=body, subresource="status", why="its claims have names now")]


def _with_claims(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is not None and old is None and any(_templated(new)):
        yield meta.key(new)


CONTROLLER = plan.Controller(
    name="resourceclaim-controller",
    kind="",
    plan=planned,
    follows={pods.PODS: _with_claims, CLAIMS: plan.owner_key("Pod")},
    reads=frozenset({TEMPLATES}),
)
