"""From a pod to what a runtime starts: pure. Security contexts merged, quantities as cgroups take them.

Volumes, environment and addresses are facts that come in; what they come from is environment.py and volumes/.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.kinds import pod as pods
from reconciler.model import meta, quantity
from reconciler.node import environment
from reconciler.node.runtimes import types

GUARANTEED_OOM_SCORE = -997
BEST_EFFORT_OOM_SCORE = 1000
CPU_PERIOD_US = 100_000
MIN_QUOTA_US = 1000
HOSTS_HEADER = "# Kubernetes-managed hosts file.\n"


class Refused(Exception):
    """The container may not be made so: CreateContainerConfigError."""


def sandbox(pod: meta.Obj, log_root: Path) -> types.SandboxSpec:
    spec = meta.spec(pod)
    uid, namespace, name = meta.uid(pod), meta.namespace(pod), meta.name(pod)
    return types.SandboxSpec(
        uid=uid,
        namespace=namespace,
        name=name,
        hostname=str(spec.get("hostname") or name)[:63],
        log_dir=log_root / f"{namespace}_{name}_{uid}",
        host_network=bool(spec.get("hostNetwork")),
        host_pid=bool(spec.get("hostPID")),
        host_ipc=bool(spec.get("hostIPC")),
        share_process_namespace=bool(spec.get("shareProcessNamespace")),
        grace_seconds=float(spec.get("terminationGracePeriodSeconds", 30)),
        sysctls={one["name"]: str(one["value"]) for one in (spec.get("securityContext") or {}).get("sysctls") or ()},
    )


def container(
    pod: meta.Obj,
    wanted: Mapping[str, Any],
    attempt: int,
    variables: Sequence[tuple[str, str]],
    mounts: Sequence[types.Mount],
    memory_capacity_bytes: int,
) -> types.ContainerSpec:
    """Raises Refused."""
    return types.ContainerSpec(
        name=wanted["name"],
        attempt=attempt,
        image=str(wanted.get("image") or ""),
        command=environment.expanded(wanted.get("command") or (), variables),
        args=environment.expanded(wanted.get("args") or (), variables),
        env=tuple(variables),
        working_dir=str(wanted.get("workingDir") or ""),
        mounts=tuple(mounts),
        resources=resources(pod, wanted, memory_capacity_bytes),
        security=security(pod, wanted),
        tty=bool(wanted.get("tty")),
        stdin=bool(wanted.get("stdin")),
        stdin_once=bool(wanted.get("stdinOnce")),
        stop_signal=str((wanted.get("lifecycle") or {}).get("stopSignal") or ""),
    )


def resources(pod: meta.Obj, wanted: Mapping[str, Any], memory_capacity_bytes: int) -> types.Resources:
    limits = (wanted.get("resources") or {}).get("limits") or {}
    requests = (wanted.get("resources") or {}).get("requests") or {}
    cpu_limit = _milli(limits.get("cpu"))
    cpu_request = _milli(requests.get("cpu")) or (cpu_limit if "cpu" not in requests else 0)
    memory_limit = _bytes(limits.get("memory"))
    memory_request = _bytes(requests.get("memory")) or memory_limit
    return types.Resources(
        cpu_shares=max(2, cpu_request * 1024 // 1000),
        cpu_quota_us=max(MIN_QUOTA_US, cpu_limit * CPU_PERIOD_US // 1000) if cpu_limit else 0,
        cpu_period_us=CPU_PERIOD_US,
        memory_limit_bytes=memory_limit,
        oom_score_adj=_oom_score(pod, memory_request, memory_capacity_bytes),
    )


def _oom_score(pod: meta.Obj, memory_request_bytes: int, capacity_bytes: int) -> int:
    """The kubelet's policy: the less of its request a burstable container has of the machine, the sooner it goes."""
    qos = pods.qos_class(pod)
    if qos == "Guaranteed":
        return GUARANTEED_OOM_SCORE
    if qos == "BestEffort" or capacity_bytes <= 0:
        return BEST_EFFORT_OOM_SCORE
    score = 1000 - 1000 * memory_request_bytes // capacity_bytes
    return min(max(score, 1000 + GUARANTEED_OOM_SCORE), BEST_EFFORT_OOM_SCORE - 1)


def security(pod: meta.Obj, wanted: Mapping[str, Any]) -> types.Security:
    outer = meta.spec(pod).get("securityContext") or {}
    inner = wanted.get("securityContext") or {}
    merged = {**{k: outer[k] for k in ("runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile") if k in outer}, **inner}
    uid, gid = merged.get("runAsUser"), merged.get("runAsGroup")
    if merged.get("runAsNonRoot") and not uid:
        named = f'(pod: "{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})", container: {wanted["name"]})'
        detail = "container's runAsUser breaks non-root policy" if uid == 0 else "container has runAsNonRoot and image will run as root"
        raise Refused(f"{detail} {named}")
    groups = [int(group) for group in outer.get("supplementalGroups") or ()]
    if outer.get("fsGroup") is not None:
        groups.append(int(outer["fsGroup"]))
    capabilities, profile = merged.get("capabilities") or {}, merged.get("seccompProfile") or {}
    return types.Security(
        uid=None if uid is None else int(uid),
        gid=None if gid is None else int(gid),
        groups=tuple(dict.fromkeys(groups)),
        privileged=bool(merged.get("privileged")),
        no_new_privileges=merged.get("allowPrivilegeEscalation") is not True,
        read_only_root=bool(merged.get("readOnlyRootFilesystem")),
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        seccomp=profile.get("type") or "RuntimeDefault",
        seccomp_profile=str(profile.get("localhostProfile") or ""),
    )


def fs_group(pod: meta.Obj) -> int:
    """The group that the pod's own volumes are given to, -1 for none."""
    group = (meta.spec(pod).get("securityContext") or {}).get("fsGroup")
    return -1 if group is None else int(group)


def host_ports(pod: meta.Obj) -> tuple[tuple[str, int, int], ...]:
    """(protocol, host port, container port) of a pod with its own network."""
    if meta.spec(pod).get("hostNetwork"):
        return ()
    ports = [port for one in (*pods.containers(pod), *pods.init_containers(pod)) for port in one.get("ports") or ()]
    return tuple((str(p.get("protocol") or "TCP"), int(p["hostPort"]), int(p["containerPort"])) for p in ports if p.get("hostPort"))


def hosts_file(pod: meta.Obj, hostname: str, ip: str) -> str:
    lines = [
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::0\tip6-localnet",
        "fe00::0\tip6-mcastprefix",
        "fe00::1\tip6-allnodes",
        "fe00::2\tip6-allrouters",
        f"{ip}\t{hostname}",
    ]
    aliases = meta.spec(pod).get("hostAliases") or ()
    if aliases:
        lines += [
            "",
            "# Entries added by HostAliases.",
            *(f"{a['ip']}\t{' '.join(a.get('hostnames') or ())}".replace(" ", "\t") for a in aliases),
        ]
    return HOSTS_HEADER + "\n".join(lines) + "\n"


def resolver_file(pod: meta.Obj, host: str, cluster_dns: str, cluster_domain: str) -> str:
    """resolv.conf by dnsPolicy; `host` is the machine's own."""
    spec = meta.spec(pod)
    policy = str(spec.get("dnsPolicy") or "ClusterFirst")
    nameservers, searches, options = _parsed(host)
    cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.get("hostNetwork"))
    if policy == "None":
        nameservers, searches, options = [], [], []
    elif cluster and cluster_dns:
        own = [f"{meta.namespace(pod)}.svc.{cluster_domain}", f"svc.{cluster_domain}", cluster_domain]
        nameservers, searches, options = [cluster_dns], own + searches, ["ndots:5"]
    config = spec.get("dnsConfig") or {}
    nameservers = list(dict.fromkeys([*nameservers, *(config.get("nameservers") or ())]))[:3]
    searches = list(dict.fromkeys([*searches, *(config.get("searches") or ())]))[:32]
    changed = {option["name"]: option.get("value") for option in config.get("options") or ()}
    options = [option for option in options if option.partition(":")[0] not in changed]
    options += [name if value is None else f"{name}:{value}" for name, value in changed.items()]
    lines = [f"search {' '.join(searches)}"] if searches else []
    lines += [f"nameserver {one}" for one in nameservers]
    lines += [f"options {' '.join(options)}"] if options else []
    return "\n".join(lines) + "\n"


def _parsed(text: str) -> tuple[list[str], list[str], list[str]]:
    found: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in found:
            found[words[0]] = [*found[words[0]], *words[1:]] if words[0] == "nameserver" else words[1:]
    return found["nameserver"], found["search"], found["options"]


def _milli(text: Any) -> int:
    return quantity.parse(str(text)).milli if text is not None else 0


def _bytes(text: Any) -> int:
    return quantity.parse(str(text)).value if text is not None else 0
