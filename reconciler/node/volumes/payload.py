"""What configMap, secret, downwardAPI and projected volumes hold: pure, from the view.

A payload is path -> (contents, mode). Tokens of service accounts come in from outside, for only the API can issue
them: `tokens` maps (audience, seconds) to one.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.model import meta
from reconciler.model.view import View
from reconciler.node import environment, observed

File = tuple[bytes, int]
Payload = dict[str, File]
Tokens = Mapping[tuple[str, int], str]
SOURCES = ("configMap", "secret", "downwardAPI", "projected")
DEFAULT_MODE = 0o644
DEFAULT_TOKEN_SECONDS = 3600


class Missing(Exception):
    """Something that the volume refers to is not there (yet)."""


def has_payload(volume: Mapping[str, Any]) -> bool:
    return any(source in volume for source in SOURCES)


def token_requests(pod: meta.Obj) -> tuple[tuple[str, int], ...]:
    """(audience, seconds) of each service account token that the pod's volumes ask for."""
    found = []
    for volume in meta.spec(pod).get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken")
            if token is not None:
                found.append((str(token.get("audience") or ""), int(token.get("expirationSeconds") or DEFAULT_TOKEN_SECONDS)))
    return tuple(dict.fromkeys(found))


def of_volume(view: View, pod: meta.Obj, volume: Mapping[str, Any], node: observed.Node, ip: str, tokens: Tokens) -> Payload:
    """Raises Missing."""
    if "configMap" in volume:
        source = volume["configMap"]
        return _of_object(view, meta.namespace(pod), "configmaps", source, _mode(source))
    if "secret" in volume:
        source = {**volume["secret"], "name": volume["secret"].get("secretName")}
        return _of_object(view, meta.namespace(pod), "secrets", source, _mode(source))
    if "downwardAPI" in volume:
        source = volume["downwardAPI"]
        return _downward(pod, source.get("items") or (), _mode(source), node, ip)
    return _projected(view, pod, volume["projected"], node, ip, tokens)


def of_pod(view: View, pod: meta.Obj, node: observed.Node, ip: str, tokens: Tokens) -> dict[str, Payload]:
    """The payload of each volume that has one; raises Missing naming the volume."""
    found = {}
    for volume in meta.spec(pod).get("volumes") or ():
        if has_payload(volume):
            try:
                found[volume["name"]] = of_volume(view, pod, volume, node, ip, tokens)
            except (Missing, environment.ConfigError) as error:
                raise Missing(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
    return found


def fingerprint(payloads: Mapping[str, Payload]) -> str:
    """Changes when some content or mode does; never empty."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(payloads):
        for path in sorted(payloads[name]):
            contents, mode = payloads[name][path]
            digest.update(f"{name}\0{path}\0{mode}\0{len(contents)}\0".encode() + contents)
    return digest.hexdigest()


def references(pod: meta.Obj) -> set[tuple[str, str]]:
    """(kind, name) of every ConfigMap and Secret that the pod's volumes and environment name."""
    found: set[tuple[str, str]] = set()
    spec = meta.spec(pod)
    for volume in spec.get("volumes") or ():
        found |= _referenced(volume, "secretName")
        for source in (volume.get("projected") or {}).get("sources") or ():
            found |= _referenced(source, "name")
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for source in container.get("envFrom") or ():
            for field, kind in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
                if field in source:
                    found.add((kind, str(source[field].get("name"))))
        for entry in container.get("env") or ():
            for field, kind in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
                if field in (entry.get("valueFrom") or {}):
                    found.add((kind, str(entry["valueFrom"][field].get("name"))))
    return found


def _referenced(source: Mapping[str, Any], secret_field: str) -> set[tuple[str, str]]:
    found = set()
    if "configMap" in source:
        found.add(("configmaps", str(source["configMap"].get("name"))))
    if "secret" in source:
        found.add(("secrets", str(source["secret"].get(secret_field))))
    return found


def _mode(source: Mapping[str, Any]) -> int:
    mode = source.get("defaultMode")
    return DEFAULT_MODE if mode is None else int(mode)


def _of_object(view: View, namespace: str, kind: str, source: Mapping[str, Any], mode: int) -> Payload:
    obj = view.get(kind, namespace, str(source.get("name")))
    if obj is None:
        if source.get("optional"):
            return {}
        raise Missing(f'{kind[:-1]} "{source.get("name")}" not found')
    data = _bytes_of(obj, kind)
    items: Sequence[Mapping[str, Any]] = source.get("items") or ()
    if not items:
        return {key: (value, mode) for key, value in data.items()}
    payload: Payload = {}
    for item in items:
        if item["key"] not in data:
            if source.get("optional"):
                continue
            raise Missing(f"references non-existent {'config' if kind == 'configmaps' else 'secret'} key: {item['key']}")
        payload[item["path"]] = (data[item["key"]], mode if item.get("mode") is None else int(item["mode"]))
    return payload


def _bytes_of(obj: meta.Obj, kind: str) -> dict[str, bytes]:
    if kind == "secrets":
        return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}
    text = {key: str(value).encode() for key, value in (obj.get("data") or {}).items()}
    return text | {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}


def _downward(pod: meta.Obj, items: Sequence[Mapping[str, Any]], mode: int, node: observed.Node, ip: str) -> Payload:
    payload: Payload = {}
    for item in items:
        if "fieldRef" in item:
            text = _downward_field(pod, item["fieldRef"]["fieldPath"], node, ip)
        else:
            text = environment.resource_value(pod, {}, item["resourceFieldRef"], node)
        payload[item["path"]] = (text.encode(), mode if item.get("mode") is None else int(item["mode"]))
    return payload


def _downward_field(pod: meta.Obj, path: str, node: observed.Node, ip: str) -> str:
    """Whole maps are written as sorted lines of name="value"."""
    if path in ("metadata.labels", "metadata.annotations"):
        entries: Mapping[str, str] = meta.meta(pod).get(path.partition(".")[2]) or {}
        return "\n".join(f"{name}={_quoted(value)}" for name, value in sorted(entries.items()))
    return environment.field_value(pod, path, node, ip)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def _projected(view: View, pod: meta.Obj, projected: Mapping[str, Any], node: observed.Node, ip: str, tokens: Tokens) -> Payload:
    mode = _mode(projected)
    payload: Payload = {}
    for source in projected.get("sources") or ():
        if "configMap" in source:
            payload.update(_of_object(view, meta.namespace(pod), "configmaps", source["configMap"], mode))
        elif "secret" in source:
            payload.update(_of_object(view, meta.namespace(pod), "secrets", source["secret"], mode))
        elif "downwardAPI" in source:
            payload.update(_downward(pod, source["downwardAPI"].get("items") or (), mode, node, ip))
        elif "serviceAccountToken" in source:
            token = source["serviceAccountToken"]
            key = (str(token.get("audience") or ""), int(token.get("expirationSeconds") or DEFAULT_TOKEN_SECONDS))
            if key not in tokens:
                raise Missing("the service account token was not issued yet")
            payload[token["path"]] = (tokens[key].encode(), 0o600 if _runs_as_one_user(pod) else mode)
    return payload


def _runs_as_one_user(pod: meta.Obj) -> bool:
    """Kubernetes narrows a token's mode to 0600 where all containers run as one user and there is no fsGroup."""
    spec = meta.spec(pod)
    security = spec.get("securityContext") or {}
    users = {(c.get("securityContext") or {}).get("runAsUser", security.get("runAsUser")) for c in spec.get("containers") or ()}
    return len(users) == 1 and None not in users and security.get("fsGroup") is None
