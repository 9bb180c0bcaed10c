"""What a Sync's settings do: drift, ignored fields, waves, dependencies, guards, health."""

import pathlib
from typing import Any

import pytest

from reconciler.gitops import marks
from reconciler.model import meta, plan
from tests.unit.gitops.world import USER, World, config, running

WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: host}]
"""
HPA = """apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}
"""
CRD = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, listKind: WidgetList, plural: widgets, singular: widget}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""


def at(wave: int, text: str) -> str:
    return text.replace("metadata: {name:", f"metadata: {{annotations: {{reconciler.dev/wave: '{wave}'}}, name:", 1)


def spec(world: World) -> Any:
    return (world.cache.get("deployments.apps", "default", "web") or {"spec": {}})["spec"]


async def scale(world: World, replicas: int) -> None:
    """As an autoscaler does it."""
    change = {"spec": {"replicas": replicas}}
    action = plan.Patch(
        kind="deployments.apps", namespace="default", name="web", type="merge", patch=change, subresource="scale", why="load", manager="hpa"
    )
    await world.client.perform(action, USER)


async def status(world: World, kind: str, name: str, value: Any) -> None:
    action = plan.Patch(
        kind=kind,
        namespace="default",
        name=name,
        type="merge",
        patch={"status": value},
        subresource="status",
        why="test",
        manager="controller",
    )
    await world.client.perform(action, USER)


READY = {"observedGeneration": 9, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}


async def test_drift_may_be_told_or_left(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    async with running(tmp_path) as world:
        await world.settings(drift="warn")
        await world.until(lambda: world.agent.report()[0]["ready"], "a report")
        await world.patch("deployments.apps", "web", {"spec": {"replicas": 7}})
        (told,) = await world.until(lambda: world.agent.report()[0]["warnings"], "a warning")
        assert told == "Deployment default/web (web.yaml:1): drift: kubectl-edit changed spec.replicas, and is left so"
        await world.settings(drift="off")
        await world.until(lambda: not world.agent.report()[0]["warnings"], "silence")
        assert spec(world)["replicas"] == 7
        await world.settings(drift="fix")
        await world.until(lambda: spec(world)["replicas"] == 2, "the correction")


async def test_conflicts_are_forced_in_mode_fix_only(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        world.write("other.yaml", config("other"))
        await world.settings(drift="warn")
        await world.client.perform(
            plan.Create(
                kind="configmaps",
                body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}, "data": {"k": "theirs"}},
                why="t",
            ),
            USER,
        )
        world.write("a.yaml", config("a", "ours"))
        (problem,) = await world.until(world.errors, "a conflict")
        assert "conflict" in problem
        assert await world.data("a") == {"k": "theirs"}
        await world.settings(drift="fix")
        await world.until(lambda: _data(world, "a") == {"k": "ours"}, "force")


async def test_ignored_fields_are_others_and_keep_their_value(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    async with running(tmp_path) as world:
        await world.settings(ignore=[{"kind": "Deployment", "fields": ["spec.replicas", "spec.template.spec.containers[name=web].image"]}])
        await world.until(lambda: not _owns(world, "f:replicas"), "the fields to be given up")
        assert (spec(world)["replicas"], spec(world)["template"]["spec"]["containers"][0]["image"]) == (2, "host")
        await world.patch("deployments.apps", "web", {"spec": {"replicas": 6, "minReadySeconds": 3}})
        world.write("web.yaml", WEB.replace("replicas: 2", "replicas: 4\n  revisionHistoryLimit: 3"))
        await world.until(lambda: spec(world)["revisionHistoryLimit"] == 3, "the other field")
        assert spec(world)["replicas"] == 6


@pytest.mark.parametrize("first", ["autoscaler", "deployment"])
async def test_an_autoscaler_decides_on_replicas(tmp_path: pathlib.Path, first: str) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    if first == "autoscaler":
        (tmp_path / "hpa.yaml").write_text(HPA)
    async with running(tmp_path) as world:
        if first == "deployment":
            assert spec(world)["replicas"] == 2
            world.write("hpa.yaml", HPA)
        await world.until(
            lambda: spec(world) and not _owns(world, "f:replicas") and world.cache.get(HPAS, "default", "web"), "replicas given up"
        )
        assert spec(world)["replicas"] == (2 if first == "deployment" else 1)  # the value stays; without one it is the default
        await scale(world, 5)
        world.write("web.yaml", WEB.replace("replicas: 2", "minReadySeconds: 1"))
        await world.until(lambda: spec(world).get("minReadySeconds") == 1, "another change")
        assert spec(world)["replicas"] == 5
        world.write("web.yaml", WEB)
        warning = "Deployment default/web (web.yaml:1): spec.replicas is left to HorizontalPodAutoscaler default/web (hpa.yaml:1)"
        await world.until(lambda: world.agent.report()[0]["warnings"] == [warning], "the warning")
        assert spec(world)["replicas"] == 5
        (tmp_path / "hpa.yaml").unlink()
        await world.until(lambda: spec(world)["replicas"] == 2, "the folder's own number, once nothing scales it")


HPAS = "horizontalpodautoscalers.autoscaling"


async def test_what_kubectl_applied_before_is_taken_over(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "default"},
            "data": {"k": "1", "stale": "1"},
        }
        await world.client.perform(plan.Create(kind="configmaps", body=body, why="t"), USER)
        edit = plan.Patch(
            kind="configmaps",
            namespace="default",
            name="a",
            type="merge",
            patch={"data": {"mine": "1"}},
            why="t",
            manager="kubectl-client-side-apply",
        )
        await world.client.perform(edit, USER)
        world.write("a.yaml", config("a", "2"))
        await world.until(lambda: (_data(world, "a") or {}).get("k") == "2", "the apply")
        assert _data(world, "a") == {"k": "2", "stale": "1"}  # what kubectl's managers held and the file does not say is gone
        assert {entry["manager"] for entry in _live(world, "a")["metadata"]["managedFields"]} == {"test", marks.MANAGER}


async def test_waves_wait_for_health_and_a_new_commit_supersedes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.yaml").write_text(at(0, WEB) + "---\n" + at(1, config("after")) + "---\n" + at(-1, config("before")))
    async with running(tmp_path) as world:
        await world.until(lambda: world.cache.get("deployments.apps", "default", "web"), "the wave before")
        assert [action.name for action in world.writes] == ["before", "web"]  # type: ignore[attr-defined]
        assert world.state() == "Syncing"
        await world.until(lambda: "Deployment default/web of an earlier wave to be healthy" in str(world.condition("Ready")), "the reason")
        world.write(
            "web.yaml", at(0, WEB.replace("image: host", "image: other")) + "---\n" + at(1, config("after")) + "---\n" + config("loose")
        )
        await world.until(lambda: spec(world)["template"]["spec"]["containers"][0]["image"] == "other", "a new commit in spite of the wait")
        assert await world.get("configmaps", "after") is None
        await status(world, "deployments.apps", "web", READY)
        await world.until(lambda: world.cache.get("configmaps", "default", "after"), "the next wave")
        await world.until(lambda: world.condition("Ready") and world.condition("Ready")[0] == "True", "Ready")


async def test_a_change_of_two_waves_waits_between_them(tmp_path: pathlib.Path) -> None:
    """Healthy as it was before the change is not healthy."""
    (tmp_path / "web.yaml").write_text(WEB + "---\n" + at(1, config("after", "1")))
    async with running(tmp_path) as world:
        await world.until(lambda: world.cache.get("deployments.apps", "default", "web"), "the wave before")
        await status(world, "deployments.apps", "web", {**READY, "observedGeneration": 1})
        await world.until(lambda: world.cache.get("configmaps", "default", "after"), "the next wave")
        world.write("web.yaml", WEB.replace("image: host", "image: other") + "---\n" + at(1, config("after", "2")))
        await world.until(lambda: spec(world)["template"]["spec"]["containers"][0]["image"] == "other", "the first of both")
        await world.until(lambda: "of an earlier wave to be healthy" in str(world.condition("Ready")), "the wait")
        assert await world.data("after") == {"k": "1"}
        await status(world, "deployments.apps", "web", {**READY, "observedGeneration": 2})
        await world.until(lambda: world.cache.get("configmaps", "default", "after")["data"] == {"k": "2"}, "the second of both")


def needing(text: str, *names: str) -> str:
    return text.replace("metadata: {name:", f"metadata: {{annotations: {{reconciler.dev/depends-on: '{', '.join(names)}'}}, name:", 1)


async def test_an_object_waits_for_those_that_it_names(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    (tmp_path / "after.yaml").write_text(needing(config("after"), "Deployment/web", "ConfigMap/default/other"))
    (tmp_path / "loose.yaml").write_text(config("loose"))
    async with running(tmp_path) as world:
        await world.until(lambda: "waits for Deployment default/web to be healthy" in str(world.condition("Ready")), "the reason")
        assert await world.get("configmaps", "loose") is not None
        await status(world, "deployments.apps", "web", READY)
        await world.until(lambda: "waits for ConfigMap default/other to be healthy" in str(world.condition("Ready")), "one of nobody's")
        assert await world.get("configmaps", "after") is None
        action = plan.Create(kind="configmaps", body={"metadata": {"name": "other", "namespace": "default"}}, why="test")
        await world.client.perform(action, USER)
        await world.until(lambda: world.cache.get("configmaps", "default", "after"), "its turn")
        (tmp_path / "after.yaml").unlink()
        (tmp_path / "web.yaml").unlink()
        await world.until(lambda: world.cache.get("deployments.apps", "default", "web") is None, "the pruning")
        deleted = [action.name for action in world.writes if isinstance(action, plan.Delete)]
        assert deleted == ["after", "web"], "what stands on others goes first"


async def test_what_can_never_come_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text(needing(config("a"), "ConfigMap/b"))
    (tmp_path / "b.yaml").write_text(needing(config("b"), "ConfigMap/c"))
    (tmp_path / "c.yaml").write_text(needing(config("c"), "ConfigMap/b"))
    (tmp_path / "d.yaml").write_text(needing(config("d"), "b"))
    (tmp_path / "e.yaml").write_text(needing(config("e"), "Namespace/x/y"))
    async with running(tmp_path) as world:
        found = "\n".join(world.errors())
        assert "ConfigMap default/b depends on itself by way of ConfigMap default/c: it would wait for ever" in found
        assert "'b' is no object: write KIND/NAME" in found
        assert "a Namespace belongs to no namespace: write Namespace/y" in found
        assert len(world.errors()) == 4


async def test_a_wave_must_be_a_number(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text(config("a").replace("{name: a}", "{name: a, annotations: {reconciler.dev/wave: first}}"))
    async with running(tmp_path) as world:
        (problem,) = world.errors()
        assert problem.startswith("a.yaml:3:") and "'first' is no wave" in problem  # noqa: PT018


async def test_ready_only_when_healthy(tmp_path: pathlib.Path) -> None:
    (tmp_path / "web.yaml").write_text(WEB)
    async with running(tmp_path) as world:
        await world.until(lambda: world.condition("Ready") and world.condition("Ready")[:2] == ("Unknown", "Progressing"), "progress")
        await world.settings(healthTimeoutSeconds=1)
        await world.until(lambda: world.condition("Ready")[:2] == ("False", "HealthCheckFailed"), "the failure")
        assert "Deployment default/web" in world.condition("Ready")[2]
        await status(world, "deployments.apps", "web", READY)
        await world.until(lambda: world.condition("Ready")[0] == "True", "Ready")
        assert world.condition("Stalled") is None


async def test_custom_resources_are_judged_by_conditions_or_rules(tmp_path: pathlib.Path) -> None:
    widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n"
    (tmp_path / "crd.yaml").write_text(CRD + "---\n" + widget)
    async with running(tmp_path) as world:
        await world.until(lambda: world.condition("Ready") and world.condition("Ready")[0] == "True", "Ready")
        await status(world, "widgets.example.com", "w", {"conditions": [{"type": "Ready", "status": "False", "message": "still at it"}]})
        await world.until(lambda: "Widget default/w: still at it" in world.condition("Ready")[2], "its condition")
        await world.settings(health=[{"apiVersion": "example.com/v1", "kind": "Widget", "healthy": "object.status.phase == 'Good'"}])
        await world.until(lambda: "object.status.phase == 'Good' does not hold yet" in world.condition("Ready")[2], "the rule")
        await status(world, "widgets.example.com", "w", {"phase": "Good"})
        await world.until(lambda: world.condition("Ready")[0] == "True", "Ready by rule")
        await world.settings(health=[{"apiVersion": "example.com/v1", "kind": "Widget", "healthy": "object.status.phase =="}])
        await world.until(lambda: any("spec.health[0].healthy" in one for one in world.agent.report()[0]["warnings"]), "the mistake")


async def test_suspended_it_touches_nothing(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text(config("a", "1"))
    async with running(tmp_path) as world:
        await world.settings(suspend=True)
        await world.until(lambda: world.state() == "Suspended", "the state")
        world.writes.clear()
        world.write("a.yaml", config("a", "2"))
        await world.delete("configmaps", "a")
        await world.until(lambda: world.cache.get("configmaps", "default", "a") is None, "the deletion")
        assert world.writes == []
        await world.settings(suspend=False)
        await world.until(lambda: _data(world, "a") == {"k": "2"}, "what happened meanwhile")


async def test_prunes_within_the_limit_only(tmp_path: pathlib.Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.yaml").write_text(config(name))
    async with running(tmp_path) as world:
        await world.settings(deletionLimit=1)
        for name in "ab":
            (tmp_path / f"{name}.yaml").unlink()
        await world.until(lambda: world.condition("Pruned")[1] == "PruneHeld", "the guard")
        assert "2 objects would be deleted, more than the Sync's deletionLimit of 1" in world.condition("Pruned")[2]
        assert _live(world, "a") and _live(world, "b")  # noqa: PT018
        await world.settings(deletionLimit=5)
        await world.until(lambda: not _live(world, "a") and not _live(world, "b"), "both gone")
        await world.settings(prune=False)
        (tmp_path / "c.yaml").unlink()
        await world.until(lambda: "the Sync does not prune" in world.condition("Pruned")[2], "no pruning")
        assert _live(world, "c")


async def test_everything_goes_to_the_target_namespace(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: elsewhere}\n---\n" + config("a"))
    async with running(tmp_path) as world:
        await world.settings(targetNamespace="elsewhere")
        await world.until(lambda: world.cache.get("configmaps", "elsewhere", "a"), "the object in its place")
        await world.until(lambda: not _live(world, "a"), "the one before to go")


def _live(world: World, name: str) -> Any:
    return world.cache.get("configmaps", "default", name)


def _data(world: World, name: str) -> Any:
    return (_live(world, name) or {}).get("data")


def _owns(world: World, field: str) -> bool:
    live: meta.Obj = world.cache.get("deployments.apps", "default", "web") or {}
    return field in str(marks.owned(live))
