"""Annotations of pods and templates that mean something to the node or a controller."""

from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.model import errors
from reconciler.model.errors import FieldError

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"


def of_pod(path: str, annotations: Mapping[str, str], spec: Mapping[str, Any]) -> Iterator[FieldError]:
    if not annotations:
        return
    if MIRROR in annotations and not spec.get("nodeName"):
        yield errors.invalid(f"{path}[{MIRROR}]", annotations[MIRROR], "must set spec.nodeName if mirror pod annotation is set")
    yield from _seccomp(path, annotations)
    yield from _app_armor(path, annotations, spec)
    if DELETION_COST in annotations and not _is_int32(annotations[DELETION_COST]):
        yield errors.invalid(f"{path}[{DELETION_COST}]", annotations[DELETION_COST], "must be a 32bit integer")


def _seccomp(path: str, annotations: Mapping[str, str]) -> Iterator[FieldError]:
    for key, profile in annotations.items():
        if key != SECCOMP_POD and not key.startswith(SECCOMP_CONTAINER):
            continue
        if profile.startswith("localhost/"):
            if ".." in profile.removeprefix("localhost/").split("/"):
                yield errors.invalid(f"{path}.{key}", profile.removeprefix("localhost/"), "must not contain '..'")
        elif profile not in ("runtime/default", "docker/default", "unconfined"):
            yield errors.invalid(f"{path}.{key}", profile, "must be a valid seccomp profile")


def _app_armor(path: str, annotations: Mapping[str, str], spec: Mapping[str, Any]) -> Iterator[FieldError]:
    names = {one.get("name", "") for field in ("initContainers", "containers", "ephemeralContainers") for one in spec.get(field) or ()}
    for key, profile in annotations.items():
        if not key.startswith(APP_ARMOR):
            continue
        name = key.removeprefix(APP_ARMOR)
        if name not in names:
            yield errors.invalid(f"{path}[{key}]", name, "container not found")
        if profile not in ("", "runtime/default", "unconfined") and not profile.startswith("localhost/"):
            yield errors.invalid(f"{path}[{key}]", profile, f'invalid AppArmor profile name: "{profile}"')


def _is_int32(text: str) -> bool:
    digits = text.removeprefix("-") if text.startswith("-") else text
    if not digits.isdecimal() or not digits.isascii() or (len(digits) > 1 and digits[0] == "0") or text == "-0":
        return False
    return -(2**31) <= int(text) < 2**31
