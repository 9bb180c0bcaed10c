"""ReplicaSet: a number of equal pods."""

from collections.abc import Iterator

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.kinds.rules import check, pod_warnings, statuses, templates
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Health, Kind, Version, scale, status_of

replicas = workload.replicas
selector = workload.selector


def ready_replicas(replica_set: meta.Obj) -> int:
    return workload.count(replica_set, "readyReplicas")


def available_replicas(replica_set: meta.Obj) -> int:
    return workload.count(replica_set, "availableReplicas")


def default(replica_set: meta.Obj) -> meta.Obj:
    replica_set = pod_defaults.template(replica_set)
    return pod_defaults.inside(replica_set, "spec", lambda spec: pod_defaults.filled(spec, {"replicas": 1}))


def validate(replica_set: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(replica_set)
    yield from check.non_negative("spec.replicas", spec.get("replicas"))
    yield from check.non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    chosen = spec.get("selector")
    yield from templates.label_selector("spec.selector", chosen, "deployment")
    if templates.is_parseable(chosen):
        yield from templates.replicated("spec.template", workload.template(replica_set), templates.parsed(chosen))
    else:
        yield errors.invalid("spec.selector", check.shown_selector(chosen), "invalid label selector")
    yield from workload.selector_kept(replica_set, old)


def health(replica_set: meta.Obj) -> Health:
    failed = workload.condition(replica_set, "ReplicaFailure")
    if failed is not None and failed.get("status") == "True":
        return Health("Degraded", str(failed.get("message", "")))
    if not workload.observed(replica_set) or available_replicas(replica_set) < replicas(replica_set):
        return Health("Progressing", f"{available_replicas(replica_set)} of {replicas(replica_set)} pods are available")
    return Health("Healthy")


KIND = Kind(
    group="apps",
    kind="ReplicaSet",
    metadata_on_update="changes",
    plural="replicasets",
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    versions=(Version(name="v1", schema="io.k8s.api.apps.v1.ReplicaSet", default=default),),
    subresources=(scale(), status_of("ReplicaSet")),
    prepare=workload.empty_status(replicas=0),
    prepare_status=workload.keep_spec,
    validate_status=statuses.replica_set,
    validate=validate,
    warn=pod_warnings.of_workload,
    has_generation=True,
    columns=(
        columns.NAME,
        columns.column("Desired", replicas, "@spec.replicas", type="integer"),
        columns.column("Current", lambda rs: workload.count(rs, "replicas"), "@status.replicas", type="integer"),
        columns.column("Ready", ready_replicas, "@status.readyReplicas", type="integer"),
        columns.AGE,
        *columns.of_template(columns.template_spec),
        columns.column("Selector", lambda rs: columns.selector_text(meta.spec(rs).get("selector")), "@spec.selector", wide=True),
    ),
    selectable_fields={"status.replicas": lambda rs: str(workload.count(rs, "replicas"))},
    health=health,
    order=60,
)
