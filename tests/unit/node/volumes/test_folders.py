"""Folders of local volumes: made, removed, and nothing else ever touched."""

from pathlib import Path
from typing import Any

import pytest

from reconciler import kinds
from reconciler.client import protocol
from reconciler.loop.snapshot import Snapshot
from reconciler.model import meta, plan
from reconciler.node.volumes import folders

ORIGIN = protocol.Origin(actor="test")
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "n"}}}


def volume(place: Path, name: str = "pvc-1", host: str = "n", phase: str = "Released", **metadata: Any) -> meta.Obj:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]}]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "pvc-1", "uid": "u", "resourceVersion": "5", "finalizers": [folders.FINALIZER], **metadata},
        "spec": {"local": {"path": str(place / name)}, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}},
        "status": {"phase": phase},
    }


def planned(place: Path, one: meta.Obj) -> plan.Plan:
    view = Snapshot.of(kinds.builtin(), [NODE, one], {"nodes", folders.VOLUMES})
    return folders.controller(folders.is_on("n"), place).plan(view, ("", "pvc-1"), 0.0)


def test_a_folder_is_made_and_removed_before_the_finalizer_goes(tmp_path: Path) -> None:
    assert [type(one) for one in planned(tmp_path, volume(tmp_path)).actions] == [folders.Make]
    gone = planned(tmp_path, volume(tmp_path, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert [[type(one) for one in group] for group in gone.groups] == [[folders.Remove], [plan.Update]]


LEAVING = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "change",
    [{"name": "../etc"}, {"name": "pvc-2"}, {"host": "other"}, {"finalizers": []}, {"phase": "Bound", "deletionTimestamp": LEAVING}],
)
def test_what_is_not_ours_or_still_used_is_left_alone(tmp_path: Path, change: dict[str, Any]) -> None:
    assert planned(tmp_path, volume(tmp_path, **change)).groups == ()


async def test_folders_on_disk(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    kept = folders.Folders(tmp_path / "volumes")
    make, remove = folders.Make("pvc-1", "test"), folders.Remove("pvc-1", "test")
    for _ in range(2):
        await kept.perform(make, ORIGIN)
    folder = tmp_path / "volumes" / "pvc-1"
    assert folder.stat().st_mode & 0o777 == folders.MODE
    (folder / "data").write_text("x")
    (folder / "link").symlink_to(outside)
    for _ in range(2):
        await kept.perform(remove, ORIGIN)
    assert not folder.exists()
    assert (outside / "kept").exists()
