"""Which ReplicaSet has the present template, and what the others remember.

The new ReplicaSet's revision is one above all others; the old ones are the history, kept up to revisionHistoryLimit.
Going back is only a change of template: the ReplicaSet that has it becomes the new one and gets the highest revision.
"""

from collections.abc import Mapping
from typing import Any

from reconciler.controllers.deployment import scaling
from reconciler.controllers.deployment.rollout import SETS, Rollout
from reconciler.kinds import deployment as deployments
from reconciler.kinds import workload
from reconciler.model import meta, plan

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
NOT_COPIED = {
    LAST_APPLIED,
    deployments.REVISION_ANNOTATION,
    deployments.HISTORY_ANNOTATION,
    deployments.DESIRED_ANNOTATION,
    deployments.MAX_ANNOTATION,
    "deprecated.deployment.rollback.to",
}
MAX_HISTORY_CHARACTERS = 2000


def find_new(rollout: Rollout) -> None:
    """Split the ReplicaSets: the oldest with the present template is the new one."""
    wanted = _plain(workload.template(rollout.deployment))
    for one in sorted(rollout.old, key=scaling.by_age):
        if _plain(workload.template(one)) == wanted:
            rollout.new = one
            rollout.old = [other for other in rollout.old if other is not one]
            return


def adjust_or_make_new(rollout: Rollout) -> None:
    if rollout.new is None:
        _make_new(rollout)
    else:
        adjust_new(rollout)


def adjust_new(rollout: Rollout) -> None:
    """Give the new ReplicaSet, where there is one, the highest revision and the Deployment's annotations."""
    new = rollout.new
    if new is None:
        return
    annotations = _annotations(rollout, meta.annotations(new), _next_revision(rollout))
    if annotations != meta.annotations(new):
        new = meta.put(new, ("metadata", "annotations"), annotations)
    seconds = workload.min_ready_seconds(rollout.deployment)
    if seconds != workload.min_ready_seconds(new):
        new = meta.put(new, ("spec", "minReadySeconds"), seconds)
    rollout.replace(new)
    _note_revision(rollout, annotations.get(deployments.REVISION_ANNOTATION, ""))
    if rollout.has_deadline and rollout.condition("Progressing") is None:
        message = f'Found new replica set "{meta.name(new)}"'
        rollout.set_condition("Progressing", "True", "FoundNewReplicaSet", message)


def clean_up(rollout: Rollout) -> None:
    """Delete the oldest history beyond revisionHistoryLimit, of what has no pods any more."""
    limit = deployments.revision_history_limit(rollout.deployment)
    kept = sorted((one for one in rollout.old if not meta.is_deleting(one)), key=_revision)
    for one in kept[: max(0, len(kept) - limit)]:
        status = meta.status(one)
        if status.get("replicas") or workload.replicas(one) or not workload.observed(one):
            continue
        rollout.deletes.append(
            plan.Delete(
                kind=SETS,
                namespace=meta.namespace(one),
                name=meta.name(one),
                uid=meta.uid(one),
                why=f"revisionHistoryLimit is {limit}",
            )
        )


def _make_new(rollout: Rollout) -> None:
    deployment = rollout.deployment
    template = workload.template(deployment)
    hash = rollout.templates.hash(template, meta.status(deployment).get("collisionCount"))
    template = meta.put(template, ("metadata", "labels", deployments.HASH_LABEL), hash)
    new: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{meta.name(deployment)}-{hash}",
            "namespace": meta.namespace(deployment),
            "labels": template["metadata"]["labels"],
            "ownerReferences": [meta.controller_reference(deployment)],
        },
        "spec": {
            "replicas": 0,
            "selector": meta.put(meta.spec(deployment).get("selector") or {}, ("matchLabels", deployments.HASH_LABEL), hash),
            "template": template,
        },
    }
    if workload.min_ready_seconds(deployment):
        new["spec"]["minReadySeconds"] = workload.min_ready_seconds(deployment)
    rollout.new, rollout.made = new, True
    revision = _next_revision(rollout)
    new = meta.put(new, ("spec", "replicas"), scaling.next_size_of_new(rollout))
    annotations = _annotations(rollout, {}, revision) | scaling.size_annotations(rollout)
    rollout.new = meta.put(new, ("metadata", "annotations"), annotations)
    _note_revision(rollout, str(revision))
    if rollout.has_deadline:
        message = f'Created new replica set "{meta.name(new)}"'
        rollout.set_condition("Progressing", "True", "NewReplicaSetCreated", message)


def _next_revision(rollout: Rollout) -> int:
    return max((_revision(old) for old in rollout.old), default=0) + 1


def _annotations(rollout: Rollout, present: Mapping[str, str], revision: int) -> dict[str, str]:
    """The new ReplicaSet's annotations: the Deployment's, and its revision with those it had before."""
    copied = {name: text for name, text in meta.annotations(rollout.deployment).items() if name not in NOT_COPIED}
    annotations = {**present, **copied}
    before = present.get(deployments.REVISION_ANNOTATION, "")
    if _number(before) < revision:
        annotations[deployments.REVISION_ANNOTATION] = str(revision)
        if before:
            annotations[deployments.HISTORY_ANNOTATION] = _history(present.get(deployments.HISTORY_ANNOTATION, ""), before)
    return annotations


def _history(history: str, before: str) -> str:
    revisions = [*history.split(","), before] if history else [before]
    while len(revisions) > 1 and sum(map(len, revisions)) + len(revisions) > MAX_HISTORY_CHARACTERS:
        revisions.pop(0)
    return ",".join(revisions)


def _note_revision(rollout: Rollout, revision: str) -> None:
    if meta.annotations(rollout.deployment).get(deployments.REVISION_ANNOTATION, "") != revision:
        path = ("metadata", "annotations", deployments.REVISION_ANNOTATION)
        rollout.deployment = meta.put(rollout.deployment, path, revision)


def _revision(one: meta.Obj) -> int:
    return _number(meta.annotations(one).get(deployments.REVISION_ANNOTATION, ""))


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _plain(template: Mapping[str, Any]) -> Mapping[str, Any]:
    return meta.without(template, ("metadata", "labels", deployments.HASH_LABEL))
