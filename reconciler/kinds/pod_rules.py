"""What only a Pod must fulfil, beyond its spec, and what may change of one."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import annotations, pods
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError

UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate(pod: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    yield from annotations.of_pod("metadata.annotations", meta.annotations(pod), meta.spec(pod))
    yield from pods.spec("spec", meta.spec(pod))
    yield from _containers(pod)
    if old is None:
        yield from _creation(pod)
    else:
        yield from _update(pod, old)


def _containers(pod: meta.Obj) -> Iterator[FieldError]:
    spec = meta.spec(pod)
    for field in ("containers", "initContainers"):
        for index, one in enumerate(spec.get(field) or ()):
            image = one.get("image", "")
            if image != image.strip():
                yield errors.invalid(f"spec.{field}[{index}].image", image, "must not have leading or trailing whitespace")
    pages = {
        name
        for one in spec.get("containers") or ()
        for found in (one.get("resources") or {}).values()
        if isinstance(found, dict)
        for name in found
        if name.startswith("hugepages-")
    }
    if len(pages) > 1:
        yield errors.invalid("spec", {name: {} for name in sorted(pages)}, "must use a single hugepage size in a pod spec")


def _creation(pod: meta.Obj) -> Iterator[FieldError]:
    spec = meta.spec(pod)
    if spec.get("ephemeralContainers"):
        yield errors.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield errors.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def _update(pod: meta.Obj, old: meta.Obj) -> Iterator[FieldError]:
    yield from _annotation_changes(pod, old)
    new_spec, old_spec = meta.spec(pod), meta.spec(old)
    for field, message in (
        ("containers", "pod updates may not add or remove containers"),
        ("initContainers", "pod updates may not add or remove init containers"),
    ):
        new_list, old_list = new_spec.get(field) or (), old_spec.get(field) or ()
        if len(new_list) != len(old_list):
            yield errors.forbidden(f"spec.{field}", message)
            return
    yield from _deadline(new_spec.get("activeDeadlineSeconds"), old_spec.get("activeDeadlineSeconds"))
    yield from _tolerations(new_spec.get("tolerations") or (), old_spec.get("tolerations") or ())
    yield from _gates(new_spec, old_spec)
    if _settled(new_spec, old_spec) != old_spec:
        yield errors.forbidden("spec", f"{UPDATABLE}\n{_difference(_settled(new_spec, old_spec), old_spec)}")


def _settled(new: Mapping[str, Any], old: Mapping[str, Any]) -> Mapping[str, Any]:
    """`new` with everything that may change as it was."""
    spec = dict(new)
    for field in ("containers", "initContainers"):
        if field in spec:
            spec[field] = [{**one, "image": before.get("image", "")} for one, before in zip(spec[field], old[field], strict=True)]
    for field in (
        "activeDeadlineSeconds",
        "tolerations",
        "schedulingGates",
        *(("nodeSelector", "affinity") if old.get("schedulingGates") else ()),
    ):
        spec.pop(field, None)
        if field in old:
            spec[field] = old[field]
    return spec


def _gates(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[FieldError]:
    """Gates may only go; while there are any, the nodes that the pod may go to may only become fewer."""
    before = {gate.get("name") for gate in old.get("schedulingGates") or ()}
    for index, gate in enumerate(new.get("schedulingGates") or ()):
        if gate.get("name") not in before:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            yield errors.forbidden(f"spec.schedulingGates[{index}].name", detail)
            return
    if not before:
        return
    wanted = new.get("nodeSelector") or {}
    if any(wanted.get(key) != value for key, value in (old.get("nodeSelector") or {}).items()):
        yield errors.invalid("spec.nodeSelector", wanted, "only additions to spec.nodeSelector are allowed (no mutations or deletions)")
    yield from _affinity(new.get("affinity") or {}, old.get("affinity") or {})


def _affinity(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[FieldError]:
    """Of a gated pod: only node affinity may change, and its required terms only by more requirements each."""
    path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    for field in ("podAffinity", "podAntiAffinity"):
        if new.get(field) != old.get(field):
            yield errors.invalid(f"spec.affinity.{field}", new.get(field), "field is immutable")
    before, after = _required_terms(old), _required_terms(new)
    if not before:
        return
    if len(before) != len(after):
        yield errors.invalid(path, after, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        return
    for index, (new_term, old_term) in enumerate(zip(after, before, strict=True)):
        for field in ("matchExpressions", "matchFields"):
            kept = old_term.get(field) or []
            if (new_term.get(field) or [])[: len(kept)] != kept:
                yield errors.invalid(f"{path}[{index}]", new_term, "only additions are allowed (no mutations or deletions)")
                break


def _required_terms(affinity: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    required = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms: Sequence[Mapping[str, Any]] = required.get("nodeSelectorTerms") or ()
    return terms


def _difference(new: Mapping[str, Any], old: Mapping[str, Any]) -> str:
    """Which fields of the spec differ, a line each."""
    changed = [name for name in {**old, **new} if new.get(name) != old.get(name)]
    lines = [
        f"{sign}{name}: {json.dumps(spec[name], sort_keys=True)}"
        for name in changed
        for sign, spec in (("-", old), ("+", new))
        if name in spec
    ]
    return "\n".join(lines)


def _deadline(new: int | None, old: int | None) -> Iterator[FieldError]:
    path = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            yield errors.invalid(path, None, "must not update from a positive integer to nil value")
    elif not 0 <= new < 2**31:
        yield errors.invalid(path, new, f"must be between 0 and {2**31 - 1}, inclusive")
    elif old is not None and old < new:
        yield errors.invalid(path, new, "must be less than or equal to previous value")


def _tolerations(new: Sequence[Mapping[str, Any]], old: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    for one in old:
        rest = {name: value for name, value in one.items() if name != "tolerationSeconds"}
        if not any({name: value for name, value in other.items() if name != "tolerationSeconds"} == rest for other in new):
            yield errors.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
            return


def _annotation_changes(pod: meta.Obj, old: meta.Obj) -> Iterator[FieldError]:
    path, new_ones, old_ones = "metadata.annotations", meta.annotations(pod), meta.annotations(old)
    for key, value in old_ones.items():
        if new_ones.get(key) == value:
            continue
        if key.startswith(annotations.APP_ARMOR):
            yield errors.forbidden(f"{path}[{key}]", "may not remove or update AppArmor annotations")
        if key == annotations.MIRROR:
            yield errors.forbidden(f"{path}[{key}]", "may not remove or update mirror pod annotation")
    for key in new_ones:
        if key in old_ones:
            continue
        if key.startswith(annotations.APP_ARMOR):
            yield errors.forbidden(f"{path}[{key}]", "may not add AppArmor annotations")
        if key == annotations.MIRROR:
            yield errors.forbidden(f"{path}[{key}]", "may not add mirror pod annotation")
