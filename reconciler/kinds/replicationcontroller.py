"""ReplicationController, the ReplicaSet of old, and PodTemplate."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults, replicaset, workload
from reconciler.kinds.rules import check, pod_warnings, statuses, templates
from reconciler.model import errors, meta, selectors
from reconciler.model.errors import FieldError
from reconciler.model.kind import Kind, Version, scale, status_of
from reconciler.model.selectors import Selector

replicas = workload.replicas


def selector(controller: meta.Obj) -> Selector:
    """A plain map of labels; empty matches nothing."""
    return selectors.from_labels(meta.spec(controller).get("selector"))


def default(controller: meta.Obj) -> meta.Obj:
    """Selector and labels are the template's where unset."""
    controller = pod_defaults.template(controller)
    labels = workload.template_labels(controller)
    missing = {"replicas": 1, "selector": labels} if labels else {"replicas": 1}
    controller = pod_defaults.inside(controller, "spec", lambda spec: pod_defaults.filled(spec, missing))
    return controller if meta.labels(controller) or not labels else meta.put(controller, ("metadata", "labels"), labels)


def validate(controller: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(controller)
    yield from check.non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    chosen = spec.get("selector") or {}
    if not chosen:
        yield errors.required("spec.selector")
    yield from check.non_negative("spec.replicas", spec.get("replicas"))
    if spec.get("template") is None:
        yield errors.required("spec.template")
    else:
        wanted = selectors.from_labels(chosen) if chosen else selectors.EVERYTHING
        yield from templates.replicated("spec.template", workload.template(controller), wanted)


def validate_template(obj: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    return templates.template("template", obj.get("template") or {})


def default_template(obj: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(obj, "template", lambda made: pod_defaults.inside(made, "spec", pod_defaults.pod_spec))


def _template_spec(obj: meta.Obj) -> Mapping[str, Any]:
    return (obj.get("template") or meta.EMPTY).get("spec") or meta.EMPTY


def _template_labels(obj: meta.Obj) -> str:
    return columns.labels_text(((obj.get("template") or meta.EMPTY).get("metadata") or meta.EMPTY).get("labels"))


_CONTAINERS, _IMAGES = columns.of_template(_template_spec)


def warn_of_template(obj: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    return pod_warnings.of_template("template", obj.get("template") or meta.EMPTY)


KINDS = (
    Kind(
        group="",
        kind="ReplicationController",
        metadata_on_update="changes",
        plural="replicationcontrollers",
        singular="replicationcontroller",
        short_names=("rc",),
        categories=("all",),
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.ReplicationController", default=default),),
        subresources=(scale(), status_of("ReplicationController")),
        prepare=workload.empty_status(replicas=0),
        prepare_status=workload.keep_spec,
        validate_status=statuses.replica_set,
        validate=validate,
        warn=pod_warnings.of_workload,
        name_rule="subdomain_in_bytes",
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column("Desired", replicas, "@spec.replicas", type="integer"),
            columns.column("Current", lambda rc: workload.count(rc, "replicas"), "@status.replicas", type="integer"),
            columns.column("Ready", lambda rc: workload.count(rc, "readyReplicas"), "@status.readyReplicas", type="integer"),
            columns.AGE,
            *columns.of_template(columns.template_spec),
            columns.column("Selector", lambda rc: columns.labels_text(meta.spec(rc).get("selector")), "@spec.selector", wide=True),
        ),
        selectable_fields={"status.replicas": lambda rc: str(workload.count(rc, "replicas"))},
        health=replicaset.health,
        order=60,
    ),
    Kind(
        group="",
        kind="PodTemplate",
        metadata_on_update="changes",
        plural="podtemplates",
        singular="podtemplate",
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.PodTemplate", default=default_template),),
        validate=validate_template,
        warn=warn_of_template,
        has_generation=True,
        columns=(
            columns.NAME,
            columns.column("Containers", lambda t: _CONTAINERS.cell(t, 0), _CONTAINERS.description),
            columns.column("Images", lambda t: _IMAGES.cell(t, 0), _IMAGES.description),
            columns.column("Pod Labels", _template_labels, "The labels for the pod template."),
        ),
    ),
)
