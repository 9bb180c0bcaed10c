"""What a pod mentions of its namespace: the secrets, config maps, claims and tokens that its node must see."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.model import meta


def secrets(pod: meta.Obj) -> Iterator[str]:
    spec = meta.spec(pod)
    yield from (one.get("name", "") for one in spec.get("imagePullSecrets") or ())
    yield from _of_containers(spec, "secretKeyRef", "secretRef")
    for volume in spec.get("volumes") or ():
        yield (volume.get("secret") or {}).get("secretName", "")
        yield from ((source.get("secret") or {}).get("name", "") for source in _sources(volume))
        for driver in volume.values():
            if isinstance(driver, Mapping):
                yield from _references(driver, ("secretRef", "nodePublishSecretRef"))


def config_maps(pod: meta.Obj) -> Iterator[str]:
    spec = meta.spec(pod)
    yield from _of_containers(spec, "configMapKeyRef", "configMapRef")
    for volume in spec.get("volumes") or ():
        yield (volume.get("configMap") or {}).get("name", "")
        yield from ((source.get("configMap") or {}).get("name", "") for source in _sources(volume))


def claims(pod: meta.Obj) -> Iterator[str]:
    """Ephemeral volumes' claims are named after pod and volume."""
    for volume in meta.spec(pod).get("volumes") or ():
        yield (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
        if volume.get("ephemeral") is not None:
            yield f"{meta.name(pod)}-{volume['name']}"


def account(pod: meta.Obj) -> str:
    return str(meta.spec(pod).get("serviceAccountName") or "default")


def _sources(volume: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return (volume.get("projected") or {}).get("sources") or ()


def _of_containers(spec: Mapping[str, Any], key: str, whole: str) -> Iterator[str]:
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(group) or ():
            for variable in container.get("env") or ():
                yield from _references(variable.get("valueFrom") or {}, (key,))
            for source in container.get("envFrom") or ():
                yield from _references(source, (whole,))


def _references(owner: Mapping[str, Any], keys: Iterable[str]) -> Iterator[str]:
    for key in keys:
        reference = owner.get(key)
        if isinstance(reference, Mapping):
            yield str(reference.get("name", ""))
