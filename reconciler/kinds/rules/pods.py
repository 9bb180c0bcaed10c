"""The spec of a pod, in a Pod and in every template."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.kinds.rules import check, containers, resources, scheduling, security, volumes
from reconciler.model import errors, names
from reconciler.model.errors import FieldError

Spec = Mapping[str, Any]

DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
MOST_NAMESERVERS = 3
MOST_SEARCHES = 32
MOST_SEARCH_CHARACTERS = 2048
RELAXED_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"
)
LINUX_ONLY = "cannot be set for a windows pod"
WINDOWS_ONLY = "windows options cannot be set for a linux pod"


def spec(path: str, wanted: Spec, *, is_template: bool = False) -> Iterator[FieldError]:
    known: dict[str, Mapping[str, Any]] = {}
    yield from volumes.volumes(f"{path}.volumes", wanted.get("volumes") or (), known)
    yield from _resource_claims(f"{path}.resourceClaims", wanted.get("resourceClaims") or ())
    pod = containers.Pod(
        volumes=known,
        claims=[one.get("name", "") for one in wanted.get("resourceClaims") or ()],
        grace_seconds=wanted.get("terminationGracePeriodSeconds") or 0,
        restart_policy=wanted.get("restartPolicy", ""),
        host_users=wanted.get("hostUsers", True),
        host_network=bool(wanted.get("hostNetwork")),
    )
    regular, initial = wanted.get("containers") or (), wanted.get("initContainers") or ()
    yield from containers.regular(f"{path}.containers", regular, pod)
    yield from containers.initial(f"{path}.initContainers", initial, regular, pod)
    others = [*regular, *initial]
    yield from containers.ephemeral(f"{path}.ephemeralContainers", wanted.get("ephemeralContainers") or (), others, pod)
    if wanted.get("resources"):
        yield from resources.pod_requirements(f"{path}.resources", wanted["resources"], wanted)
    if pod.host_network and not is_template:
        yield from containers.host_network_ports(f"{path}.containers", regular)
        yield from containers.host_network_ports(f"{path}.initContainers", initial)
    yield from _policies(path, wanted)
    yield from _placement(path, wanted)
    yield from _host_processes(path, wanted)
    yield from _host_users(path, wanted)
    yield from _names(path, wanted)
    yield from _operating_system(path, wanted)


def _policies(path: str, wanted: Spec) -> Iterator[FieldError]:
    yield from check.required_one_of(f"{path}.restartPolicy", wanted.get("restartPolicy", ""), containers.RESTART_POLICIES, sort=False)
    policy = wanted.get("dnsPolicy", "")
    if not policy:
        yield errors.required(f"{path}.dnsPolicy")
    else:
        yield from check.one_of(f"{path}.dnsPolicy", policy, DNS_POLICIES, sort=False)
    yield from check.labels(f"{path}.nodeSelector", wanted.get("nodeSelector"))
    if wanted.get("securityContext"):
        yield from security.of_pod(f"{path}.securityContext", wanted["securityContext"])


def _placement(path: str, wanted: Spec) -> Iterator[FieldError]:
    yield from scheduling.affinity(f"{path}.affinity", wanted.get("affinity"))
    yield from _dns_config(f"{path}.dnsConfig", wanted.get("dnsConfig"), wanted.get("dnsPolicy", ""))
    for index, gate in enumerate(wanted.get("readinessGates") or ()):
        yield from check.qualified(f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType", ""))
    yield from _scheduling_gates(f"{path}.schedulingGates", wanted.get("schedulingGates") or ())
    yield from scheduling.spread(f"{path}.topologySpreadConstraints", wanted.get("topologySpreadConstraints") or ())


def _names(path: str, wanted: Spec) -> Iterator[FieldError]:
    for name in ("serviceAccountName", "nodeName"):
        if wanted.get(name):
            yield from check.subdomain(f"{path}.{name}", wanted[name])
    yield from check.between(f"{path}.activeDeadlineSeconds", wanted.get("activeDeadlineSeconds"), 1, check.MAX_INT32)
    for name in ("hostname", "subdomain"):
        if wanted.get(name):
            yield from check.label(f"{path}.{name}", wanted[name])
    yield from _hostname_override(f"{path}.hostnameOverride", wanted)
    yield from scheduling.tolerations(f"{path}.tolerations", wanted.get("tolerations") or ())
    yield from _host_aliases(f"{path}.hostAliases", wanted.get("hostAliases") or ())
    if wanted.get("priorityClassName"):
        yield from check.subdomain(f"{path}.priorityClassName", wanted["priorityClassName"])
    if wanted.get("runtimeClassName") is not None:
        yield from check.subdomain(f"{path}.runtimeClassName", wanted["runtimeClassName"])
    if wanted.get("preemptionPolicy") is not None:
        policies = ("Never", "PreemptLowerPriority")
        yield from check.required_one_of(f"{path}.preemptionPolicy", wanted["preemptionPolicy"], policies)
    for name, amount in (wanted.get("overhead") or {}).items():
        yield from resources.resource_name(f"{path}.overhead[{name}]", name)
        yield from resources.amount(f"{path}.overhead[{name}]", name, amount)


def _hostname_override(path: str, wanted: Spec) -> Iterator[FieldError]:
    name = wanted.get("hostnameOverride")
    if name is None:
        return
    if wanted.get("setHostnameAsFQDN"):
        yield errors.forbidden(path, "may not be specified when setHostnameAsFQDN is true")
    if wanted.get("hostNetwork"):
        yield errors.forbidden(path, "may not be specified when hostNetwork is true")
    yield from check.because(path, name, names.dns_subdomain(name))
    if len(name) > 64:
        yield errors.too_long(path, 64)


def _resource_claims(path: str, claims: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at, name = f"{path}[{index}]", claim.get("name", "")
        if not name:
            yield errors.required(f"{at}.name")
        elif name in seen:
            yield errors.duplicate(f"{at}.name", name)
        else:
            yield from check.label(f"{at}.name", name)
            seen.add(name)
        given, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        if given is not None and template is not None:
            detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield errors.invalid(at, _internal_claim(claim), detail)
        if given is None and template is None:
            detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield errors.invalid(at, _internal_claim(claim), detail)
        if given is not None:
            yield from check.subdomain(f"{at}.resourceClaimName", given)
        if template is not None:
            yield from check.subdomain(f"{at}.resourceClaimTemplateName", template)


def _internal_claim(claim: Mapping[str, Any]) -> Any:
    return check.internal(claim, Name="", ResourceClaimName=None, ResourceClaimTemplateName=None)


def _scheduling_gates(path: str, gates: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name", "")
        yield from check.qualified(f"{path}[{index}]", name)
        if name in seen:
            yield errors.duplicate(f"{path}[{index}]", name)
        seen.add(name)


def _dns_config(path: str, config: Mapping[str, Any] | None, policy: str) -> Iterator[FieldError]:
    servers = (config or {}).get("nameservers") or ()
    if policy == "None":
        if config is None:
            yield errors.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not servers:
            yield errors.required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
            return
    if config is None:
        return
    if len(servers) > MOST_NAMESERVERS:
        yield errors.invalid(f"{path}.nameservers", list(servers), f"must not have more than {MOST_NAMESERVERS} nameservers")
    for index, server in enumerate(servers):
        yield from check.ip(f"{path}.nameservers[{index}]", server)
    yield from _searches(f"{path}.searches", config.get("searches") or ())
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield errors.required(f"{path}.options[{index}]", "must not be empty")


def _searches(path: str, searches: Sequence[str]) -> Iterator[FieldError]:
    if len(searches) > MOST_SEARCHES:
        yield errors.invalid(path, list(searches), f"must not have more than {MOST_SEARCHES} search paths")
    if len(" ".join(searches)) > MOST_SEARCH_CHARACTERS:
        detail = f"must not have more than {MOST_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        yield errors.invalid(path, list(searches), detail)
    for index, search in enumerate(searches):
        if search == ".":
            continue
        text = search.removesuffix(".")
        plain = ".".join(part.removeprefix("_").replace("_", "-") for part in text.split("."))
        reasons = names.dns_subdomain(plain)
        yield from check.because(f"{path}[{index}]", text, [RELAXED_SUBDOMAIN] if reasons else ())


def _host_aliases(path: str, aliases: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    for index, alias in enumerate(aliases):
        yield from check.ip(f"{path}[{index}].ip", alias.get("ip", ""))
        for position, name in enumerate(alias.get("hostnames") or ()):
            yield from check.subdomain(f"{path}[{index}].hostnames[{position}]", name)


def _host_processes(path: str, wanted: Spec) -> Iterator[FieldError]:
    """On Windows: all containers of a pod are processes of the host, or none is."""
    of_pod = _host_process(wanted)
    total = count = 0
    for field, index, one in _every_container(wanted):
        total += 1
        own = _host_process(one)
        count += bool(of_pod if own is None else own)
        if of_pod is not None and own is not None and own != of_pod:
            detail = f"pod hostProcess value must be identical if both are specified, was {str(of_pod).lower()}"
            yield errors.invalid(f"{path}.{field}[{index}].securityContext.windowsOptions.hostProcess", own, detail)
    if count and count != total:
        detail = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        yield errors.invalid(path, "", detail)
    if count and not wanted.get("hostNetwork"):
        detail = "hostNetwork must be true if pod contains any hostProcess containers"
        yield errors.invalid(f"{path}.hostNetwork", False, detail)


def _host_process(holder: Mapping[str, Any]) -> bool | None:
    found: bool | None = ((holder.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    return found


def _host_users(path: str, wanted: Spec) -> Iterator[FieldError]:
    """A user namespace of its own cannot share the host's others."""
    if wanted.get("hostUsers") is not False:
        return
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if wanted.get(name):
            yield errors.forbidden(f"{path}.{name}", "when `hostUsers` is false")
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for index, one in enumerate(wanted.get(field) or ()):
            for position, _ in enumerate(one.get("volumeDevices") or ()):
                at = f"{path}.{field}[{index}].volumeDevices[{position}]"
                yield errors.forbidden(at, "when `hostUsers` is false")


def _operating_system(path: str, wanted: Spec) -> Iterator[FieldError]:
    system = wanted.get("os")
    if system is None:
        return
    name = system.get("name", "")
    if not name:
        yield errors.required(f"{path}.os.name")
    else:
        yield from check.one_of(f"{path}.os", name, ("linux", "windows"))
    if name == "windows":
        yield from _no_linux_fields(path, wanted)
    elif name == "linux":
        yield from _no_windows_fields(path, wanted)


_LINUX_POD_FIELDS = (
    "appArmorProfile",
    "seLinuxOptions",
    "fsGroup",
    "fsGroupChangePolicy",
    "seccompProfile",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
)
_LINUX_CONTAINER_FIELDS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def _no_linux_fields(path: str, wanted: Spec) -> Iterator[FieldError]:
    for name in ("hostPID", "hostIPC", "shareProcessNamespace"):
        if wanted.get(name):
            yield errors.forbidden(f"{path}.{name}", LINUX_ONLY)
    if wanted.get("hostUsers") is not None:
        yield errors.forbidden(f"{path}.hostUsers", LINUX_ONLY)
    context = wanted.get("securityContext") or {}
    for name in _LINUX_POD_FIELDS:
        if context.get(name) is not None:
            yield errors.forbidden(f"{path}.securityContext.{name}", LINUX_ONLY)
    for field, index, one in _every_container(wanted):
        context = one.get("securityContext") or {}
        for name in _LINUX_CONTAINER_FIELDS:
            if context.get(name) is not None:
                yield errors.forbidden(f"{path}.{field}[{index}].securityContext.{name}", LINUX_ONLY)


def _no_windows_fields(path: str, wanted: Spec) -> Iterator[FieldError]:
    if (wanted.get("securityContext") or {}).get("windowsOptions") is not None:
        yield errors.forbidden(f"{path}.securityContext.windowsOptions", WINDOWS_ONLY)
    for field, index, one in _every_container(wanted):
        if (one.get("securityContext") or {}).get("windowsOptions") is not None:
            yield errors.forbidden(f"{path}.{field}[{index}].securityContext.windowsOptions", WINDOWS_ONLY)


def _every_container(wanted: Spec) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for index, one in enumerate(wanted.get(field) or ()):
            yield field, index, one
