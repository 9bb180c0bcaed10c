"""Containers of every sort: what they run, see, mount, answer to and may do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.kinds.rules import check, references, resources, security
from reconciler.model import errors, names
from reconciler.model.errors import FieldError

Container = Mapping[str, Any]
SIDECAR_ONLY = "may not be set for init containers without restartPolicy=Always"
NOT_EPHEMERAL = "cannot be set for an Ephemeral Container"
RESTART_POLICIES = ("Always", "OnFailure", "Never")
EPHEMERAL_FIELDS = frozenset(
    {
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "env",
        "envFrom",
        "volumeMounts",
        "volumeDevices",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "imagePullPolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        "targetContainerName",
    }
)
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


@dataclass(frozen=True, slots=True)
class Pod:
    """What the rules of a container need to know of its pod."""

    volumes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # the good ones, by name
    claims: Sequence[str] = ()
    grace_seconds: int = 30
    restart_policy: str = "Always"
    host_users: bool = True
    host_network: bool = False


def regular(path: str, containers: Sequence[Container], pod: Pod) -> Iterator[FieldError]:
    if not containers:
        yield errors.required(path)
        return
    seen: set[str] = set()
    for index, one in enumerate(containers):
        at, name = f"{path}[{index}]", one.get("name", "")
        yield from _common(at, one, pod)
        if name in seen:
            yield errors.duplicate(f"{at}.name", name)
        seen.add(name)
        yield from _running(at, one, pod)
        yield from _restarts(at, one)
    yield from _host_port_conflicts(path, containers)


def initial(path: str, containers: Sequence[Container], others: Sequence[Container], pod: Pod) -> Iterator[FieldError]:
    """Init containers, of which those that restart always run beside the `others`."""
    seen = {one.get("name", "") for one in others}
    for index, one in enumerate(containers):
        at, name = f"{path}[{index}]", one.get("name", "")
        yield from _common(at, one, pod)
        if name in seen:
            yield errors.duplicate(f"{at}.name", name)
        elif name:
            seen.add(name)
        yield from _host_port_conflicts(path, [one])
        yield from _restarts(at, one)
        if one.get("restartPolicy") == "Always":
            yield from _running(at, one, pod)
            continue
        for name in ("lifecycle", *PROBES):
            if one.get(name) is not None:
                yield errors.forbidden(f"{at}.{name}", SIDECAR_ONLY)
        if one.get("resizePolicy"):
            yield errors.invalid(f"{at}.resizePolicy", one["resizePolicy"], "must not be set for init containers")


def ephemeral(path: str, containers: Sequence[Container], others: Sequence[Container], pod: Pod) -> Iterator[FieldError]:
    """Containers that are added to a running pod to debug it."""
    seen = {one.get("name", "") for one in others}
    targets = set(seen)
    for index, one in enumerate(containers):
        at, name = f"{path}[{index}]", one.get("name", "")
        yield from _common(at, {field: value for field, value in one.items() if field in EPHEMERAL_FIELDS}, pod)
        if name in seen:
            yield errors.duplicate(f"{at}.name", name)
        seen.add(name)
        target = one.get("targetContainerName")
        if target and target not in targets:
            yield errors.not_found_in(f"{at}.targetContainerName", target)
        for name in one:
            if name not in EPHEMERAL_FIELDS and one[name]:
                yield errors.forbidden(f"{at}.{name}", NOT_EPHEMERAL)
        for position, mount in enumerate(one.get("volumeMounts") or ()):
            for name in ("subPath", "subPathExpr"):
                if mount.get(name):
                    yield errors.forbidden(f"{at}.volumeMounts[{position}].{name}", NOT_EPHEMERAL)


def _common(path: str, one: Container, pod: Pod) -> Iterator[FieldError]:
    name = one.get("name", "")
    if not name:
        yield errors.required(f"{path}.name")
    else:
        yield from check.because(f"{path}.name", name, names.dns_label(name))
    yield from check.required(f"{path}.image", one.get("image"))
    yield from _message_policy(f"{path}.terminationMessagePolicy", one.get("terminationMessagePolicy", ""))
    mounts, devices = one.get("volumeMounts") or (), one.get("volumeDevices") or ()
    yield from _ports(f"{path}.ports", one.get("ports") or (), pod)
    yield from environment(f"{path}.env", one.get("env") or ())
    yield from _env_from(f"{path}.envFrom", one.get("envFrom") or ())
    yield from _mounts(f"{path}.volumeMounts", mounts, devices, one, pod)
    yield from _devices(f"{path}.volumeDevices", devices, mounts, pod)
    yield from references.pull_policy(f"{path}.imagePullPolicy", one.get("imagePullPolicy", ""))
    if one.get("resources"):
        yield from resources.requirements(f"{path}.resources", one["resources"], pod.claims)
    yield from _resize_policies(f"{path}.resizePolicy", one.get("resizePolicy") or (), pod)
    if one.get("securityContext"):
        yield from security.of_container(f"{path}.securityContext", one["securityContext"], pod.host_users)


def _message_policy(path: str, policy: str) -> Iterator[FieldError]:
    if not policy:
        yield errors.required(path)
    else:
        yield from check.one_of(path, policy, ("File", "FallbackToLogsOnError"), sort=False)


def _running(path: str, one: Container, pod: Pod) -> Iterator[FieldError]:
    """Lifecycle and probes, which only what keeps running can have."""
    lifecycle = one.get("lifecycle")
    if lifecycle is not None:
        for name in ("postStart", "preStop"):
            if (handler := lifecycle.get(name)) is not None:
                yield from _handler(f"{path}.lifecycle.{name}", handler, pod.grace_seconds)
        if (signal := lifecycle.get("stopSignal")) is not None and not signal.startswith("SIG"):
            yield errors.invalid(f"{path}.lifecycle.stopSignal", signal, "must be a signal")
    for name in PROBES:
        if (probe := one.get(name)) is not None:
            yield from _probe(f"{path}.{name}", probe, pod.grace_seconds, ready=name == "readinessProbe")


def _probe(path: str, probe: Mapping[str, Any], grace_seconds: int, *, ready: bool) -> Iterator[FieldError]:
    yield from _handler(path, probe, grace_seconds)
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        yield from check.non_negative(f"{path}.{name}", probe.get(name, 0))
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        yield errors.invalid(f"{path}.terminationGracePeriodSeconds", grace, check.NOT_POSITIVE)
    if ready:
        if grace is not None:
            yield errors.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must not be set for readinessProbes")
    elif probe.get("successThreshold", 0) != 1:
        yield errors.invalid(f"{path}.successThreshold", probe.get("successThreshold", 0), "must be 1")


def _handler(path: str, handler: Mapping[str, Any], grace_seconds: int) -> Iterator[FieldError]:
    given = [name for name in HANDLERS if handler.get(name) is not None]
    if not given:
        yield errors.required(path, "must specify a handler type")
    for position, name in enumerate(given):
        if position:
            yield errors.forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
        else:
            yield from HANDLERS[name](f"{path}.{name}", handler[name], grace_seconds)


def _exec(path: str, action: Mapping[str, Any], _: int) -> Iterator[FieldError]:
    yield from check.required(f"{path}.command", action.get("command"))


def _http_get(path: str, action: Mapping[str, Any], _: int) -> Iterator[FieldError]:
    yield from check.required(f"{path}.path", action.get("path"))
    yield from check.port_or_name(f"{path}.port", action.get("port", 0))
    yield from check.one_of(f"{path}.scheme", action.get("scheme", ""), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        yield from check.http_header(f"{path}.httpHeaders", header.get("name", ""))


def _tcp_socket(path: str, action: Mapping[str, Any], _: int) -> Iterator[FieldError]:
    return check.port_or_name(f"{path}.port", action.get("port", 0))


def _grpc(path: str, action: Mapping[str, Any], _: int) -> Iterator[FieldError]:
    return check.port_or_name(f"{path}.port", action.get("port", 0))


def _sleep(path: str, action: Mapping[str, Any], grace_seconds: int) -> Iterator[FieldError]:
    seconds = action.get("seconds", 0)
    if not 0 <= seconds <= grace_seconds:
        detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
        yield errors.invalid(path, seconds, detail)


HANDLERS: Mapping[str, Callable[[str, Mapping[str, Any], int], Iterator[FieldError]]] = {
    "exec": _exec,
    "httpGet": _http_get,
    "tcpSocket": _tcp_socket,
    "grpc": _grpc,
    "sleep": _sleep,
}


def _ports(path: str, ports: Sequence[Mapping[str, Any]], pod: Pod) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"{path}[{index}]", port.get("name", "")
        if name:
            reasons = check.port_name_reasons(name)
            yield from check.because(f"{at}.name", name, reasons)
            if not reasons and name in seen:
                yield errors.duplicate(f"{at}.name", name)
            seen.add(name)
        if not port.get("containerPort"):
            yield errors.required(f"{at}.containerPort")
        else:
            yield from check.port(f"{at}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            yield from check.port(f"{at}.hostPort", port["hostPort"])
        yield from check.required_one_of(f"{at}.protocol", port.get("protocol", ""), check.PROTOCOLS)


def host_network_ports(path: str, containers: Sequence[Container]) -> Iterator[FieldError]:
    """On the host's network a port is the same inside and outside."""
    for index, one in enumerate(containers):
        for position, port in enumerate(one.get("ports") or ()):
            if port.get("hostPort") != port.get("containerPort"):
                detail = "must match `containerPort` when `hostNetwork` is true"
                yield errors.invalid(f"{path}[{index}].ports[{position}].hostPort", port.get("hostPort", 0), detail)


def _host_port_conflicts(path: str, containers: Sequence[Container]) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, one in enumerate(containers):
        for position, port in enumerate(one.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in taken:
                yield errors.duplicate(f"{path}[{index}].ports[{position}].hostPort", key)
            taken.add(key)


def environment(path: str, variables: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    for index, variable in enumerate(variables):
        at, name = f"{path}[{index}]", variable.get("name", "")
        if not name:
            yield errors.required(f"{at}.name")
        else:
            yield from check.because(f"{at}.name", name, check.env_name_reasons(name))
        source = variable.get("valueFrom")
        if source is not None:
            yield from _value_from(f"{at}.valueFrom", source, variable.get("value", ""))


def _value_from(path: str, source: Mapping[str, Any], value: str) -> Iterator[FieldError]:
    given = 0
    for name in ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"):
        reference = source.get(name)
        if reference is None:
            continue
        given += 1
        if name == "fieldRef":
            yield from references.field(f"{path}.{name}", reference, references.FIELDS_OF_ENV)
        elif name == "resourceFieldRef":
            yield from references.resource(f"{path}.{name}", reference, of_volume=False)
        elif name != "fileKeyRef":
            yield from references.key(f"{path}.{name}", reference)
    if not given:
        kinds = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        yield errors.invalid(path, "", f"must specify one of: {kinds}")
    if value and given:
        yield errors.invalid(path, "", "may not be specified when `value` is not empty")
    elif given > 1:
        yield errors.invalid(path, "", "may not have more than one field specified at a time")


def _env_from(path: str, sources: Sequence[Mapping[str, Any]]) -> Iterator[FieldError]:
    for index, source in enumerate(sources):
        at, given = f"{path}[{index}]", 0
        if source.get("prefix"):
            yield from check.because(f"{at}.prefix", source["prefix"], check.env_name_reasons(source["prefix"]))
        for name in ("configMapRef", "secretRef"):
            if (reference := source.get(name)) is None:
                continue
            given += 1
            if not reference.get("name"):
                yield errors.required(f"{at}.{name}.name")
            else:
                yield from check.subdomain(f"{at}.{name}.name", reference["name"])
        if not given:
            yield errors.invalid(at, "", "must specify one of: `configMapRef` or `secretRef`")
        elif given > 1:
            yield errors.invalid(at, "", "may not have more than one field specified at a time")


def _mounts(
    path: str, mounts: Sequence[Mapping[str, Any]], devices: Sequence[Mapping[str, Any]], one: Container, pod: Pod
) -> Iterator[FieldError]:
    taken: set[str] = set()
    device_names = {device.get("name", "") for device in devices}
    device_paths = {device.get("devicePath", "") for device in devices}
    for index, mount in enumerate(mounts):
        at, name, target = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield errors.required(f"{at}.name")
        if name not in pod.volumes:
            yield errors.not_found_in(f"{at}.name", name)
        if not target:
            yield errors.required(f"{at}.mountPath")
        if target in taken:
            yield errors.invalid(f"{at}.mountPath", target, "must be unique")
        taken.add(target)
        if name in device_names:
            yield errors.invalid(f"{at}.name", name, "must not already exist in volumeDevices")
        if target in device_paths:
            yield errors.invalid(f"{at}.mountPath", target, "must not already exist as a path in volumeDevices")
        yield from _sub_paths(path, at, mount)
        yield from _propagation(f"{path}.mountPropagation", mount.get("mountPropagation"), one)
        yield from _recursive_read_only(f"{path}.recursiveReadOnly", mount)


def _sub_paths(path: str, at: str, mount: Mapping[str, Any]) -> Iterator[FieldError]:
    sub_path, expression = mount.get("subPath"), mount.get("subPathExpr")
    if sub_path:
        yield from check.relative_path(f"{path}.subPath", sub_path)
    if expression:
        if sub_path:
            yield errors.invalid(f"{at}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive")
        yield from check.relative_path(f"{path}.subPathExpr", expression)


def _propagation(path: str, mode: str | None, one: Container) -> Iterator[FieldError]:
    if mode is None:
        return
    yield from check.one_of(path, mode, ("Bidirectional", "HostToContainer", "None"))
    if mode == "Bidirectional" and not (one.get("securityContext") or {}).get("privileged"):
        yield errors.forbidden(path, "Bidirectional mount propagation is available only to privileged containers")


def _recursive_read_only(path: str, mount: Mapping[str, Any]) -> Iterator[FieldError]:
    mode = mount.get("recursiveReadOnly")
    if mode is None or mode == "Disabled":
        return
    if mode not in ("Enabled", "IfPossible"):
        yield errors.not_supported(path, mode, ("Disabled", "Enabled", "IfPossible"))
        return
    if not mount.get("readOnly"):
        yield errors.forbidden(path, "may only be specified when readOnly is true")
    if mount.get("mountPropagation") not in (None, "None"):
        yield errors.forbidden(path, "may only be specified when mountPropagation is None or not specified")


def _devices(path: str, devices: Sequence[Mapping[str, Any]], mounts: Sequence[Mapping[str, Any]], pod: Pod) -> Iterator[FieldError]:
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    mount_names = {mount.get("name", "") for mount in mounts}
    mount_paths = {mount.get("mountPath", "") for mount in mounts}
    for index, device in enumerate(devices):
        at, name, target = f"{path}[{index}]", device.get("name", ""), device.get("devicePath", "")
        if not name:
            yield errors.required(f"{at}.name")
        if name in seen_names:
            yield errors.invalid(f"{at}.name", name, "must be unique")
        volume = pod.volumes.get(name)
        if volume is not None and not {"persistentVolumeClaim", "ephemeral"} & volume.keys():
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            yield errors.invalid(f"{at}.name", name, detail)
        if volume is None:
            yield errors.not_found_in(f"{at}.name", name)
        if not target:
            yield errors.required(f"{at}.devicePath")
        if target in seen_paths:
            yield errors.invalid(f"{at}.devicePath", target, "must be unique")
        if target and ".." in target.split("/"):
            yield errors.invalid(f"{at}.devicePath", target, "can not contain backsteps ('..')")
        else:
            seen_paths.add(target)
        if name in mount_names:
            yield errors.invalid(f"{at}.name", name, "must not already exist in volumeMounts")
        if target in mount_paths:
            yield errors.invalid(f"{at}.devicePath", target, "must not already exist as a path in volumeMounts")
        if name:
            seen_names.add(name)


def _resize_policies(path: str, policies: Sequence[Mapping[str, Any]], pod: Pod) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        resource, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if resource in seen:
            yield errors.duplicate(f"{path}[{index}]", resource)
        seen.add(resource)
        if not resource:
            yield errors.required(path)
        else:
            yield from check.one_of(path, resource, ("cpu", "memory"))
        if not restart:
            yield errors.required(path)
        else:
            yield from check.one_of(path, restart, ("NotRequired", "RestartContainer"))
        if pod.restart_policy == "Never" and restart != "NotRequired":
            yield errors.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _restarts(path: str, one: Container) -> Iterator[FieldError]:
    policy, rules = one.get("restartPolicy"), one.get("restartPolicyRules") or ()
    if policy is not None:
        yield from check.one_of(f"{path}.restartPolicy", policy, RESTART_POLICIES)
    if rules and policy is None:
        yield errors.required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
    if len(rules) > 20:
        yield errors.too_many(f"{path}.restartPolicyRules", len(rules), 20)
    for index, rule in enumerate(rules):
        at, codes = f"{path}.restartPolicyRules[{index}]", rule.get("exitCodes")
        yield from check.one_of(f"{at}.action", rule.get("action", ""), ("Restart", "RestartAllContainers"))
        if codes is None:
            yield errors.required(f"{at}.exitCodes", "must be specified")
            continue
        yield from check.one_of(f"{at}.exitCodes.operator", codes.get("operator", ""), ("In", "NotIn"))
        if len(codes.get("values") or ()) > 255:
            yield errors.too_many(f"{at}.exitCodes.values", len(codes["values"]), 255)
