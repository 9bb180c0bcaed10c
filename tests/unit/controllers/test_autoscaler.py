"""HorizontalPodAutoscalers: what is proposed, how far it is followed, and what is said about it.

The numbers of the first tables are those of Kubernetes' own tests of its replica calculator.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from reconciler import controllers, kinds
from reconciler.controllers import horizontalpodautoscaler as hpa
from reconciler.controllers import measures
from reconciler.controllers.horizontalpodautoscaler import replicas
from reconciler.loop.snapshot import Snapshot
from reconciler.model import meta, plan

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
LONG_AGO, JUST_NOW = "2025-12-31T00:00:00Z", "2025-12-31T23:59:55Z"
TOLERANCE = replicas.Tolerance(0.1, 0.1)
ROSTER = kinds.builtin()


def pod(name: str, request: str = "1", ready: bool = True, phase: str = "Running", started: str = LONG_AGO, **spec: Any) -> meta.Obj:
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": started}
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": request}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1", "labels": {"app": "web"}},
        "spec": {"containers": [container], **spec},
        "status": {"phase": phase, "startTime": started, "conditions": [condition]},
    }


def pods(count: int, requests: Sequence[str] = (), ready: Sequence[bool] = ()) -> list[meta.Obj]:
    asked = [*requests, *["1"] * (count - len(requests))]
    able = [*ready, *[True] * (count - len(ready))]
    return [pod(f"p{i}", asked[i], able[i]) for i in range(count)]


def samples(*levels: int) -> dict[str, measures.Sample]:
    return {f"p{i}": measures.Sample(level, NOW) for i, level in enumerate(levels)}


@pytest.mark.parametrize(
    ("listed", "levels", "target", "percent", "wanted"),
    [
        (pods(3), (300, 500, 700), 30, 50, 5),
        (pods(5), (100, 300, 500, 250, 250), 50, 28, 3),
        (pods(3, ("0.9", "1.0", "1.1")), (1010, 1030, 1020), 100, 102, 3),
        (pods(3, ready=(False,)), (300, 500, 700), 30, 60, 4),
        (pods(4), (400, 95), 100, 24, 3),
        (pods(3), (1000,), 100, 100, 3),
        (pods(4), (1000,), 100, 100, 4),
    ],
    ids=[
        "up",
        "down",
        "within tolerance",
        "an unready pod counts as idle",
        "missing pods count as full",
        "missing: no change",
        "three missing",
    ],
)
def test_utilization(listed: list[meta.Obj], levels: Sequence[int], target: int, percent: int, wanted: int) -> None:
    unready_now = [one if not _is_unready(one) else pod(meta.name(one), ready=False, started=JUST_NOW) for one in listed]
    found = replicas.by_utilization(len(listed), target, "cpu", "", unready_now, samples(*levels), TOLERANCE, NOW)
    assert (found.percent, found.replicas) == (percent, wanted)


def _is_unready(one: meta.Obj) -> bool:
    return bool(meta.status(one)["conditions"][0]["status"] == "False")


def test_values() -> None:
    assert replicas.by_average(3, 15_000, "", pods(3), samples(20_000, 10_000, 30_000), TOLERANCE, NOW).replicas == 4
    assert replicas.by_value(3, 15_000, 20_000, pods(3), TOLERANCE).replicas == 4
    assert replicas.by_value(3, 15_000, 15_500, pods(3), TOLERANCE).replicas == 3
    assert replicas.by_value(0, 15_000, 20_000, [], TOLERANCE).replicas == 2
    per_pod = replicas.by_value_per_pod(4, 2_150, 8_600, TOLERANCE)
    assert (per_pod.replicas, per_pod.milli) == (4, 2_150)
    assert replicas.by_value_per_pod(5, 2_000, 8_600, TOLERANCE).replicas == 5


def test_tolerance_may_differ_by_direction() -> None:
    eager_up = replicas.Tolerance(up=0.0, down=0.5)
    assert replicas.by_value(4, 1_000, 1_010, pods(4), eager_up).replicas == 5
    assert replicas.by_value(4, 1_000, 600, pods(4), eager_up).replicas == 4


@pytest.mark.parametrize(
    ("listed", "levels", "message"),
    [
        ([], (), "no pods returned by selector while calculating replica count"),
        ([pod("p0", phase="Pending")], (5,), "did not receive metrics for targeted pods (pods might be unready)"),
        ([{**pod("p0"), "spec": {"containers": [{"name": "c"}]}}], (5,), "missing request for cpu in container c of Pod p0"),
    ],
)
def test_what_cannot_be_computed(listed: list[meta.Obj], levels: Sequence[int], message: str) -> None:
    with pytest.raises(replicas.Unknown) as unknown:
        replicas.by_utilization(1, 50, "cpu", "", listed, samples(*levels), TOLERANCE, NOW)
    assert str(unknown.value) == message


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
QUEUE = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "AverageValue", "averageValue": "10"}}}
HITS = {"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "5"}}}


class World:
    """One autoscaler over a Deployment of `count` pods, decided upon again and again while time passes."""

    def __init__(self, count: int, *metrics: Mapping[str, Any], least: int = 1, most: int = 10, **spec: Any) -> None:
        self.count, self.now = count, NOW
        self.memories: dict[meta.Key, measures.Memory] = {}
        self.controller = hpa.of(controllers.Facts(autoscaling=self.memories))[0]
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        kind = next(one for one in ROSTER if one.kind == "HorizontalPodAutoscaler" and one.storage_id == one.id)
        body = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": "h",
                "namespace": "ns",
                "uid": "h",
                "resourceVersion": "1",
                "generation": 1,
                "creationTimestamp": LONG_AGO,
            },
            "spec": {"scaleTargetRef": reference, "minReplicas": least, "maxReplicas": most, "metrics": list(metrics), **spec},
        }
        self.autoscaler: meta.Obj = kind.hub_version.default(body)
        self.events: list[str] = []

    def decide(self, values: Mapping[str, Mapping[str, int] | int | str], others: Sequence[meta.Obj] = ()) -> int:
        """Answer what is asked by metric name, follow the decision, and return the size."""
        key = ("ns", "h")
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "ns", "uid": "web", "resourceVersion": "1"},
            "spec": {"replicas": self.count, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"replicas": self.count},
        }
        view = Snapshot.of(ROSTER, [deployment, *pods(self.count), self.autoscaler, *others], None)
        (ask,) = self.controller.plan(view, key, self.now).actions
        assert isinstance(ask, measures.Measure)
        answers = {query: self._answer(values.get(query.metric, "nobody knows")) for query in ask.queries}
        before = self.memories.get(key) or measures.Memory()
        measured = measures.Measurement(self.now, ask.generation, answers)
        self.memories[key] = dataclasses.replace(before, measured=measured, is_decided=False)
        for action in self.controller.plan(view, key, self.now).actions:
            self._follow(action)
        assert self.controller.plan(view, key, self.now).groups == ()
        self.now += hpa.PERIOD_SECONDS
        return self.count

    def _answer(self, given: Mapping[str, int] | int | str) -> measures.Answer:
        if isinstance(given, str):
            return measures.Answer(error=given)
        if isinstance(given, int):
            return measures.Answer({"#0": measures.Sample(given, self.now)})
        return measures.Answer({name: measures.Sample(milli, self.now) for name, milli in given.items()})

    def _follow(self, action: plan.Action) -> None:
        if isinstance(action, measures.Remember):
            assert action.memory is not None
            self.memories[action.key] = action.memory
        elif isinstance(action, plan.Patch):
            self.count = action.patch["spec"]["replicas"]
            assert action.announce is not None
            self._follow(action.announce)
        elif isinstance(action, plan.Emit):
            self.events.append(f"{action.type} {action.reason} {action.message}")
        else:
            assert isinstance(action, plan.Update)
            self.autoscaler = action.body

    def each(self, milli: int) -> dict[str, int]:
        return {f"p{i}": milli for i in range(self.count)}

    def condition(self, type: str) -> tuple[str, str]:
        found = next(one for one in meta.status(self.autoscaler)["conditions"] if one["type"] == type)
        return found["status"], found["reason"]


def test_size_follows_cpu_up_at_once_and_down_after_five_minutes() -> None:
    world = World(2, CPU)
    assert world.decide({"cpu": world.each(1000)}) == 4
    assert world.events == ["Normal SuccessfulRescale New size: 4; reason: cpu resource utilization (percentage of request) above target"]
    assert world.condition("ScalingActive") == ("True", "ValidMetricFound")
    assert meta.status(world.autoscaler)["currentMetrics"][0]["resource"]["current"] == {"averageUtilization": 100, "averageValue": "1"}
    sizes = [world.decide({"cpu": world.each(100)}) for _ in range(22)]
    assert sizes[0] == 4
    assert sizes.index(1) >= 19
    assert world.events[-1] == "Normal SuccessfulRescale New size: 1; reason: All metrics below target"


def test_the_largest_proposal_wins_and_bounds_hold() -> None:
    world = World(2, CPU, QUEUE, most=6)
    assert world.decide({"cpu": world.each(500), "queue": 45_000}) == 4  # twice, and four at least
    assert world.condition("ScalingLimited") == ("True", "ScaleUpLimit")
    assert world.decide({"cpu": world.each(500), "queue": 90_000}) == 6
    assert world.condition("ScalingLimited") == ("True", "TooManyReplicas")


def test_an_unknown_metric_never_scales_down_but_does_not_hinder_scaling_up() -> None:
    world = World(3, CPU, HITS)
    assert world.decide({"cpu": world.each(10)}) == 3
    assert world.condition("ScalingActive") == ("False", "FailedGetPodsMetric")
    assert "first error is: failed to get pods metric value: unable to get metric hits: nobody knows" in world.events[-1]
    assert world.decide({"cpu": world.each(1000)}) == 6


def test_rates_and_windows_of_a_behavior() -> None:
    up = {"stabilizationWindowSeconds": 30, "selectPolicy": "Min", "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}
    down = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}]}
    world = World(4, CPU, most=20, behavior={"scaleUp": up, "scaleDown": down})
    sizes = [world.decide({"cpu": world.each(1000)}) for _ in range(8)]
    assert sizes == [4, 4, 6, 6, 6, 6, 8, 8]
    assert world.condition("ScalingLimited") == ("True", "ScaleUpLimit")
    assert [world.decide({"cpu": world.each(0)}) for _ in range(5)] == [4, 4, 4, 4, 2]
    assert world.condition("ScalingLimited") == ("True", "ScaleDownLimit")


def test_disabled_directions_and_zero_replicas() -> None:
    world = World(4, CPU, behavior={"scaleDown": {"selectPolicy": "Disabled"}})
    world.memories[("ns", "h")] = measures.Memory(recommendations=((NOW - 1000, 4),))
    assert [world.decide({"cpu": world.each(0)}) for _ in range(2)] == [4, 4]
    off = World(0, CPU)
    assert off.decide({"cpu": {}}) == 0
    assert off.condition("ScalingActive") == ("False", "ScalingDisabled")


def test_pods_of_two_autoscalers_belong_to_neither() -> None:
    world = World(2, CPU)
    rival = meta.put(meta.put(world.autoscaler, ("metadata", "name"), "rival"), ("metadata", "uid"), "rival")
    assert world.decide({"cpu": world.each(1000)}, [rival]) == 2
    assert world.condition("ScalingActive") == ("False", "AmbiguousSelector")
    assert "pods by selector app=web are controlled by multiple HPAs: [ns/h ns/rival]" in world.events[0]


def test_a_changed_spec_is_measured_afresh() -> None:
    world = World(2, CPU)
    world.decide({"cpu": world.each(500)})
    world.autoscaler = meta.put(world.autoscaler, ("metadata", "generation"), 2)
    world.now -= hpa.PERIOD_SECONDS  # not due yet
    assert world.decide({"cpu": world.each(1000)}) == 4
