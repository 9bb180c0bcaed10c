"""The files of configMap, secret, downwardAPI and projected volumes. Pure.

`files(...)` maps relative paths to contents and modes, as one whole: a volume is written when everything that it
names exists. What does not raises Missing, with the kubelet's words, and the pod waits.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.model import meta
from reconciler.model.view import View
from reconciler.node import environment

DEFAULT_MODE = 0o644
MAX_VOLUME_BYTES = 16 * 1024 * 1024  # of all files of one volume

# (audience, seconds) -> a token for the pod's service account, or None until there is one
Tokens = Callable[[str, int], str | None]


class Missing(Exception):
    """Something that a volume names does not exist (yet), or does not fit."""


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    mode: int


def is_written(volume: Mapping[str, Any]) -> bool:
    """Whether the volume's contents come from objects."""
    return any(source in volume for source in ("configMap", "secret", "downwardAPI", "projected"))


def sources(volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(Kind.id, name) of every object of the pod's namespace that the volume's contents come from."""
    for part in (volume.get("projected") or {}).get("sources") or (volume,):
        if "configMap" in part:
            yield "configmaps", str(part["configMap"].get("name", ""))
        if "secret" in part:
            yield "secrets", str(part["secret"].get("secretName") or part["secret"].get("name") or "")


def files(
    volume: Mapping[str, Any],
    pod: meta.Obj,
    view: View,
    *,
    allocatable: Mapping[str, str] = meta.EMPTY,
    tokens: Tokens = lambda _, __: None,
) -> dict[str, File]:
    """Every file of the volume by relative path. Raises Missing."""
    projected = volume.get("projected")
    parts = (projected.get("sources") or ()) if projected is not None else (volume,)
    outer = projected if projected is not None else next(iter(_written(volume)), meta.EMPTY)
    mode = int(outer.get("defaultMode", DEFAULT_MODE))
    found: dict[str, File] = {}
    for part in parts:
        found |= _part(part, pod, view, mode, allocatable, tokens)
    if sum(len(file.content) for file in found.values()) > MAX_VOLUME_BYTES:
        raise Missing(f"volume {volume['name']} is larger than {MAX_VOLUME_BYTES} bytes")
    return found


def _written(volume: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for source in ("configMap", "secret", "downwardAPI"):
        if source in volume:
            yield volume[source]


def _part(part: Mapping[str, Any], pod: meta.Obj, view: View, mode: int, allocatable: Mapping[str, str], tokens: Tokens) -> dict[str, File]:
    if "configMap" in part:
        return _from_object("configmaps", part["configMap"].get("name", ""), part["configMap"], pod, view, mode)
    if "secret" in part:
        secret = part["secret"]
        return _from_object("secrets", secret.get("secretName") or secret.get("name") or "", secret, pod, view, mode)
    if "downwardAPI" in part:
        return dict(_downward(part["downwardAPI"].get("items") or (), pod, mode, allocatable))
    if "serviceAccountToken" in part:
        wanted = part["serviceAccountToken"]
        token = tokens(str(wanted.get("audience") or ""), int(wanted.get("expirationSeconds") or 3600))
        if token is None:
            raise Missing(f"the token of service account {meta.spec(pod).get('serviceAccountName') or 'default'} is not there yet")
        return {_safe(wanted["path"]): File(token.encode(), 0o600 if mode == DEFAULT_MODE else mode)}
    raise Missing(f"a source of kind {', '.join(part)} is not supported")


def _from_object(kind: str, name: str, source: Mapping[str, Any], pod: meta.Obj, view: View, mode: int) -> dict[str, File]:
    obj = view.get(kind, meta.namespace(pod), name)
    if obj is None:
        if source.get("optional"):
            return {}
        noun = "configmap" if kind == "configmaps" else "secret"
        raise Missing(f'{noun} "{name}" not found')
    data = environment.data_of(obj)
    items = source.get("items")
    if not items:
        return {_safe(key): File(content, mode) for key, content in data.items()}
    found: dict[str, File] = {}
    for item in items:
        if item["key"] in data:
            found[_safe(item["path"])] = File(data[item["key"]], int(item.get("mode", mode)))
        elif not source.get("optional"):
            noun = "configmap" if kind == "configmaps" else "secret"
            raise Missing(f"{noun} references non-existent config key: {item['key']}")
    return found


def _downward(items: Any, pod: meta.Obj, mode: int, allocatable: Mapping[str, str]) -> Iterator[tuple[str, File]]:
    for item in items:
        try:
            if "fieldRef" in item:
                text = environment.field(pod, item["fieldRef"]["fieldPath"])
            else:
                text = environment.resource(pod, item["resourceFieldRef"], meta.EMPTY, allocatable)
        except environment.Unresolved as problem:
            raise Missing(str(problem)) from problem
        yield _safe(item["path"]), File(text.encode(), int(item.get("mode", mode)))


def _safe(path: str) -> str:
    """A relative path that stays inside the volume. Raises Missing."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or parts[0].startswith("..") or "\0" in path:
        raise Missing(f"the path {path!r} leads out of the volume")
    return "/".join(part for part in parts if part not in ("", "."))
