"""A container's environment, after the kubelet: services, envFrom, env, and $(NAME) expansion. Pure.

What cannot be resolved raises Unresolved with the kubelet's own words; the container then waits with
CreateContainerConfigError until what it names exists.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.kinds import service
from reconciler.model import meta, quantity
from reconciler.model.view import NAMESPACE, View

_REFERENCE = re.compile(r"\$(?:\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]$")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*$")


class Unresolved(Exception):
    """Something that the environment names does not exist (yet)."""


def of(pod: meta.Obj, container: Mapping[str, Any], view: View, allocatable: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """(name, value) pairs in the order in which they are set. `allocatable` is the node's, for limits that are not set."""
    found: dict[str, str] = {}
    services = dict(_services(pod, view))
    for source in container.get("envFrom") or ():
        for key, value in _all_of(source, meta.namespace(pod), view).items():
            name = source.get("prefix", "") + key
            if _ENV_NAME.match(name):
                found[name] = value
    for variable in container.get("env") or ():
        resolved = _value(variable, pod, container, view, allocatable, {**services, **found})
        if resolved is not None:
            found[variable["name"]] = resolved
    return tuple({**{name: value for name, value in services.items() if name not in found}, **found}.items())


def expanded(words: Iterable[str], environment: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Commands and arguments with $(NAME) replaced; $$(NAME) stays $(NAME), unknown names stay as they are."""
    values = dict(environment)
    return tuple(_expand(word, values) for word in words)


def field(pod: meta.Obj, path: str) -> str:
    """A field as the downward API gives it. Raises Unresolved for a path that it does not offer."""
    subscript = _SUBSCRIPT.match(path)
    if subscript:
        return str((meta.meta(pod).get(subscript[1]) or {}).get(subscript[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = meta.meta(pod).get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{_quoted(value)}"' for key, value in sorted(values.items()))
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(meta.meta(pod).get(path.partition(".")[2], ""))
    if path in ("spec.nodeName", "spec.serviceAccountName"):
        return str(meta.spec(pod).get(path.partition(".")[2], ""))
    status = meta.status(pod)
    if path in ("status.hostIP", "status.podIP"):
        return str(status.get(path.partition(".")[2], ""))
    if path in ("status.hostIPs", "status.podIPs"):
        return ",".join(str(entry["ip"]) for entry in status.get(path.partition(".")[2]) or ())
    raise Unresolved(f"unsupported fieldPath: {path}")


def resource(pod: meta.Obj, reference: Mapping[str, Any], container: Mapping[str, Any], allocatable: Mapping[str, str]) -> str:
    """A resourceFieldRef in units of its divisor, rounded up; a limit that is not set is the node's allocatable."""
    wanted = reference.get("containerName")
    if wanted:
        everyone = [*(meta.spec(pod).get("containers") or ()), *(meta.spec(pod).get("initContainers") or ())]
        container = next((one for one in everyone if one["name"] == wanted), container)
    bound, _, name = str(reference["resource"]).partition(".")
    resources = container.get("resources") or {}
    amount = (resources.get(bound) or {}).get(name)
    if amount is None:
        amount = allocatable.get(name, "0") if bound == "limits" else "0"
    divisor = quantity.milli(str(reference.get("divisor") or "1")) or 1000
    return str(-(-quantity.milli(str(amount)) // divisor))


def _value(
    variable: Mapping[str, Any],
    pod: meta.Obj,
    container: Mapping[str, Any],
    view: View,
    allocatable: Mapping[str, str],
    known: Mapping[str, str],
) -> str | None:
    """None for an optional reference to what does not exist."""
    source = variable.get("valueFrom")
    if not source:
        return _expand(str(variable.get("value") or ""), known)
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return resource(pod, source["resourceFieldRef"], container, allocatable)
    for kind, key in (("configmaps", "configMapKeyRef"), ("secrets", "secretKeyRef")):
        if key in source:
            return _key_of(kind, source[key], meta.namespace(pod), view)
    raise Unresolved(f"environment variable {variable['name']} has a source that is not supported")


def _key_of(kind: str, reference: Mapping[str, Any], namespace: str, view: View) -> str | None:
    noun = "configmap" if kind == "configmaps" else "secret"
    found = view.get(kind, namespace, reference["name"])
    if found is None:
        if reference.get("optional"):
            return None
        raise Unresolved(f'{noun} "{reference["name"]}" not found')
    values = data_of(found)
    if reference["key"] not in values:
        if reference.get("optional"):
            return None
        title = "ConfigMap" if kind == "configmaps" else "Secret"
        raise Unresolved(f"couldn't find key {reference['key']} in {title} {namespace}/{reference['name']}")
    return values[reference["key"]].decode("utf-8", "replace")


def _all_of(source: Mapping[str, Any], namespace: str, view: View) -> dict[str, str]:
    for kind, key, noun in (("configmaps", "configMapRef", "configmap"), ("secrets", "secretRef", "secret")):
        reference = source.get(key)
        if reference is None:
            continue
        found = view.get(kind, namespace, reference["name"])
        if found is not None:
            return {name: value.decode("utf-8", "replace") for name, value in data_of(found).items()}
        if not reference.get("optional"):
            raise Unresolved(f'{noun} "{reference["name"]}" not found')
    return {}


def data_of(obj: meta.Obj) -> dict[str, bytes]:
    """The contents of a ConfigMap or Secret as bytes, in order of their keys."""
    if obj.get("kind") == "Secret":
        found = {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    else:
        found = {key: value.encode() for key, value in (obj.get("data") or {}).items()}
        found |= {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
    return dict(sorted(found.items()))


def _services(pod: meta.Obj, view: View) -> Iterator[tuple[str, str]]:
    """Docker-link style variables of the namespace's services; of `kubernetes` always."""
    namespaces = ["default"]
    if meta.spec(pod).get("enableServiceLinks", True):
        namespaces.append(meta.namespace(pod))
    chosen: dict[str, meta.Obj] = {}
    for namespace in namespaces:
        for found in view.by("services", NAMESPACE, namespace):
            is_master = namespace == "default" and meta.name(found) == "kubernetes"
            if service.cluster_ips(found) and (is_master or namespace == meta.namespace(pod)):
                chosen.setdefault(meta.name(found), found)
    for name, found in chosen.items():
        yield from _variables(name.upper().replace("-", "_"), found)


def _variables(name: str, found: meta.Obj) -> Iterator[tuple[str, str]]:
    ip, ports = service.cluster_ip(found), service.ports(found)
    yield f"{name}_SERVICE_HOST", ip
    for index, port in enumerate(ports):
        if index == 0:
            yield f"{name}_SERVICE_PORT", str(port["port"])
        if port.get("name"):
            yield f"{name}_SERVICE_PORT_{str(port['name']).upper().replace('-', '_')}", str(port["port"])
    for index, port in enumerate(ports):
        protocol = str(port.get("protocol", "TCP"))
        url = f"{protocol.lower()}://{ip}:{port['port']}"
        if index == 0:
            yield f"{name}_PORT", url
        prefix = f"{name}_PORT_{port['port']}_{protocol.upper()}"
        yield prefix, url
        yield f"{prefix}_PROTO", protocol.lower()
        yield f"{prefix}_PORT", str(port["port"])
        yield f"{prefix}_ADDR", ip


def _expand(text: str, values: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return values.get(match[1], match[0])

    return _REFERENCE.sub(replace, text)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
