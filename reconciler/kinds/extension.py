"""CustomResourceDefinition and APIService: kinds that users add."""

from collections.abc import Mapping
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.model import meta
from reconciler.model.kind import Health, Kind, Version, status_of


def is_established(definition: meta.Obj) -> bool:
    found = workload.condition(definition, "Established")
    return found is not None and found.get("status") == "True"


def default_definition(definition: meta.Obj) -> meta.Obj:
    return pod_defaults.inside(definition, "spec", _default_spec)


def _default_spec(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    names = spec.get("names") or {}
    kind = names.get("kind", "")
    names = pod_defaults.filled(names, {"singular": kind.lower(), "listKind": f"{kind}List"}) if kind else names
    conversion = spec.get("conversion") or {}
    if not conversion.get("strategy"):
        conversion = {**conversion, "strategy": "None"}

    def service(one: Mapping[str, Any]) -> Mapping[str, Any]:
        return pod_defaults.filled(one, {"port": 443})

    conversion = pod_defaults.inside(
        conversion,
        "webhook",
        lambda hook: pod_defaults.inside(hook, "clientConfig", lambda config: pod_defaults.inside(config, "service", service)),
    )
    return {**spec, "names": names, "conversion": conversion}


def prepare_definition(definition: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """status.storedVersions begins with the storage version; acceptedNames are the naming controller's."""
    if old is not None:
        status = old.get("status") or {}
    else:
        status = {"acceptedNames": {"plural": "", "kind": ""}, "conditions": None, "storedVersions": None}
    stored = list(status.get("storedVersions") or ())
    for version in meta.spec(definition).get("versions") or ():
        if version.get("storage") and version.get("name") not in stored:
            stored.append(version["name"])
    return {**definition, "status": {**status, "storedVersions": stored or None}}


def health_of_definition(definition: meta.Obj) -> Health:
    if is_established(definition):
        return Health("Healthy")
    refused = workload.condition(definition, "NamesAccepted")
    if refused is not None and refused.get("status") == "False":
        return Health("Degraded", str(refused.get("message", "")))
    return Health("Progressing", "it is not established yet")


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


KINDS = (
    Kind(
        group="apiextensions.k8s.io",
        kind="CustomResourceDefinition",
        plural="customresourcedefinitions",
        singular="customresourcedefinition",
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        namespaced=False,
        versions=(
            Version(
                name="v1",
                schema="io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
                default=default_definition,
            ),
        ),
        subresources=(status_of("CustomResourceDefinition"),),
        prepare=prepare_definition,
        prepare_status=workload.keep_spec,
        has_generation=True,
        columns=columns.DEFAULT,
        health=health_of_definition,
        order=2,
    ),
    Kind(
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
        prepare_status=workload.keep_spec,
        columns=(
            columns.NAME,
            columns.column("Service", _service_cell, "@spec.service"),
            columns.column("Available", _available_cell, "@status.conditions"),
            columns.AGE,
        ),
        order=80,
    ),
)
