"""Pods of a Job: labels and finalizer for exact counting, and for an indexed Job their number in several places."""

from collections.abc import Mapping
from typing import Any

from reconciler.controllers import pods
from reconciler.kinds import job as jobs
from reconciler.kinds import workload
from reconciler.model import meta

FAILURES_ANNOTATION = "batch.kubernetes.io/job-index-failure-count"
IGNORED_ANNOTATION = "batch.kubernetes.io/job-index-ignored-failure-count"
INDEX_VARIABLE = "JOB_COMPLETION_INDEX"


def prefix(job: meta.Obj, index: int | None) -> str:
    return f"{meta.name(job)}-" if index is None else f"{meta.name(job)}-{index}-"


def made(job: meta.Obj, name: str, index: int | None, annotations: Mapping[str, str]) -> dict[str, Any]:
    """A pod; `annotations` are those of its index's failures."""
    body = pods.from_template(job, workload.template(job), name, prefix(job, index))
    metadata, spec = dict(body["metadata"]), dict(body["spec"])
    metadata["finalizers"] = [*metadata.get("finalizers", ()), jobs.TRACKING_FINALIZER]
    if index is not None:
        number = {jobs.INDEX_ANNOTATION: str(index)}
        metadata["labels"] = {**metadata.get("labels", {}), **number}
        metadata["annotations"] = {**metadata.get("annotations", {}), **number, **annotations}
        spec["hostname"] = f"{meta.name(job)}-{index}"
        for field in ("containers", "initContainers"):
            if spec.get(field):
                spec[field] = [_numbered(container) for container in spec[field]]
    return {**body, "metadata": metadata, "spec": spec}


def index_of(one: meta.Obj) -> int | None:
    text = meta.annotations(one).get(jobs.INDEX_ANNOTATION, "")
    return int(text) if text.isdecimal() else None


def failures(one: meta.Obj) -> int:
    """How often the index of a pod had failed before it, without ignored failures."""
    return _number(one, FAILURES_ANNOTATION)


def ignored_failures(one: meta.Obj) -> int:
    return _number(one, IGNORED_ANNOTATION)


def is_tracked(one: meta.Obj) -> bool:
    return jobs.TRACKING_FINALIZER in meta.finalizers(one)


def untracked(one: meta.Obj) -> meta.Obj:
    left = [finalizer for finalizer in meta.finalizers(one) if finalizer != jobs.TRACKING_FINALIZER]
    return meta.put(one, ("metadata", "finalizers"), left)


def _number(one: meta.Obj, annotation: str) -> int:
    text = meta.annotations(one).get(annotation, "")
    return int(text) if text.isdecimal() else 0


def _numbered(container: Mapping[str, Any]) -> Mapping[str, Any]:
    variables = container.get("env") or []
    if any(variable["name"] == INDEX_VARIABLE for variable in variables):
        return container
    path = f"metadata.labels['{jobs.INDEX_ANNOTATION}']"
    return {**container, "env": [*variables, {"name": INDEX_VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": path}}}]}
