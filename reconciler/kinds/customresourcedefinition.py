"""CustomResourceDefinition: what it defaults, prepares and is asked. Its objects' kind is made in ..._kind.py."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.kinds import columns, pod_defaults, workload
from reconciler.model import conditions, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Health, Kind, Version, status_of


def is_established(definition: meta.Obj) -> bool:
    found = workload.condition(definition, "Established")
    return found is not None and found.get("status") == "True"


def with_accepted_names(definition: meta.Obj, others: Sequence[Mapping[str, Any]], now: float) -> Mapping[str, Any]:
    """The status after the names it asks for were compared with the accepted names of the group's `others`."""
    status, wanted = meta.status(definition), meta.spec(definition).get("names") or {}
    accepted = dict(status.get("acceptedNames") or {})
    if wanted == accepted and conditions.find(status.get("conditions") or (), "NamesAccepted"):
        return status
    resources = {name for one in others for name in (one.get("plural"), one.get("singular"), *(one.get("shortNames") or ()))}
    kinds = {name for one in others for name in (one.get("kind"), one.get("listKind"))}
    reason, message = "NoConflicts", "no conflicts found"
    for field, used in (("plural", resources), ("singular", resources), ("shortNames", resources), ("kind", kinds), ("listKind", kinds)):
        held = accepted.get(field)
        asked = wanted.get(field) or ([] if field == "shortNames" else "")
        taken = [name for name in (asked if isinstance(asked, list) else [asked]) if name in used and name not in _held(held)]
        if taken:
            reason = f"{field[0].upper()}{field[1:]}Conflict"
            texts = [f'"{name}" is already in use' for name in taken]
            message = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        elif asked:
            accepted[field] = asked
        else:
            accepted.pop(field, None)
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    else:
        accepted.pop("categories", None)
    return {**status, "acceptedNames": accepted, "conditions": _naming_conditions(definition, reason, message, now)}


def _held(held: Any) -> Sequence[str]:
    return held if isinstance(held, list) else [held]


def _naming_conditions(definition: meta.Obj, reason: str, message: str, now: float) -> list[conditions.Condition]:
    is_accepted = reason == "NoConflicts"
    found = meta.status(definition).get("conditions") or ()
    found = conditions.updated(found, conditions.made("NamesAccepted", "True" if is_accepted else "False", reason, message, now))
    if is_accepted and not is_established(definition):
        text = "the initial names have been accepted"
        found = conditions.updated(found, conditions.made("Established", "True", "InitialNamesAccepted", text, now))
    elif not is_accepted and conditions.find(found, "Established") is None:
        found = conditions.updated(found, conditions.made("Established", "False", "NotAccepted", "not all names are accepted", now))
    return list(found)


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
    return {**definition, "status": _with_storage_version(status, meta.spec(definition))}


def prepare_definition_status(definition: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    kept = workload.keep_spec(definition, old)
    return {**kept, "status": _with_storage_version(meta.status(kept), meta.spec(kept))}


def _with_storage_version(status: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is stored is stored in the storage version from now on."""
    stored = list(status.get("storedVersions") or ())
    for version in spec.get("versions") or ():
        if version.get("storage") and version.get("name") not in stored:
            stored.append(version["name"])
    return {**status, "storedVersions": stored or None}


def health_of_definition(definition: meta.Obj) -> Health:
    if is_established(definition):
        return Health("Healthy")
    refused = workload.condition(definition, "NamesAccepted")
    if refused is not None and refused.get("status") == "False":
        return Health("Degraded", str(refused.get("message", "")))
    return Health("Progressing", "it is not established yet")


def validate(definition: meta.Obj, old: meta.Obj | None) -> Iterable[FieldError]:
    from reconciler.kinds import customresourcedefinition_rules as rules  # with CEL, as long to import as all the other kinds

    return rules.refused(definition, old)


def validate_status(definition: meta.Obj, old: meta.Obj | None) -> Iterable[FieldError]:
    from reconciler.kinds import customresourcedefinition_rules as rules

    return rules.refused_status(definition, old)


KIND = Kind(
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
    standard_finalizers=False,
    prepare=prepare_definition,
    prepare_status=prepare_definition_status,
    validate=validate,
    validate_status=validate_status,
    has_generation=True,
    columns=columns.DEFAULT,
    health=health_of_definition,
    order=2,
)
