"""Pod templates of workloads, and the selectors that must match them."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds.rules import annotations, check, pods
from reconciler.model import errors, names, selectors
from reconciler.model.errors import FieldError
from reconciler.model.selectors import Selector

ANNOTATIONS_MOST_BYTES = 256 * 1024
MISMATCH = "`selector` does not match template `labels`"


def template(path: str, made: Mapping[str, Any]) -> Iterator[FieldError]:
    metadata, spec = made.get("metadata") or {}, made.get("spec") or {}
    found = metadata.get("annotations") or {}
    yield from check.labels(f"{path}.labels", metadata.get("labels"))
    yield from _annotations(f"{path}.annotations", found)
    yield from annotations.of_pod(f"{path}.annotations", found, spec)
    yield from pods.spec(f"{path}.spec", spec, is_template=True)
    if spec.get("ephemeralContainers"):
        yield errors.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def _annotations(path: str, found: Mapping[str, str]) -> Iterator[FieldError]:
    size = 0
    for key, value in found.items():
        yield from check.because(path, key, names.qualified(key.lower()))
        size += len(key.encode()) + len(value.encode())
    if size > ANNOTATIONS_MOST_BYTES:
        yield errors.too_long(path, ANNOTATIONS_MOST_BYTES)


def selected(path: str, made: Mapping[str, Any], selector: Selector) -> Iterator[FieldError]:
    """The template's labels must be what the selector selects."""
    labels = (made.get("metadata") or {}).get("labels")
    if selector.nothing or (selector.requirements and not selector.matches(labels or {})):
        yield errors.invalid(f"{path}.metadata.labels", check.shown_labels(labels), MISMATCH)


def always_restarting(path: str, made: Mapping[str, Any], owner: str) -> Iterator[FieldError]:
    """A template of pods that never end by themselves."""
    spec = made.get("spec") or {}
    policy = spec.get("restartPolicy", "")
    if policy != "Always":
        yield errors.not_supported(f"{path}.spec.restartPolicy", policy, ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        yield errors.forbidden(f"{path}.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {owner} is not Supported")


def replicated(path: str, made: Mapping[str, Any], selector: Selector) -> Iterator[FieldError]:
    """The template of a ReplicaSet, ReplicationController or Deployment."""
    yield from selected(path, made, selector)
    yield from template(path, made)
    yield from always_restarting(path, made, "ReplicaSet")


def label_selector(path: str, selector: Mapping[str, Any] | None, owner: str) -> Iterator[FieldError]:
    """A selector that must be there and must not select everything."""
    if selector is None:
        yield errors.required(path)
        return
    yield from check.label_selector(path, selector)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield errors.invalid(path, check.shown_selector(selector), f"empty selector is invalid for {owner}")


def is_parseable(selector: Mapping[str, Any] | None) -> bool:
    return not list(check.label_selector("", selector))


def parsed(selector: Mapping[str, Any] | None) -> Selector:
    return selectors.from_label_selector(selector)


def zero(value: Any) -> bool:
    """Whether a number or percentage is 0."""
    share = check.percent(value)
    return (value if share is None else share) == 0
