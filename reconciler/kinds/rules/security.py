"""Security contexts of pods and containers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds.rules import check
from reconciler.model import errors
from reconciler.model.errors import FieldError

PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
SYSCTL_MOST = 253
SYSCTL_FORM = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = re.compile(SYSCTL_FORM)


def _identity(path: str, value: int | None) -> Iterator[FieldError]:
    return check.between(path, value, 0, check.MAX_INT32)


def of_container(path: str, context: Mapping[str, Any], host_users: bool) -> Iterator[FieldError]:
    yield from _identity(f"{path}.runAsUser", context.get("runAsUser"))
    yield from _identity(f"{path}.runAsGroup", context.get("runAsGroup"))
    yield from seccomp(f"{path}.seccompProfile", context.get("seccompProfile"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield errors.invalid(path, _internal(context), detail)
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield errors.invalid(path, _internal(context), detail)
    mount = context.get("procMount")
    if mount is not None:
        yield from check.one_of(f"{path}.procMount", mount, ("Default", "Unmasked"))
        if mount == "Unmasked" and host_users:
            yield errors.invalid(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    yield from app_armor(f"{path}.appArmorProfile", context.get("appArmorProfile"))


def _internal(context: Mapping[str, Any]) -> Any:
    found = check.internal(
        context,
        Capabilities=None,
        Privileged=None,
        SELinuxOptions=None,
        WindowsOptions=None,
        RunAsUser=None,
        RunAsGroup=None,
        RunAsNonRoot=None,
        ReadOnlyRootFilesystem=None,
        AllowPrivilegeEscalation=None,
        ProcMount=None,
        SeccompProfile=None,
        AppArmorProfile=None,
    )
    assert found is not None
    if found["Capabilities"] is not None:
        found["Capabilities"] = check.internal(found["Capabilities"], Add=None, Drop=None)
    return found


def of_pod(path: str, context: Mapping[str, Any]) -> Iterator[FieldError]:
    yield from _identity(f"{path}.fsGroup", context.get("fsGroup"))
    yield from _identity(f"{path}.runAsUser", context.get("runAsUser"))
    yield from _identity(f"{path}.runAsGroup", context.get("runAsGroup"))
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from _identity(f"{path}.supplementalGroups[{index}]", group)
    if context.get("sysctls"):
        yield from _sysctls(f"{path}.sysctls", context["sysctls"])
    for name, choices in _CHOICES.items():
        if (value := context.get(name)) is not None:
            yield from check.one_of(f"{path}.{name}", value, choices)
    yield from seccomp(f"{path}.seccompProfile", context.get("seccompProfile"))
    yield from app_armor(f"{path}.appArmorProfile", context.get("appArmorProfile"))


_CHOICES = {
    "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("Recursive",),
}


def _sysctls(path: str, found: list[Mapping[str, Any]]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, one in enumerate(found):
        name = one.get("name", "")
        if not name:
            yield errors.required(f"{path}[{index}].name")
        elif len(name) > SYSCTL_MOST or not _SYSCTL.fullmatch(name):
            detail = f"must have at most {SYSCTL_MOST} characters and match regex ^{SYSCTL_FORM}$"
            yield errors.invalid(f"{path}[{index}].name", name, detail)
        elif name in seen:
            yield errors.duplicate(f"{path}[{index}].name", name)
        seen.add(name)


def seccomp(path: str, profile: Mapping[str, Any] | None) -> Iterator[FieldError]:
    if profile is None:
        return
    kind = profile.get("type", "")
    yield from check.required_one_of(f"{path}.type", kind, PROFILES, "type is required when seccompProfile is set")
    local = profile.get("localhostProfile")
    if kind == "Localhost":
        if local is None:
            yield errors.required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            yield from check.relative_path(f"{path}.localhostProfile", local)
    elif local is not None:
        shown = check.internal(profile, Type="", LocalhostProfile=None)
        yield errors.invalid(f"{path}.localhostProfile", shown, "can only be set when seccomp type is Localhost")


def app_armor(path: str, profile: Mapping[str, Any] | None) -> Iterator[FieldError]:
    if profile is None:
        return
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    if kind == "Localhost":
        yield from _app_armor_local(f"{path}.localhostProfile", local)
    elif kind in ("RuntimeDefault", "Unconfined"):
        if local is not None:
            yield errors.invalid(f"{path}.localhostProfile", local, "can only be set when AppArmor type is Localhost")
    else:
        yield from check.required_one_of(f"{path}.type", kind, PROFILES, "type is required when appArmorProfile is set")


def _app_armor_local(path: str, local: str | None) -> Iterator[FieldError]:
    if local is None:
        yield errors.required(path, "must be set when AppArmor type is Localhost")
    elif local.strip() != local:
        yield errors.invalid(path, local, "must not be padded with whitespace")
    elif not local:
        yield errors.required(path, "must be set when AppArmor type is Localhost")
    elif len(local) > 4095:
        yield errors.too_long(path, 4095)
