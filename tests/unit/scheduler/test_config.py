"""KubeSchedulerConfiguration as kube-scheduler reads it."""

from typing import Any

import pytest

from reconciler.scheduler import config
from reconciler.scheduler import plan as decisions
from tests.unit.scheduler import world


def parse(**more: Any) -> config.Configuration:
    return config.parse({"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", **more})


def only(**more: Any) -> config.Profile:
    profiles = parse(profiles=[more]).profiles
    return next(iter(profiles.values()))


def test_defaults() -> None:
    profile = parse().profiles["default-scheduler"]
    weights = {score.name: weight for score, weight in profile.scores}
    assert weights == {
        "TaintToleration": 3,
        "NodeAffinity": 2,
        "PodTopologySpread": 2,
        "InterPodAffinity": 2,
        "NodeResourcesFit": 1,
        "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
    }
    assert profile.filters[0].name == "NodeUnschedulable"
    assert profile.preempts


def test_several_profiles_enable_disable_and_weigh() -> None:
    score = {"disabled": [{"name": "*"}], "enabled": [{"name": "ImageLocality", "weight": 7}]}
    quiet = {"schedulerName": "quiet", "plugins": {"score": score, "postFilter": {"disabled": [{"name": "DefaultPreemption"}]}}}
    configuration = parse(profiles=[{}, quiet], podInitialBackoffSeconds=2, podMaxBackoffSeconds=20)
    assert list(configuration.profiles) == ["default-scheduler", "quiet"]
    profile = configuration.profiles["quiet"]
    assert [(one.name, weight) for one, weight in profile.scores] == [("ImageLocality", 7)]
    assert not profile.preempts
    assert (configuration.initial_backoff_seconds, configuration.max_backoff_seconds) == (2.0, 20.0)


def test_multi_point() -> None:
    profile = only(plugins={"multiPoint": {"disabled": [{"name": "InterPodAffinity"}]}})
    assert "InterPodAffinity" not in [one.name for one in profile.filters]
    assert "InterPodAffinity" not in [one.name for one, _ in profile.scores]


WRONG: list[tuple[dict[str, Any], tuple[str | int, ...], str]] = [
    ({"plugins": {"score": {"enabled": [{"name": "Nope"}]}}}, ("plugins", "score", "enabled", 0, "name"), "unknown plugin 'Nope'"),
    ({"plugins": {"multiPoint": {"disabled": [{"name": "Nope"}]}}}, ("plugins", "multiPoint", "disabled", 0, "name"), "unknown plugin"),
    ({"plugins": {"scores": {}}}, ("plugins", "scores"), "Extra inputs are not permitted"),
    ({"pluginConfig": [{"name": "Nope"}]}, ("pluginConfig", 0, "name"), "unknown plugin 'Nope'"),
    ({"pluginConfig": [{"name": "NodeAffinity"}, {"name": "NodeAffinity"}]}, ("pluginConfig", 1, "name"), "configured before"),
    ({"percentageOfNodesToScore": 101}, ("percentageOfNodesToScore",), "less than or equal to 100"),
    ({"schedulerName": ""}, ("schedulerName",), "at least 1 character"),
]
ARGUMENTS: list[tuple[str, dict[str, Any], tuple[str | int, ...], str]] = [
    ("NodeResourcesFit", {"scoringStrategy": {"type": "Least"}}, ("scoringStrategy", "type"), "'LeastAllocated'"),
    ("NodeResourcesFit", {"scoringStrategy": {"type": "RequestedToCapacityRatio"}}, ("scoringStrategy",), "must be there when"),
    ("NodeResourcesFit", {"ignoredResourceGroups": ["a/b"]}, ("ignoredResourceGroups", 0), "pattern"),
    ("NodeResourcesFit", {"kind": "OtherArgs"}, ("kind",), "want NodeResourcesFitArgs"),
    ("NodeResourcesBalancedAllocation", {"resources": [{"name": "cpu", "weight": 2}]}, ("resources", 0, "weight"), "1"),
    ("InterPodAffinity", {"hardPodAffinityWeight": 101}, ("hardPodAffinityWeight",), "100"),
    ("PodTopologySpread", {"defaultConstraints": [{"maxSkew": 0}]}, ("defaultConstraints", 0, "maxSkew"), "greater than 0"),
    ("PodTopologySpread", {"defaultingType": "Some"}, ("defaultingType",), "'System'"),
    ("VolumeBinding", {"bindTimeoutSeconds": -1}, ("bindTimeoutSeconds",), "greater than or equal to 0"),
    ("DefaultPreemption", {"minCandidateNodesPercentage": 200}, ("minCandidateNodesPercentage",), "100"),
    (
        "NodeAffinity",
        {"addedAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "preference": {}}]}},
        ("addedAffinity", "preferredDuringSchedulingIgnoredDuringExecution", 0, "weight"),
        "greater than or equal to 1",
    ),
]


@pytest.mark.parametrize(("more", "path", "message"), WRONG)
def test_refusals_name_the_field(more: dict[str, Any], path: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(config.ConfigError) as refusal:
        parse(profiles=[more])
    assert refusal.value.problems[0][0] == ("profiles", 0, *path)
    assert message in refusal.value.problems[0][1]


@pytest.mark.parametrize(("name", "args", "path", "message"), ARGUMENTS)
def test_arguments_are_checked(name: str, args: dict[str, Any], path: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(config.ConfigError) as refusal:
        only(pluginConfig=[{"name": name, "args": args}])
    assert refusal.value.problems[0][0] == ("profiles", 0, "pluginConfig", 0, "args", *path)
    assert message in refusal.value.problems[0][1]


@pytest.mark.parametrize(
    "more",
    [
        {"podInitialBackoffSeconds": 0},
        {"podInitialBackoffSeconds": 20},
        {"podMaxBackoffSeconds": True},
        {"extenders": [{"urlPrefix": "http://127.0.0.1"}]},
        {"apiVersion": "kubescheduler.config.k8s.io/v1beta3"},
        {"profiles": [{}, {}]},
        {"unknown": 1},
    ],
)
def test_refusals_of_the_document(more: dict[str, Any]) -> None:
    with pytest.raises(config.ConfigError):
        parse(**more)


def test_what_has_no_meaning_here_is_accepted() -> None:
    parse(percentageOfNodesToScore=50, parallelism=8, leaderElection={"leaderElect": False}, clientConnection={"kubeconfig": "x"})


def place(profile: config.Profile, *objects: dict[str, Any], pod: dict[str, Any]) -> decisions.Decision:
    return (
        world.World([world.namespace("default"), *objects])
        .planner(profile)
        .place({**pod, "spec": {**pod["spec"], "schedulerName": profile.name}})
    )


def fit(**strategy: Any) -> config.Profile:
    score = {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit"}]}
    return only(plugins={"score": score}, pluginConfig=[{"name": "NodeResourcesFit", "args": {"scoringStrategy": strategy}}])


def test_most_allocated_packs() -> None:
    profile = fit(type="MostAllocated", resources=[{"name": "cpu", "weight": 1}])
    decision = place(
        profile, world.node("empty"), world.node("busy"), world.pod("f", {"cpu": "2"}, on="busy"), pod=world.pod("p", {"cpu": "1"})
    )
    assert isinstance(decision, decisions.Placed)
    assert decision.node == "busy"


def test_requested_to_capacity_ratio_follows_its_line() -> None:
    line = [{"utilization": 0, "score": 0}, {"utilization": 70, "score": 10}, {"utilization": 100, "score": 0}]
    profile = fit(type="RequestedToCapacityRatio", resources=[{"name": "cpu", "weight": 1}], requestedToCapacityRatio={"shape": line})
    used = {"empty": "0", "best": "2", "full": "3"}
    others = [world.pod(f"f-{name}", {"cpu": cpu}, on=name) for name, cpu in used.items()]
    decision = place(profile, *(world.node(name) for name in used), *others, pod=world.pod("p", {"cpu": "800m"}))
    assert isinstance(decision, decisions.Placed)
    assert decision.node == "best"  # (2000 + 800) / 4000 is 70 %


def test_ignored_resources() -> None:
    args = {"ignoredResources": ["example.com/a"], "ignoredResourceGroups": ["other.com"]}
    profile = only(pluginConfig=[{"name": "NodeResourcesFit", "args": args}])
    decision = place(profile, world.node("n"), pod=world.pod("p", {"example.com/a": "1", "other.com/b": "2"}))
    assert isinstance(decision, decisions.Placed)


def test_added_affinity() -> None:
    required = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["x"]}]}]}
    args = {"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    profile = only(pluginConfig=[{"name": "NodeAffinity", "args": args}])
    decision = place(profile, world.node("a"), world.node("b", labels={"pool": "x"}), pod=world.pod("p"))
    assert isinstance(decision, decisions.Placed)
    assert decision.node == "b"
    refused = place(profile, world.node("a"), pod=world.pod("p"))
    assert isinstance(refused, decisions.Refused)
    assert "1 node(s) didn't match scheduler-enforced node affinity" in refused.message


def test_default_constraints() -> None:
    constraint = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    args = {"defaultingType": "List", "defaultConstraints": [constraint]}
    profile = only(pluginConfig=[{"name": "PodTopologySpread", "args": args}])
    service = {"kind": "Service", "metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "x"}}}
    nodes = (world.node("a", cpu="8", labels={"zone": "a"}), world.node("b", cpu="1", labels={"zone": "b"}))
    other = world.pod("f", on="a", labels={"app": "x"})
    decision = place(profile, *nodes, other, service, pod=world.pod("p", labels={"app": "x"}))
    assert isinstance(decision, decisions.Placed)
    assert decision.node == "b"


def test_how_long_volumes_may_take() -> None:
    assert only().volumes_seconds == 600
    assert only(pluginConfig=[{"name": "VolumeBinding", "args": {"bindTimeoutSeconds": 5}}]).volumes_seconds == 5
