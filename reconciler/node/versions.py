"""Which version of everything a pod's configuration comes from is in force: pure.

Names the resource versions of the ConfigMaps, Secrets and claims that volumes and environments refer to, and what the
downward API shows of the pod itself. When it changes, volumes are written anew and what failed is tried again.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.kinds import pod as pods
from reconciler.model import meta
from reconciler.model.view import View
from reconciler.node.volumes import claims, contents

_KINDS = (("configMapRef", "configmaps"), ("secretRef", "secrets"), ("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets"))


def references(pod: meta.Obj) -> set[tuple[str, str]]:
    """(Kind.id, name) of every object of the pod's namespace that it names."""
    found = {source for volume in meta.spec(pod).get("volumes") or () for source in contents.sources(volume)}
    found.update((claims.CLAIMS, name) for name in claims.names(pod))
    for container in (*pods.containers(pod), *pods.init_containers(pod)):
        for source in (*(container.get("envFrom") or ()), *((one.get("valueFrom") or {}) for one in container.get("env") or ())):
            found.update(_named(source))
    return found


def current(pod: meta.Obj, view: View) -> str:
    """Never empty."""
    parts = []
    for kind, name in sorted(references(pod)):
        obj = view.get(kind, meta.namespace(pod), name)
        parts.append(f"{kind}/{name}@{meta.resource_version(obj) if obj is not None else 'absent'}")
    if any(_shows_pod(volume) for volume in meta.spec(pod).get("volumes") or ()):
        shown = (sorted(meta.labels(pod).items()), sorted(meta.annotations(pod).items()))  # no volume shows an address
        parts.append(hashlib.blake2b(repr(shown).encode(), digest_size=8).hexdigest())
    return ",".join(parts) or "nothing"


def _named(source: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field, kind in _KINDS:
        if field in source:
            yield kind, str(source[field].get("name") or "")


def _shows_pod(volume: Mapping[str, Any]) -> bool:
    return "downwardAPI" in volume or any("downwardAPI" in one for one in (volume.get("projected") or {}).get("sources") or ())
