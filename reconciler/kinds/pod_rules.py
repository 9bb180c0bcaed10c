"""What only a Pod must fulfil, beyond its spec, and what may change of one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds import pod_resources
from reconciler.kinds.rules import addresses, annotations, check, pods
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError

UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
Status = Mapping[str, Any]


def validate(pod: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    yield from annotations.of_pod("metadata.annotations", meta.annotations(pod), meta.spec(pod))
    yield from pods.spec("spec", meta.spec(pod))
    yield from _containers(pod)
    if old is None:
        yield from _creation(pod)
    else:
        yield from _update(pod, old)


def validate_status(pod: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    status = meta.status(pod)
    for index, one in enumerate(status.get("conditions") or ()):
        if one.get("type") not in SYSTEM_CONDITIONS:
            yield from check.qualified(f"status.conditions[{index}].Type", one.get("type", ""))
    if old is not None:
        yield from check.immutable("status.qosClass", status.get("qosClass", ""), meta.status(old).get("qosClass", ""))
        for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
            yield from _transitions(f"status.{field}", status.get(field) or (), meta.status(old).get(field) or (), meta.spec(old))
    found = [one.get("ip", "") for one in status.get("podIPs") or ()]
    for index, text in enumerate(found):
        yield from check.ip(f"status.podIPs[{index}]", text)
    if len(found) > 1 and not any(check.ip_reasons(text) for text in found) and (len(found) > 2 or not addresses.one_per_family(found)):
        yield errors.invalid("status.podIPs", status["podIPs"], "may specify no more than one IP for each IP family")


def _transitions(path: str, new: Sequence[Status], old: Sequence[Status], spec: Mapping[str, Any]) -> Iterator[FieldError]:
    """A container that will not be restarted does not run again."""
    policy = spec.get("restartPolicy")
    if policy == "Always":
        return
    now = {one.get("name"): one.get("state") or {} for one in new}
    for index, one in enumerate(old):
        ended = (one.get("state") or {}).get("terminated")
        if ended is None or (ended.get("exitCode") and policy == "OnFailure"):
            continue
        if one.get("name") in now and now[one.get("name")].get("terminated") is None:
            yield errors.forbidden(f"{path}[{index}].state", "may not be transitioned to non-terminated state")


def validate_resize(pod: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    """Resources of containers that may change while they run."""
    yield from pods.spec("spec", meta.spec(pod))
    yield from _containers(pod)
    if old is None:
        return
    if MIRROR_ANNOTATION in meta.annotations(old):
        yield errors.forbidden("", "static pods cannot be resized")
    if (meta.spec(old).get("os") or {}).get("name") == "windows":
        yield errors.forbidden("", "windows pods cannot be resized")
    if pod_resources.qos_class(meta.spec(pod)) != meta.status(old).get("qosClass"):
        yield errors.invalid("spec", meta.status(old).get("qosClass"), "Pod QOS Class may not change as a result of resizing")
    if _without_compute(meta.spec(pod)) != _without_compute(meta.spec(old)):
        yield errors.forbidden("spec", "only cpu and memory resources are mutable")


def _without_compute(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = dict(spec)
    for field in ("containers", "initContainers"):
        kept[field] = [{**one, "resources": _other(one.get("resources") or {}), "resizePolicy": None} for one in spec.get(field) or ()]
    kept["resources"] = _other(spec.get("resources") or {})
    return kept


def _other(resources: Mapping[str, Any]) -> dict[str, Any]:
    """What is neither CPU nor memory."""
    found = dict(resources)
    for side in ("limits", "requests"):
        found[side] = {name: amount for name, amount in (resources.get(side) or {}).items() if name not in ("cpu", "memory")}
    return found


def validate_ephemeral_containers(pod: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    """They may be added, and then neither change nor go."""
    yield from pods.spec("spec", meta.spec(pod))
    yield from _containers(pod)
    if old is None:
        return
    if MIRROR_ANNOTATION in meta.annotations(old):
        yield errors.forbidden("", "static pods do not support ephemeral containers")
        return
    now = {one.get("name"): one for one in meta.spec(pod).get("ephemeralContainers") or ()}
    for one in meta.spec(old).get("ephemeralContainers") or ():
        name = one.get("name", "")
        if name not in now:
            yield errors.forbidden("spec.ephemeralContainers", f'existing ephemeral containers "{name}" may not be removed\n')
        elif now[name] != one:
            yield errors.forbidden("spec.ephemeralContainers", f'existing ephemeral containers "{name}" may not be changed\n')


def _containers(pod: meta.Obj) -> Iterator[FieldError]:
    spec = meta.spec(pod)
    yield from _images(spec)
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


def _images(spec: Mapping[str, Any]) -> Iterator[FieldError]:
    for field in ("containers", "initContainers"):
        for index, one in enumerate(spec.get(field) or ()):
            image = one.get("image", "")
            if image != image.strip():
                yield errors.invalid(f"spec.{field}[{index}].image", image, "must not have leading or trailing whitespace")


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
    for field in ("containers", "initContainers"):  # looked at a second time, as upstream does
        for index, one in enumerate(new_spec.get(field) or ()):
            yield from check.required(f"spec.{field}[{index}].image", one.get("image"))
    yield from _images(new_spec)
    yield from _deadline(new_spec.get("activeDeadlineSeconds"), old_spec.get("activeDeadlineSeconds"))
    yield from _tolerations(new_spec.get("tolerations") or (), old_spec.get("tolerations") or ())
    yield from _gates(new_spec, old_spec)
    if _settled(new_spec, old_spec) != old_spec:
        yield errors.changed("spec", UPDATABLE, "io.k8s.api.core.v1.PodSpec", _settled(new_spec, old_spec), old_spec)


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
