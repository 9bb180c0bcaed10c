"""APIService: which server answers for a group and version."""

from collections.abc import Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.model import meta
from reconciler.model.kind import Kind, Version, status_of


def default_api_service(service: meta.Obj) -> meta.Obj:
    def spec(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        return pod_defaults.inside(wanted, "service", lambda one: pod_defaults.filled(one, {"port": 443}))

    return pod_defaults.inside(service, "spec", spec)


def prepare_api_service(service: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """One that names no service is served here, and so is available at once."""
    if old is not None:
        return {**service, "status": old.get("status") or {}}
    if meta.spec(service).get("service"):
        return {**service, "status": {}}
    local = {"type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available"}
    return {**service, "status": {"conditions": [{**local, "lastTransitionTime": meta.meta(service).get("creationTimestamp")}]}}


def _service_cell(service: meta.Obj) -> str:
    reference = meta.spec(service).get("service")
    return f"{reference.get('namespace', '')}/{reference.get('name', '')}" if reference else "Local"


def _available_cell(service: meta.Obj) -> str:
    found = workload.condition(service, "Available")
    if found is None:
        return "Unknown"
    status = str(found.get("status", "Unknown"))
    return status if status == "True" else f"{status} ({found.get('reason', '')})"


KIND = Kind(
    group="apiregistration.k8s.io",
    kind="APIService",
    plural="apiservices",
    singular="apiservice",
    categories=("api-extensions",),
    namespaced=False,
    versions=(
        Version(
            name="v1",
            schema="io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
            default=default_api_service,
        ),
    ),
    subresources=(status_of("APIService"),),
    prepare=prepare_api_service,
    standard_finalizers=False,
    prepare_status=workload.keep_spec,
    columns=(
        columns.NAME,
        columns.column("Service", _service_cell, "@spec.service"),
        columns.column("Available", _available_cell, "@status.conditions"),
        columns.AGE,
    ),
    order=80,
)
