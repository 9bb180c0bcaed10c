"""PodSecurity: the Pod Security Standards that a namespace's labels ask for.

`enforce` refuses pods, `warn` warns of them and of workloads whose pods would be refused; `audit` has no log here to
go to. A namespace that begins to enforce warns of the pods it already has.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.api.admission import pod_security_checks as checks
from reconciler.api.admission.chain import Attributes, Plugin
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError

PREFIX = "pod-security.kubernetes.io/"
LEVELS = ("privileged", "baseline", "restricted")
TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "pods": (),
    "podtemplates": ("template",),
    "replicationcontrollers": ("spec", "template"),
    "replicasets.apps": ("spec", "template"),
    "deployments.apps": ("spec", "template"),
    "daemonsets.apps": ("spec", "template"),
    "statefulsets.apps": ("spec", "template"),
    "jobs.batch": ("spec", "template"),
    "cronjobs.batch": ("spec", "jobTemplate", "spec", "template"),
}


def validate(attributes: Attributes, obj: meta.Obj) -> None:
    call = attributes.call
    if attributes.operation == "DELETE" or (call.subresource and call.subresource != "ephemeralcontainers"):
        return
    if call.kind.id == "namespaces":
        _validate_namespace(attributes, obj)
        return
    namespace = attributes.cache.get("namespaces", "", call.namespace)
    labels = meta.labels(namespace.obj) if namespace is not None else {}
    if not any(label.startswith(PREFIX) for label in labels):
        return
    pod = _pod_of(call.kind.id, obj)
    if call.kind.id == "pods":
        if attributes.old is not None and not _matters(obj, attributes.old):
            return
        level, version = _wanted(labels, "enforce")
        found = checks.violations(pod, level, _minor(version))
        if found:
            raise call.forbidden(f'violates PodSecurity "{level}:{version}": {found}')
    level, version = _wanted(labels, "warn")
    found = checks.violations(pod, level, _minor(version))
    if found:
        call.warn(f'would violate PodSecurity "{level}:{version}": {found}')


def _pod_of(kind_id: str, obj: meta.Obj) -> meta.Obj:
    found: Any = obj
    for key in TEMPLATES[kind_id]:
        found = (found or {}).get(key)
    return found or {}


def _matters(new: meta.Obj, old: meta.Obj) -> bool:
    """Whether an update touches what the standards look at."""
    return meta.spec(new) != meta.spec(old) or meta.annotations(new) != meta.annotations(old)


def _wanted(labels: Mapping[str, str], mode: str) -> tuple[str, str]:
    level = labels.get(PREFIX + mode, "privileged")
    return (level if level in LEVELS else "restricted"), labels.get(f"{PREFIX}{mode}-version", "latest")


def _minor(version: str) -> int:
    found = re.fullmatch(r"v1\.(\d+)", version)
    return int(found[1]) if found else checks.LATEST


def _validate_namespace(attributes: Attributes, namespace: meta.Obj) -> None:
    before = meta.labels(attributes.old) if attributes.old is not None else {}
    refused = list(_refused_labels(meta.labels(namespace), before))
    if refused:
        raise errors.invalid_object("Namespace", "", meta.name(namespace), refused)
    level, version = _wanted(meta.labels(namespace), "enforce")
    if attributes.old is None or level == "privileged" or _wanted(before, "enforce") == (level, version):
        return
    found: dict[str, list[str]] = {}
    for _, item in attributes.cache.shelf("pods").in_order(meta.name(namespace)):
        text = checks.violations(item.obj, level, _minor(version), brief=True)
        if text:
            found.setdefault(text, []).append(meta.name(item.obj))
    if found:
        attributes.call.warn(
            f'existing pods in namespace "{meta.name(namespace)}" violate the new PodSecurity enforce level "{level}:{version}"'
        )
        for text, names in sorted(found.items(), key=lambda one: one[1][0]):
            others = len(names) - 1
            more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
            attributes.call.warn(f"{names[0]}{more}: {text}")


def _refused_labels(labels: Mapping[str, str], before: Mapping[str, str]) -> Iterator[FieldError]:
    for mode in ("enforce", "audit", "warn"):
        name = PREFIX + mode
        if labels.get(name) != before.get(name) and labels.get(name, LEVELS[0]) not in LEVELS:
            yield errors.invalid(f"metadata.labels[{name}]", labels[name], f"must be one of {', '.join(LEVELS)}")
        name = f"{PREFIX}{mode}-version"
        version = labels.get(name, "latest")
        if version != before.get(name) and version != "latest" and re.fullmatch(r"v1\.(0|[1-9]\d*)", version) is None:
            yield errors.invalid(f"metadata.labels[{name}]", version, 'must be "latest" or "v1.x"')


PLUGIN = Plugin(name="PodSecurity", reads=("namespaces",), kinds=frozenset({*TEMPLATES, "namespaces"}), validate=validate)
