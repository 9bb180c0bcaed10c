"""What a definition's version refuses in its objects, in kube-apiserver's order: kind, schema, scale, embedded objects,
lists, CEL rules.

An update is ratcheted: what is refused but was so before, and is unchanged, passes.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from reconciler.model import errors, govalue, meta, metadata, names
from reconciler.model.cel import rules
from reconciler.model.errors import FieldError
from reconciler.model.kind import ValidateForm
from reconciler.model.structural import correlate, embedded, lists, validate
from reconciler.model.structural.schema import Structural

INT32_MOST = 2**31 - 1
STANDARD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
PREFER_PATH = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
PREFER_DOMAIN = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"


# With one of these, the rules are not asked: they could not rely on types.
BLOCKING = frozenset({"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"})
NOT_CHECKED = errors.invalid(
    "<nil>",
    None,
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
)


def validator(kind: str, version: Mapping[str, Any], structural: Structural) -> ValidateForm:
    """The validation of one version's objects; schemas compile when the first object comes."""
    scale = (version.get("subresources") or {}).get("scale")
    checks: dict[str, validate.Check] = {}
    has_rules = rules.has_rules(structural)

    @cache
    def compiled_rules() -> rules.Rules:
        return rules.Rules(structural, is_root=True)

    def check_of(part: str, schema: Structural) -> validate.Check:
        if part not in checks:
            checks[part] = validate.compile(schema.raw)
        return checks[part]

    def refused(obj: meta.Obj, old: meta.Obj | None, subresource: str) -> tuple[Sequence[FieldError], Sequence[str]]:
        if obj.get("kind") != kind:
            return [errors.invalid("kind", obj.get("kind"), f"must be {kind}")], ()
        found: list[FieldError] = []
        if subresource == "status":
            status = structural.properties.get("status")
            if "status" in obj and status is not None:
                link = correlate.Link(status, old["status"]) if old is not None and "status" in old else None
                found += check_of("status", status).run(obj["status"], "", link, "status").errors
        else:
            link = correlate.Link(structural, old) if old is not None else None
            found += check_of("", structural).run(obj, "", link).errors
        if scale is not None:
            found += _scale(obj, scale, subresource)
        found += embedded.refused(obj, structural, metadata.refused_embedded)
        if old is None or not lists.duplicates(old, structural):
            found += lists.duplicates(obj, structural)
        if not has_rules:
            return found, ()
        if any(error.reason in BLOCKING for error in found):
            return [*found, NOT_CHECKED], ()
        report = rules.Report()
        link = correlate.Link(structural, old) if old is not None else None
        compiled_rules().judge(obj, "", link, report)
        return found + report.errors, report.warnings

    return refused


def _scale(obj: meta.Obj, scale: Mapping[str, str], subresource: str) -> Iterator[FieldError]:
    if not subresource or subresource == "scale":
        yield from _replicas(obj, scale["specReplicasPath"])
    yield from _replicas(obj, scale["statusReplicasPath"])
    if scale.get("labelSelectorPath"):
        selector = _nested(obj, scale["labelSelectorPath"])
        if selector is not None and not isinstance(selector, str):
            yield errors.invalid(scale["labelSelectorPath"], "", _accessor(scale["labelSelectorPath"], selector, "string"))


def _replicas(obj: meta.Obj, path: str) -> Iterator[FieldError]:
    value = _nested(obj, path)
    if value is None:
        return
    if type(value) is not int:
        yield errors.invalid(path, 0, _accessor(path, value, "int64"))
    elif value < 0:
        yield errors.invalid(path, value, "should be a non-negative integer")
    elif value > INT32_MOST:
        yield errors.invalid(path, value, f"should be less than or equal to {INT32_MOST}")


def _nested(obj: Any, path: str) -> Any:
    for key in path.removeprefix(".").split("."):
        if not isinstance(obj, Mapping):
            return None
        obj = obj.get(key)
    return obj


def _accessor(path: str, value: Any, wanted: str) -> str:
    return f"{path} accessor error: {govalue.plain(value)} is of the type {govalue.type_name(value)}, expected {wanted}"


def warn_of_finalizers(obj: meta.Obj, old: meta.Obj | None) -> Iterator[str]:
    """Names of new finalizers that another writer might choose, too."""
    before = meta.finalizers(old) if old is not None else ()
    for name in sorted(set(meta.finalizers(obj)) - set(before)):
        for reason in names.qualified(name):
            yield f'metadata.finalizers: "{name}": {reason}'
        if "/" not in name and name not in STANDARD_FINALIZERS:
            yield f'metadata.finalizers: "{name}": {PREFER_PATH if "." in name else PREFER_DOMAIN}'
