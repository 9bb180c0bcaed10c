"""The environment and the arguments of a container: pure, as the kubelet assembles them.

envFrom, then env in order (each may use those before it), then variables of services where nothing of the name is
set. $(NAME) is expanded, $$ is a dollar, an unknown name stays as it is written.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.kinds import pod as pods
from reconciler.model import meta, quantity
from reconciler.model.view import NAMESPACE, View
from reconciler.node import observed

MASTER = ("default", "kubernetes")
_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_DEFAULT_LIMITS = ("cpu", "memory", "ephemeral-storage")


class ConfigError(Exception):
    """The container cannot be made from what is there: CreateContainerConfigError with this message."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    def one(found: "re.Match[str]") -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return _REFERENCE.sub(one, text)


def assemble(view: View, pod: meta.Obj, container: Mapping[str, Any], node: observed.Node, ip: str) -> dict[str, str]:
    """Raises ConfigError for a reference that leads nowhere and is not optional."""
    services = service_variables(view, pod)
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        result.update(_from_source(view, pod, source))
    for entry in container.get("env") or ():
        value = _value(view, pod, container, entry, node, ip, {**services, **result})
        if value is not None:
            result[entry["name"]] = value
    return {**services, **result}


def arguments(words: Iterable[str], variables: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(expand(word, variables) for word in words)


def field_value(pod: meta.Obj, path: str, node: observed.Node, ip: str) -> str:
    """A fieldRef's value; raises ConfigError for a path that has none."""
    found = _SUBSCRIPT.fullmatch(path)
    if found is not None:
        return str((meta.meta(pod).get(found[1]) or {}).get(found[2], ""))
    status = meta.status(pod)
    simple = {
        "metadata.name": meta.name(pod),
        "metadata.namespace": meta.namespace(pod),
        "metadata.uid": meta.uid(pod),
        "spec.nodeName": str(meta.spec(pod).get("nodeName") or ""),
        "spec.serviceAccountName": str(meta.spec(pod).get("serviceAccountName") or "default"),
        "status.hostIP": str(status.get("hostIP") or node.address),
        "status.hostIPs": str(status.get("hostIP") or node.address),
        "status.podIP": ip or pods.ip(pod),
        "status.podIPs": ip or ",".join(pods.ips(pod)),
    }
    if path not in simple:
        raise ConfigError(f"unsupported fieldPath: {path}")
    return simple[path]


def resource_value(pod: meta.Obj, own: Mapping[str, Any], reference: Mapping[str, Any], node: observed.Node) -> str:
    """A resourceFieldRef's value, divided and rounded up; a limit that is not set is what the node can give."""
    name = reference.get("containerName")
    container = own if not name else next((c for c in (*pods.containers(pod), *pods.init_containers(pod)) if c["name"] == name), {})
    side, _, resource = str(reference["resource"]).partition(".")
    resources = container.get("resources") or {}
    text = (resources.get(side) or {}).get(resource)
    if text is None:
        text = (resources.get("limits") or {}).get(resource) if side == "requests" else None
    if text is None:
        text = node.allocatable.get(resource, "0") if side == "limits" and resource in _DEFAULT_LIMITS else "0"
    divisor = quantity.parse(str(reference.get("divisor") or "1")).nano or quantity.parse("1").nano
    return str(-(-quantity.parse(str(text)).nano // divisor))


def service_variables(view: View, pod: meta.Obj) -> dict[str, str]:
    """Docker links' variables of the services in the namespace (with enableServiceLinks) and of the API server."""
    links = meta.spec(pod).get("enableServiceLinks", True)
    services: Sequence[meta.Obj] = view.by("services", NAMESPACE, meta.namespace(pod)) if links else ()
    master = view.get("services", *MASTER)
    chosen = {meta.name(service): service for service in ((master,) if master is not None else ())} | {meta.name(s): s for s in services}
    variables: dict[str, str] = {}
    for name in sorted(chosen):
        variables.update(_of_service(chosen[name]))
    return variables


def _of_service(service: meta.Obj) -> dict[str, str]:
    spec = meta.spec(service)
    address, ports = spec.get("clusterIP"), spec.get("ports") or ()
    if not address or address == "None" or not ports:
        return {}
    prefix = meta.name(service).upper().replace("-", "_")
    host = f"[{address}]" if ":" in address else address
    variables = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for port in ports:
        if port.get("name"):
            variables[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = str(port["port"])
    for index, port in enumerate(ports):
        protocol, number = str(port.get("protocol") or "TCP"), str(port["port"])
        url, stem = f"{protocol.lower()}://{host}:{number}", f"{prefix}_PORT_{number}_{protocol}"
        if index == 0:
            variables[f"{prefix}_PORT"] = url
        variables |= {stem: url, f"{stem}_PROTO": protocol.lower(), f"{stem}_PORT": number, f"{stem}_ADDR": address}
    return variables


def _from_source(view: View, pod: meta.Obj, source: Mapping[str, Any]) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for field, kind, word in (("configMapRef", "configmaps", "configmap"), ("secretRef", "secrets", "secret")):
        reference = source.get(field)
        if reference is None:
            continue
        obj = view.get(kind, meta.namespace(pod), reference["name"])
        if obj is None:
            if reference.get("optional"):
                return {}
            raise ConfigError(f'{word} "{reference["name"]}" not found')
        return {prefix + key: value for key, value in data_of(obj).items()}
    return {}


def data_of(obj: meta.Obj) -> dict[str, str]:
    """The text entries of a ConfigMap or Secret."""
    if obj.get("kind") == "Secret" or "type" in obj:
        return {key: secret_bytes(value).decode(errors="replace") for key, value in (obj.get("data") or {}).items()}
    return dict(obj.get("data") or {})


def secret_bytes(encoded: str) -> bytes:
    return base64.b64decode(encoded)


def _value(
    view: View, pod: meta.Obj, container: Mapping[str, Any], entry: Mapping[str, Any], node: observed.Node, ip: str, known: Mapping[str, str]
) -> str | None:
    source = entry.get("valueFrom")
    if not source:
        return expand(str(entry.get("value") or ""), known)
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"], node, ip)
    if "resourceFieldRef" in source:
        return resource_value(pod, container, source["resourceFieldRef"], node)
    for field, kind, word in (("configMapKeyRef", "configmaps", "ConfigMap"), ("secretKeyRef", "secrets", "Secret")):
        reference = source.get(field)
        if reference is not None:
            return _key_value(view, meta.namespace(pod), kind, word, reference)
    raise ConfigError(f"environment variable {entry['name']} has no source this node knows")


def _key_value(view: View, namespace: str, kind: str, word: str, reference: Mapping[str, Any]) -> str | None:
    obj = view.get(kind, namespace, reference["name"])
    if obj is None:
        if reference.get("optional"):
            return None
        raise ConfigError(f'{word.lower()} "{reference["name"]}" not found')
    data = data_of(obj)
    if reference["key"] not in data:
        if reference.get("optional"):
            return None
        raise ConfigError(f"couldn't find key {reference['key']} in {word} {namespace}/{reference['name']}")
    return data[reference["key"]]
