"""Kinds with two forms: nothing is lost on the way there and back."""

import json
from typing import Any

from reconciler.kinds import event
from reconciler.kinds import horizontalpodautoscaler as autoscaler

CORE_EVENT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "n"},
    "involvedObject": {"kind": "Pod", "name": "p", "namespace": "n"},
    "reason": "Started",
    "message": "it did",
    "type": "Normal",
    "source": {"component": "c"},
    "firstTimestamp": "2026-01-01T00:00:00Z",
    "lastTimestamp": "2026-01-01T00:01:00Z",
    "count": 2,
    "reportingComponent": "c",
    "reportingInstance": "i",
    "eventTime": None,
}
TARGET = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
METRICS: list[dict[str, Any]] = [
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
    {
        "type": "ContainerResource",
        "containerResource": {"name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 60}},
    },
    {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "1k"}}},
    {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Ingress", "name": "i", "apiVersion": "networking.k8s.io/v1"},
            "metric": {"name": "rps"},
            "target": {"type": "Value", "value": "10k"},
        },
    },
    {
        "type": "External",
        "external": {
            "metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
            "target": {"type": "AverageValue", "averageValue": "30"},
        },
    },
]


def scaler(**spec: Any) -> dict[str, Any]:
    return autoscaler.default_v2(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h", "annotations": {"mine": "x"}},
            "spec": {"scaleTargetRef": TARGET, "maxReplicas": 9, **spec},
            "status": {"desiredReplicas": 0, "currentMetrics": None},
        }
    )  # type: ignore[return-value]


def test_events_go_to_the_newer_group_and_back() -> None:
    new = event.to_new(CORE_EVENT)
    assert (new["note"], new["regarding"]["name"], new["deprecatedCount"]) == ("it did", "p", 2)
    assert "message" not in new
    assert event.to_core(new) == CORE_EVENT


def test_an_event_that_is_bare_in_the_newer_group() -> None:
    new = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z"}
    core = event.to_core(new)
    assert core["source"] == {}
    assert event.to_new(core) == {**new, "deprecatedSource": {}, "deprecatedFirstTimestamp": None, "deprecatedLastTimestamp": None}


def test_occurrences_of_events() -> None:
    assert event.times(CORE_EVENT) == 2
    assert event.times({"series": {"count": 5, "lastObservedTime": "t"}}) == 5
    assert event.last_seen({"series": {"count": 5, "lastObservedTime": "t"}}) == "t"
    assert event.first_seen({"eventTime": "t"}) == "t"


def test_metrics_travel_through_the_older_form() -> None:
    obj = scaler(metrics=METRICS, minReplicas=2)
    old = autoscaler.from_v2(obj)
    assert old["spec"]["targetCPUUtilizationPercentage"] == 50
    assert "metrics" not in old["spec"]
    back = autoscaler.to_v2(old)
    assert back["spec"] == obj["spec"]
    assert back["metadata"] == obj["metadata"]


def test_behaviour_travels_through_the_older_form() -> None:
    wanted = {"scaleUp": {"stabilizationWindowSeconds": 10}, "scaleDown": {"selectPolicy": "Min"}}
    obj = scaler(behavior=wanted)
    old = autoscaler.from_v2(obj)
    carried = json.loads(old["metadata"]["annotations"][autoscaler.BEHAVIOR_ANNOTATION])
    assert carried["ScaleUp"]["StabilizationWindowSeconds"] == 10
    assert autoscaler.to_v2(old)["spec"] == obj["spec"]


def test_an_older_autoscaler_without_a_goal_aims_at_the_usual_cpu_use() -> None:
    old = autoscaler.default_v1({"apiVersion": "autoscaling/v1", "metadata": {"name": "h"}, "spec": {"scaleTargetRef": TARGET}})
    assert old["spec"]["targetCPUUtilizationPercentage"] == autoscaler.CPU_PERCENT
    assert autoscaler.to_v2(old)["spec"]["metrics"] == autoscaler.DEFAULT_METRICS
