"""The checks of the Pod Security Standards, in the order and words of k8s.io/pod-security-admission."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from reconciler.model import meta

LATEST = 1_000
DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
        "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
SYSCTLS = {
    "kernel.shm_rmid_forced": 0, "net.ipv4.ip_local_port_range": 0, "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0, "net.ipv4.ip_unprivileged_port_start": 0, "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29, "net.ipv4.tcp_fin_timeout": 29, "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29, "net.ipv4.tcp_rmem": 32, "net.ipv4.tcp_wmem": 32,
}  # fmt: skip
VOLUMES = frozenset({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"})

Part = Mapping[str, Any]
# A check gets the pod's spec and yields (what is wrong, where); `minor` is the standard's version.
Check = Callable[[Part, Part, int], Iterator[tuple[str, str]]]


def violations(pod: meta.Obj, level: str, minor: int, *, brief: bool = False) -> str:
    """Everything that a level refuses in a pod, "" where it refuses nothing; `brief` leaves out the details."""
    if level == "privileged":
        return ""
    spec = meta.spec(pod)
    found: list[str] = []
    for since, levels, check in _CHECKS:
        if level in levels and minor >= since:
            for reason, detail in check(spec, meta.annotations(pod), minor):
                found.append(reason if brief or not detail else f"{reason} ({detail})")
    return ", ".join(found)


def _containers(spec: Part) -> list[Part]:
    return [one for group in ("initContainers", "containers", "ephemeralContainers") for one in spec.get(group) or ()]


def _security(part: Part) -> Part:
    return part.get("securityContext") or {}


def _named(containers: Sequence[Part]) -> str:
    """container "a", or containers "a", "b"."""
    names = ", ".join(f'"{one["name"]}"' for one in containers)
    return f"container{'s' if len(containers) > 1 else ''} {names}"


def _is_windows(spec: Part) -> bool:
    return bool((spec.get("os") or {}).get("name") == "windows")


def _quoted(values: Sequence[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def _privilege_escalation(spec: Part, _: Part, minor: int) -> Iterator[tuple[str, str]]:
    if minor >= 25 and _is_windows(spec):
        return
    bad = [one for one in _containers(spec) if _security(one).get("allowPrivilegeEscalation") is not False]
    if bad:
        yield "allowPrivilegeEscalation != false", f"{_named(bad)} must set securityContext.allowPrivilegeEscalation=false"


def _capabilities(spec: Part, _: Part, __: int) -> Iterator[tuple[str, str]]:
    bad, added = [], set[str]()
    for one in _containers(spec):
        odd = {name for name in (_security(one).get("capabilities") or {}).get("add") or () if name not in DEFAULT_CAPABILITIES}
        if odd:
            bad.append(one)
            added |= odd
    if bad:
        detail = f"{_named(bad)} must not include {_quoted(sorted(added))} in securityContext.capabilities.add"
        yield "non-default capabilities", detail


def _restricted_capabilities(spec: Part, _: Part, minor: int) -> Iterator[tuple[str, str]]:
    if minor >= 25 and _is_windows(spec):
        return
    keeping, adding, added = [], [], set[str]()
    for one in _containers(spec):
        given = _security(one).get("capabilities") or {}
        if "ALL" not in (given.get("drop") or ()):
            keeping.append(one)
        odd = {name for name in given.get("add") or () if name != "NET_BIND_SERVICE"}
        if odd:
            adding.append(one)
            added |= odd
    details = [f'{_named(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    if adding:
        details.append(f"{_named(adding)} must not include {_quoted(sorted(added))} in securityContext.capabilities.add")
    if details:
        yield "unrestricted capabilities", "; ".join(details)


def _host_namespaces(spec: Part, _: Part, __: int) -> Iterator[tuple[str, str]]:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if found:
        yield "host namespaces", ", ".join(found)


def _host_paths(spec: Part, _: Part, __: int) -> Iterator[tuple[str, str]]:
    found = [volume["name"] for volume in spec.get("volumes") or () if volume.get("hostPath") is not None]
    if found:
        yield "hostPath volumes", f"volume{'s' if len(found) > 1 else ''} {_quoted(found)}"


def _host_ports(spec: Part, _: Part, __: int) -> Iterator[tuple[str, str]]:
    bad, ports = [], set[int]()
    for one in _containers(spec):
        mine = {port["hostPort"] for port in one.get("ports") or () if port.get("hostPort")}
        if mine:
            bad.append(one)
            ports |= mine
    if bad:
        verb = "use" if len(bad) > 1 else "uses"
        yield "hostPort", f"{_named(bad)} {verb} hostPort{'s' if len(ports) > 1 else ''} {', '.join(map(str, sorted(ports)))}"


def _privileged(spec: Part, _: Part, __: int) -> Iterator[tuple[str, str]]:
    bad = [one for one in _containers(spec) if _security(one).get("privileged")]
    if bad:
        yield "privileged", f"{_named(bad)} must not set securityContext.privileged=true"


def _proc_mount(spec: Part, _: Part, minor: int) -> Iterator[tuple[str, str]]:
    if minor >= 29 and spec.get("hostUsers") is False:
        return
    bad = [one for one in _containers(spec) if _security(one).get("procMount", "Default") != "Default"]
    if bad:
        kinds = sorted({str(_security(one)["procMount"]) for one in bad})
        yield "procMount", f"{_named(bad)} must not set securityContext.procMount to {_quoted(kinds)}"


def _volume_types(spec: Part, _: Part, __: int) -> Iterator[tuple[str, str]]:
    bad: dict[str, str] = {}
    for volume in spec.get("volumes") or ():
        kind = next((key for key in volume if key != "name"), "unknown")
        if kind not in VOLUMES:
            bad[volume["name"]] = kind
    if bad:
        kinds = sorted(set(bad.values()))
        plural, types = ("s", "use") if len(bad) > 1 else ("", "uses"), f"type{'s' if len(kinds) > 1 else ''}"
        detail = f"volume{plural[0]} {_quoted(list(bad))} {plural[1]} restricted volume {types}"
        yield "restricted volume types", f"{detail} {_quoted(kinds)}"


def _non_root(spec: Part, _: Part, minor: int) -> Iterator[tuple[str, str]]:
    if minor >= 35 and spec.get("hostUsers") is False:
        return
    whole = _security(spec).get("runAsNonRoot")
    explicit = [one for one in _containers(spec) if _security(one).get("runAsNonRoot") is False]
    implicit = [one for one in _containers(spec) if _security(one).get("runAsNonRoot") is None]
    details = ["pod"] if whole is False else []
    if explicit:
        details.append(_named(explicit))
    if details:
        yield "runAsNonRoot != true", f"{' and '.join(details)} must not set securityContext.runAsNonRoot=false"
    elif implicit and not whole:
        yield "runAsNonRoot != true", f"pod or {_named(implicit)} must set securityContext.runAsNonRoot=true"


def _run_as_user(spec: Part, _: Part, __: int) -> Iterator[tuple[str, str]]:
    details = ["pod"] if _security(spec).get("runAsUser") == 0 else []
    bad = [one for one in _containers(spec) if _security(one).get("runAsUser") == 0]
    if bad:
        details.append(_named(bad))
    if details:
        yield "runAsUser=0", f"{' and '.join(details)} must not set runAsUser=0"


def _selinux(spec: Part, _: Part, minor: int) -> Iterator[tuple[str, str]]:
    allowed = SELINUX_TYPES if minor >= 31 else SELINUX_TYPES[:4]
    kinds, parts, bad = set[str](), set[str](), list[Part]()
    for place in (spec, *_containers(spec)):
        options = _security(place).get("seLinuxOptions") or {}
        odd = options.get("type", "") not in allowed
        named = {part for part in ("user", "role") if options.get(part)}
        if odd or named:
            bad.append(place)
            kinds |= {str(options["type"])} if odd else set()
            parts |= named
    containers = [one for one in bad if one is not spec]
    words = (["pod"] if len(containers) < len(bad) else []) + ([_named(containers)] if containers else [])
    if words:
        data = ([f"type{'s' if len(kinds) > 1 else ''} {_quoted(sorted(kinds))}"] if kinds else []) + [
            f"{part} may not be set" for part in ("user", "role") if part in parts
        ]
        yield "seLinuxOptions", f"{' and '.join(words)} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}"


def _seccomp(spec: Part, _: Part, __: int) -> Iterator[tuple[str, str]]:
    words, kinds = [], set[str]()
    whole = (_security(spec).get("seccompProfile") or {}).get("type")
    if whole not in (None, "RuntimeDefault", "Localhost"):
        words.append("pod")
        kinds.add(whole)
    bad = [one for one in _containers(spec) if _profile(one) not in (None, "RuntimeDefault", "Localhost")]
    if bad:
        words.append(_named(bad))
        kinds |= {str(_profile(one)) for one in bad}
    if words:
        yield "seccompProfile", f"{' and '.join(words)} must not set securityContext.seccompProfile.type to {_quoted(sorted(kinds))}"


def _profile(part: Part) -> Any:
    return (_security(part).get("seccompProfile") or {}).get("type")


def _restricted_seccomp(spec: Part, annotations: Part, minor: int) -> Iterator[tuple[str, str]]:
    if minor >= 25 and _is_windows(spec):
        return
    explicit = list(_seccomp(spec, annotations, minor))
    if explicit:
        yield from explicit
        return
    implicit = [one for one in _containers(spec) if _profile(one) is None]
    if implicit and _profile(spec) is None:
        detail = f'pod or {_named(implicit)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield "seccompProfile", detail


def _sysctls(spec: Part, _: Part, minor: int) -> Iterator[tuple[str, str]]:
    found = [one["name"] for one in _security(spec).get("sysctls") or () if minor < SYSCTLS.get(one["name"], LATEST + 1)]
    if found:
        yield "forbidden sysctls", ", ".join(found)


def _host_process(spec: Part, _: Part, __: int) -> Iterator[tuple[str, str]]:
    bad = [one for one in _containers(spec) if (_security(one).get("windowsOptions") or {}).get("hostProcess")]
    words = ["pod"] if (_security(spec).get("windowsOptions") or {}).get("hostProcess") else []
    if bad:
        words.append(_named(bad))
    if words:
        yield "hostProcess", f"{' and '.join(words)} must not set securityContext.windowsOptions.hostProcess=true"


_BOTH, _BASELINE, _RESTRICTED = ("baseline", "restricted"), ("baseline",), ("restricted",)
_CHECKS: tuple[tuple[int, tuple[str, ...], Check], ...] = (
    (0, _BASELINE, _capabilities),
    (0, _BOTH, _host_namespaces),
    (0, _BOTH, _host_paths),
    (0, _BOTH, _host_ports),
    (0, _BOTH, _privileged),
    (0, _BOTH, _proc_mount),
    (0, _BOTH, _selinux),
    (19, _BASELINE, _seccomp),
    (0, _BOTH, _sysctls),
    (0, _BOTH, _host_process),
    (8, _RESTRICTED, _privilege_escalation),
    (22, _RESTRICTED, _restricted_capabilities),
    (0, _RESTRICTED, _volume_types),
    (0, _RESTRICTED, _non_root),
    (23, _RESTRICTED, _run_as_user),
    (19, _RESTRICTED, _restricted_seccomp),
)
