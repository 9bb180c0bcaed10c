"""APIService: which server answers for a group and version."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.kinds.rules import check
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError
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


def validate_api_service(service: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(service)
    group, version = spec.get("group", ""), spec.get("version", "")
    if meta.name(service) != f"{version}.{group}":
        yield errors.invalid("metadata.name", meta.name(service), f'must be `spec.version+"."+spec.group`: "{version}.{group}"')
    if not group and version != "v1":
        yield errors.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    if group:
        yield from check.subdomain("spec.group", group)
    yield from check.because("spec.version", version, names.dns_label_1035(version))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        if not 0 < spec.get(field, 0) <= most:
            yield errors.invalid(f"spec.{field}", spec.get(field, 0), f"must be positive and less than {most}")
    yield from _reference(spec)


def _reference(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    """The server, and how it is believed."""
    reference, skips = spec.get("service"), bool(spec.get("insecureSkipTLSVerify"))
    authority = base64.b64decode(spec.get("caBundle") or b"")
    if reference is None:
        if authority:
            yield errors.invalid("spec.caBundle", f"{len(authority)} bytes", "local APIServices may not have a caBundle")
        if skips:
            yield errors.invalid("spec.insecureSkipTLSVerify", skips, "local APIServices may not have insecureSkipTLSVerify")
        return
    for field in ("namespace", "name"):
        if not reference.get(field):
            yield errors.required(f"spec.service.{field}")
    port = reference.get("port", 443)
    if not 0 < port < 65536:
        yield errors.invalid("spec.service.port", port, "port is not valid: must be between 1 and 65535, inclusive")
    if skips and authority:
        yield errors.invalid("spec.insecureSkipTLSVerify", skips, "may not be true if caBundle is present")


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
    validate=validate_api_service,
    name_rule="path",
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
