"""What a pod's claims come down to on this machine."""

from typing import Any

import pytest

from reconciler.model import meta
from reconciler.node.volumes import claims
from reconciler.node.volumes.contents import Missing


class View:
    """Objects by kind and name."""

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self._objects = {(kind, one["metadata"]["name"]): one for kind, found in objects.items() for one in found}

    def get(self, kind: str, namespace: str, name: str) -> meta.Obj | None:
        return self._objects.get((kind, name))


def claim(name: str, volume: str = "", phase: str = "Bound") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "d"}, "spec": {"volumeName": volume}, "status": {"phase": phase}}


def volume(name: str, claimed_by: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"claimRef": {"namespace": "d", "name": claimed_by}, **spec}}


def pod(*volumes: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "d"}, "spec": {"volumes": list(volumes)}}


def test_a_bound_claim_is_the_folder_behind_it() -> None:
    local, host = volume("one", "a", local={"path": "/mnt/one"}), volume("two", "p-own", hostPath={"path": "/mnt/two", "type": ""})
    view: Any = View(persistentvolumeclaims=[claim("a", "one"), claim("p-own", "two")], persistentvolumes=[local, host])
    wanted = pod(
        {"name": "data", "persistentVolumeClaim": {"claimName": "a", "readOnly": True}},
        {"name": "own", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "plain", "emptyDir": {}},
    )
    assert claims.settled(wanted, view) == [
        {"name": "data", "readOnly": True, "hostPath": {"path": "/mnt/one", "type": "Directory"}},
        {"name": "own", "readOnly": False, "hostPath": {"path": "/mnt/two", "type": ""}},
        {"name": "plain", "emptyDir": {}},
    ]
    assert list(claims.names(wanted)) == ["a", "p-own"]
    assert dict(claims.folders(wanted, view)) == {"a": "/mnt/one", "p-own": "/mnt/two"}


@pytest.mark.parametrize(
    ("claimed", "found", "words"),
    [
        ([], [], '"a" not found'),
        ([claim("a", "one", "Pending")], [volume("one", "a", local={"path": "/x"})], '"a" is not bound'),
        ([claim("a", "one")], [], '"a" is not bound'),
        ([claim("a", "one")], [volume("one", "b", local={"path": "/x"})], '"a" is not bound'),
        ([claim("a", "one")], [volume("one", "a", csi={"driver": "x"})], "neither local nor hostPath"),
        ([claim("a", "one")], [volume("one", "a", local={"path": "/dev/x"}, volumeMode="Block")], "block device"),
    ],
)
def test_what_cannot_be_had(claimed: list[dict[str, Any]], found: list[dict[str, Any]], words: str) -> None:
    view: Any = View(persistentvolumeclaims=claimed, persistentvolumes=found)
    wanted = pod({"name": "data", "persistentVolumeClaim": {"claimName": "a"}})
    with pytest.raises(Missing, match=words):
        claims.settled(wanted, view)
    assert list(claims.folders(wanted, view)) == []
