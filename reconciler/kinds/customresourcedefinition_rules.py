"""What is refused in a CustomResourceDefinition, in the order of k8s.io/apiextensions-apiserver's validation.

Kubernetes keeps what all versions share at the top (spec.validation, spec.subresources, ...), and its errors name that
place; paths here follow.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import customresourcedefinition_schema as schemas
from reconciler.model import errors, meta, names
from reconciler.model.errors import FieldError
from reconciler.model.structural import fieldpath
from reconciler.model.structural import schema as structural

Spec = Mapping[str, Any]

APPROVAL = "api-approved.kubernetes.io"
APPROVAL_MORE = "see https://github.com/kubernetes/enhancements/pull/1111"
DEPRECATION_MOST = 256
SELECTABLE_MOST = 8
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = (
    "binary", "bool", "byte", "date", "date-time", "double", "float", "int32", "int64", "password",
)  # fmt: skip
REVIEW_VERSIONS = ("v1", "v1beta1")
PROTECTED_GROUPS = ("k8s.io", "kubernetes.io")
# The fields of a version as Kubernetes' own form of it writes them, with those that were moved to the top.
_SHARED = {
    "Schema": "schema",
    "Subresources": "subresources",
    "AdditionalPrinterColumns": "additionalPrinterColumns",
    "SelectableFields": "selectableFields",
}


def refused(definition: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    spec = meta.spec(definition)
    wanted = f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}"
    if old is None and meta.name(definition) != wanted:
        yield errors.invalid("metadata.name", meta.name(definition), 'must be spec.names.plural+"."+spec.group')
    yield from _spec(spec, meta.spec(old) if old is not None else None)
    if old is not None:
        yield from _immutable(spec, old)
    yield from _names((meta.status(definition).get("acceptedNames") or {}), "status.acceptedNames")
    yield from _stored_versions(meta.status(definition).get("storedVersions"), spec)
    yield from _approval(definition, old)
    if spec.get("preserveUnknownFields") and not (old is not None and meta.spec(old).get("preserveUnknownFields")):
        detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield errors.invalid("spec.preserveUnknownFields", True, detail)


def refused_status(definition: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    yield from _names((meta.status(definition).get("acceptedNames") or {}), "status.acceptedNames")


def _spec(spec: Spec, old: Spec | None) -> Iterator[FieldError]:
    yield from _group(str(spec.get("group", "")))
    scope = spec.get("scope", "")
    if not scope:
        yield errors.required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield errors.not_supported("spec.scope", scope, ("Cluster", "Namespaced"))
    versions: Sequence[Spec] = spec.get("versions") or ()
    shared = {key for key in _SHARED.values() if is_shared(versions, key)}
    for index, version in enumerate(versions):
        if (version.get("schema") or {}).get("openAPIV3Schema") is None:
            yield errors.required(f"spec.versions[{index}].schema.openAPIV3Schema")
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}]"
        yield from _dns(f"{path}.name", str(version.get("name", "")))
        yield from _deprecation(version, path)
        yield from _version(version, path, shared, own=True)
    found = [str(version.get("name")) for version in versions]
    if len(set(found)) < len(found):
        yield errors.invalid("spec.versions", internal(versions, shared), "must contain unique version names")
    if sum(bool(version.get("storage")) for version in versions) != 1:
        yield errors.invalid("spec.versions", internal(versions, shared), "must have exactly one version marked as storage version")
    if versions:
        yield from _dns("spec.version", found[0])
    given = spec.get("names") or {}
    for key in ("plural", "singular", "kind", "listKind"):
        if not given.get(key):
            yield errors.required(f"spec.names.{key}")
    yield from _names(given, "spec.names")
    if versions:
        yield from _version(versions[0], "spec", shared, own=False, has_status=any(map(_has_status, versions)))
    yield from _conversion(spec.get("conversion") or {}, (old or {}).get("conversion") or {})


def _group(group: str) -> Iterator[FieldError]:
    if not group:
        yield errors.required("spec.group")
    elif reasons := names.dns_subdomain(group):
        yield errors.invalid("spec.group", group, ",".join(reasons))
    elif "." not in group:
        yield errors.invalid("spec.group", group, "should be a domain with at least one dot")


def is_shared(versions: Sequence[Spec], key: str) -> bool:
    """Whether Kubernetes keeps a field at the top, for all versions say the same."""
    return bool(versions) and versions[0].get(key) is not None and all(version.get(key) == versions[0][key] for version in versions)


def internal(versions: Iterable[Spec], shared: Iterable[str]) -> list[dict[str, Any]]:
    """Versions as Kubernetes' errors quote them."""
    shared = set(shared)
    return [
        {
            "Name": version.get("name", ""),
            "Served": bool(version.get("served")),
            "Storage": bool(version.get("storage")),
            "Deprecated": bool(version.get("deprecated")),
            "DeprecationWarning": version.get("deprecationWarning"),
            **{name: None if key in shared else version.get(key) for name, key in _SHARED.items()},
        }
        for version in versions
    ]


def _version(version: Spec, path: str, shared: Iterable[str], *, own: bool, has_status: bool = False) -> Iterator[FieldError]:
    """The parts of a version that are its own, or those that all share, under `spec`."""

    def part(key: str) -> Any:
        return version.get(key) if (key in shared) != own else None

    schema = (part("schema") or {}).get("openAPIV3Schema")
    if schema is not None:
        at = f"{path}.schema.openAPIV3Schema" if own else "spec.validation.openAPIV3Schema"
        yield from schemas.refused(schema, at, has_status=_has_status(version) if own else has_status)
    yield from _scale((part("subresources") or {}).get("scale"), f"{path}.subresources.scale")
    for index, column in enumerate(part("additionalPrinterColumns") or ()):
        yield from _column(column, f"{path}.additionalPrinterColumns[{index}]")
    fields = part("selectableFields")
    if fields:
        yield from _selectable(fields, (version.get("schema") or {}).get("openAPIV3Schema") or {}, f"{path}.selectableFields")


def _has_status(version: Spec) -> bool:
    return (version.get("subresources") or {}).get("status") is not None


def _deprecation(version: Spec, path: str) -> Iterator[FieldError]:
    at, text = f"{path}.deprecationWarning", version.get("deprecationWarning")
    if text is None:
        return
    if not version.get("deprecated"):
        yield errors.invalid(at, text, "can only be set for deprecated versions")
        return
    if len(text.encode()) > DEPRECATION_MOST:
        yield errors.invalid(at, text, f"must be <= {DEPRECATION_MOST} characters long")
    if not text:
        yield errors.invalid(at, text, "must not be an empty string")
    strange = next((index for index, char in enumerate(text) if not char.isprintable()), None)
    if strange is not None:
        detail = f"must only contain printable UTF-8 characters; non-printable character found at index {strange}"
        yield errors.invalid(at, text, detail)


def _scale(scale: Mapping[str, Any] | None, path: str) -> Iterator[FieldError]:
    if scale is None:
        return
    for key, root in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        given = str(scale.get(key) or "")
        if not given:
            yield errors.required(f"{path}.{key}")
        else:
            yield from _simple_path(given, f"{path}.{key}", (root,), f"under {root[:-1]}")
    if selector := scale.get("labelSelectorPath"):
        yield from _simple_path(selector, f"{path}.labelSelectorPath", (".spec.", ".status."), "under either .spec or .status")


def _simple_path(given: str, path: str, roots: tuple[str, ...], where: str) -> Iterator[FieldError]:
    if not given.startswith("."):
        yield errors.invalid(path, given, "must be a simple json path starting with .")
    elif roots and not given.startswith(roots):
        yield errors.invalid(path, given, f"should be a json path {where}")


def _column(column: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    one_of = f"must be one of {','.join(COLUMN_TYPES)}"
    if not column.get("name"):
        yield errors.required(f"{path}.name")
    if not column.get("type"):
        yield errors.required(f"{path}.type", one_of)
    elif column["type"] not in COLUMN_TYPES:
        yield errors.invalid(f"{path}.type", column["type"], one_of)
    if column.get("format") and column["format"] not in COLUMN_FORMATS:
        yield errors.invalid(f"{path}.format", column["format"], f"must be one of {','.join(COLUMN_FORMATS)}")
    if not column.get("jsonPath"):
        yield errors.required(f"{path}.JSONPath")
    else:
        yield from _simple_path(column["jsonPath"], f"{path}.JSONPath", (), "")


def _selectable(fields: Sequence[Mapping[str, str]], schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    root = structural.parse(schema)
    seen: set[str] = set()
    for index, field in enumerate(fields):
        at, given = f"{path}[{index}].jsonPath", field.get("jsonPath", "")
        if not given:
            yield errors.required(at)
            continue
        try:
            resolved, found = fieldpath.resolve(given, root, allow_brackets=False)
        except fieldpath.Malformed as error:
            yield errors.invalid(at, given, f"is an invalid path: {error}")
            continue
        if resolved.split(".")[0] == "metadata":
            yield errors.invalid(at, given, "must not point to fields in metadata")
        if found.type not in ("string", "boolean", "integer"):
            detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
            yield errors.invalid(at, given, detail)
        if resolved in seen:
            yield errors.duplicate(at, given)
        seen.add(resolved)
    if len(seen) > SELECTABLE_MOST:
        yield errors.too_many(path, len(seen), SELECTABLE_MOST)


def _names(given: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for key in ("plural", "singular"):
        yield from _dns(f"{path}.{key}", str(given.get(key) or ""), optional=True)
    for key in ("kind", "listKind"):
        if reasons := names.dns_label_1035(str(given.get(key) or "x").lower()):
            detail = f"may have mixed case, but should otherwise match: {','.join(reasons)}"
            yield errors.invalid(f"{path}.{key}", given[key], detail)
    for index, name in enumerate(given.get("shortNames") or ()):
        yield from _dns(f"{path}.shortNames[{index}]", name)
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        yield errors.invalid(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same")
    for index, name in enumerate(given.get("categories") or ()):
        yield from _dns(f"{path}.categories[{index}]", name)


def _dns(path: str, name: str, optional: bool = False) -> Iterator[FieldError]:
    if (name or not optional) and (reasons := names.dns_label_1035(name)):
        yield errors.invalid(path, name, ",".join(reasons))


def _conversion(conversion: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[FieldError]:
    strategy, webhook = conversion.get("strategy", ""), conversion.get("webhook") or {}
    config, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    path = "spec.conversion"
    if strategy not in ("", "None", "Webhook"):
        yield errors.not_supported(f"{path}.strategy", strategy, ("None", "Webhook"))
    if strategy != "Webhook":
        detail = "should not be set when strategy is not set to Webhook"
        if config is not None:
            yield errors.forbidden(f"{path}.webhookClientConfig", detail)
        if versions:
            yield errors.forbidden(f"{path}.conversionReviewVersions", detail)
        return
    if config is None:
        yield errors.required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
    elif (config.get("url") is None) == (config.get("service") is None):
        yield errors.required(f"{path}.webhookClientConfig", "exactly one of url or service is required")
    recognized = set(((old.get("webhook") or {}).get("conversionReviewVersions")) or REVIEW_VERSIONS) & set(REVIEW_VERSIONS)
    yield from _review_versions(versions, f"{path}.conversionReviewVersions", bool(recognized))


def _review_versions(versions: Sequence[str], path: str, must_know: bool) -> Iterator[FieldError]:
    if not versions:
        yield errors.required(path)
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield errors.invalid(f"{path}[{index}]", version, "duplicate version")
        else:
            yield from _dns(f"{path}[{index}]", version)
    if must_know and not set(versions) & set(REVIEW_VERSIONS):
        yield errors.invalid(path, list(versions), f"must include at least one of {', '.join(REVIEW_VERSIONS)}")


def _immutable(spec: Spec, old: meta.Obj) -> Iterator[FieldError]:
    before = meta.spec(old)
    conditions = meta.status(old).get("conditions") or ()
    is_established = any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)
    for is_fixed, path in (
        (is_established, ("scope",)),
        (is_established, ("names", "kind")),
        (True, ("group",)),
        (True, ("names", "plural")),
    ):
        new, was = _at(spec, path), _at(before, path)
        if is_fixed and new != was:
            yield errors.invalid(f"spec.{'.'.join(path)}", new, "field is immutable")


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = (value or {}).get(key)
    return value


def _stored_versions(stored: Sequence[str] | None, spec: Spec) -> Iterator[FieldError]:
    path = "status.storedVersions"
    if not stored:
        yield errors.invalid(path, stored, "must have at least one stored version")
        return
    versions = {version.get("name"): version for version in spec.get("versions") or ()}
    for name, version in versions.items():
        if version.get("storage") and name not in stored:
            yield errors.invalid(path, list(stored), f"must have the storage version {name}")
    for index, name in enumerate(stored):
        if name not in versions:
            detail = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage"
                f" migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            )
            yield errors.invalid(f"{path}[{index}]", name, detail)


def _approval(definition: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    """Groups of the Kubernetes community ask for an approval to be named."""
    group = str(meta.spec(definition).get("group", ""))
    if not any(group == protected or group.endswith(f".{protected}") for protected in PROTECTED_GROUPS):
        return
    given = meta.annotations(definition).get(APPROVAL, "")
    if old is not None and bool(meta.annotations(old).get(APPROVAL, "")) == bool(given):
        return
    path = f"metadata.annotations[{APPROVAL}]"
    must = f'protected groups must have approval annotation "{APPROVAL}"'
    if not given:
        yield errors.required(path, f"{must}, {APPROVAL_MORE}")
    elif not given.startswith("unapproved") and re.match(r"[a-z][a-z0-9+.-]*://[^/\s]+", given, re.IGNORECASE) is None:
        yield errors.invalid(path, given, f'{must} with either a URL or a reason starting with "unapproved", {APPROVAL_MORE}')
