"""Pod templates of workloads: the hashes that name their ReplicaSets and ControllerRevisions, and which are the same.

The hashes are Kubernetes' own, so that what another cluster made is found under its name. Upstream: ComputeHash in
pkg/controller, of the template as go-spew dumps it, and HashControllerRevision in pkg/controller/history, of the
revision's JSON. Templates are in canonical form, as the API answers them.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from reconciler.kinds import pod_defaults
from reconciler.kit import ids
from reconciler.model import decode, govalue, spew
from reconciler.model.schema import Schemas

DEFINITION = "io.k8s.api.core.v1.PodTemplateSpec"
REMEMBERED = 128  # a plan that is made again hashes what it hashed before


class Templates:
    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._dumper = spew.Dumper(schemas)

    def hash(self, template: Mapping[str, Any], collisions: int | None) -> str:
        """Of a ReplicaSet or a DaemonSet's revision. `collisions` is status.collisionCount, None while there were none."""
        return _hash(self._dumper.text(DEFINITION, template), collisions)

    def are_same(self, left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
        """Whether they mean the same: an older release wrote nulls, and left out what has a default by now."""
        try:
            return self._completed(left) == self._completed(right)
        except decode.DecodeError:
            return False

    def _completed(self, template: Mapping[str, Any]) -> Mapping[str, Any]:
        decoded = decode.decode(self._schemas.of(DEFINITION), template).obj
        return pod_defaults.template({"spec": {"template": decoded}})


@lru_cache(maxsize=REMEMBERED)
def _hash(text: str, collisions: int | None) -> str:
    salt = b"" if collisions is None else collisions.to_bytes(8, "little")
    return ids.encoded(ids.fnv32a(text.encode() + salt))


def data_hash(data: Mapping[str, Any], collisions: int) -> str:
    """Of a StatefulSet's revision."""
    return ids.encoded(ids.fnv32(f"{govalue.marshal(data)}{collisions}".encode()))
