"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): profiles, their plugins, weights and arguments.

Taken over: profiles with schedulerName, plugins (multiPoint, filter, score, postFilter: enabled and disabled, with
`*`), pluginConfig of the plugins that take arguments, and the queue's back-off. Accepted without effect:
percentageOfNodesToScore and parallelism, for all nodes are always looked at, and what concerns kube-scheduler's own
serving, client and leader election.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.placement.pods import DEFAULT_SCHEDULER
from reconciler.scheduler import roster
from reconciler.scheduler.rules import Filter, Score

GROUP = "kubescheduler.config.k8s.io"
PREEMPTION = "DefaultPreemption"
# kube-scheduler's plugins that are no filter or score here: the queue, binding and resource claims.
OTHER_PLUGINS = frozenset(
    ("SchedulingGates", "PrioritySort", "DefaultBinder", PREEMPTION, "DynamicResources", "NodeDeclaredFeatures", "DeferredPodScheduling")
)
POINTS = ("multiPoint", "filter", "score", "postFilter")
IGNORED_POINTS = (
    "preEnqueue",
    "queueSort",
    "preFilter",
    "preScore",
    "reserve",
    "permit",
    "preBind",
    "bind",
    "postBind",
    "placementGenerate",
)


class ConfigError(ValueError):
    """The message names the field and what would be right."""


@dataclass(frozen=True, slots=True)
class Profile:
    name: str = DEFAULT_SCHEDULER
    filters: tuple[Filter, ...] = ()
    scores: tuple[tuple[Score, int], ...] = ()  # with weights
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preempts: bool = True


@dataclass(frozen=True, slots=True)
class Configuration:
    profiles: Mapping[str, Profile]  # by schedulerName
    initial_backoff_seconds: float = 1.0
    max_backoff_seconds: float = 10.0


def default_profile(name: str = DEFAULT_SCHEDULER) -> Profile:
    return Profile(name, roster.all_filters(), tuple((score, score.weight) for score in roster.all_scores()))


def default() -> Configuration:
    return Configuration({DEFAULT_SCHEDULER: default_profile()})


def parse(document: Mapping[str, Any]) -> Configuration:
    """Raises ConfigError."""
    version = str(document.get("apiVersion", ""))
    if document.get("kind") != "KubeSchedulerConfiguration" or version != f"{GROUP}/v1":
        raise ConfigError(f"expected apiVersion {GROUP}/v1 and kind KubeSchedulerConfiguration, got {version} {document.get('kind')}")
    profiles: dict[str, Profile] = {}
    for index, spec in enumerate(document.get("profiles") or [{}]):
        profile = _profile(spec, f"profiles[{index}]")
        if profile.name in profiles:
            raise ConfigError(f"profiles[{index}].schedulerName: {profile.name} names an earlier profile too")
        profiles[profile.name] = profile
    return Configuration(
        profiles,
        initial_backoff_seconds=_seconds(document, "podInitialBackoffSeconds", 1.0),
        max_backoff_seconds=_seconds(document, "podMaxBackoffSeconds", 10.0),
    )


def _seconds(document: Mapping[str, Any], name: str, usual: float) -> float:
    found = document.get(name, usual)
    if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
        raise ConfigError(f"{name}: expected a number of seconds above 0, got {found!r}")
    return float(found)


def _profile(spec: Mapping[str, Any], path: str) -> Profile:
    plugins = spec.get("plugins") or {}
    for point in plugins:
        if point not in POINTS and point not in IGNORED_POINTS:
            raise ConfigError(f"{path}.plugins.{point}: unknown extension point; known are {', '.join((*POINTS, *IGNORED_POINTS))}")
    filters = {one.name: one for one in roster.all_filters()}
    scores = {one.name: one for one in roster.all_scores()}
    known = OTHER_PLUGINS | filters.keys() | scores.keys()
    enabled_filters = _enabled(plugins, "filter", filters, known, path)
    enabled_scores = _enabled(plugins, "score", scores, known, path)
    after = _enabled(plugins, "postFilter", (PREEMPTION,), known, path)
    return Profile(
        name=spec.get("schedulerName") or DEFAULT_SCHEDULER,
        filters=tuple(filters[name] for name in enabled_filters),
        scores=tuple((scores[name], weight or scores[name].weight) for name, weight in enabled_scores.items()),
        arguments=_arguments(spec.get("pluginConfig") or (), known, path),
        preempts=PREEMPTION in after,
    )


def _enabled(plugins: Mapping[str, Any], point: str, names: Iterable[str], known: frozenset[str], path: str) -> dict[str, int]:
    """Plugins of one extension point, in order, with their weights (0: the default)."""
    usual = list(names)
    enabled: dict[str, int] = dict.fromkeys(usual, 0)
    for where in ("multiPoint", point):
        rules = plugins.get(where) or {}
        for one in rules.get("disabled") or ():
            if one.get("name") == "*":
                enabled.clear()
            else:
                _check(one, known, f"{path}.plugins.{where}.disabled")
                enabled.pop(one["name"], None)
        for one in rules.get("enabled") or ():
            _check(one, known, f"{path}.plugins.{where}.enabled")
            if one["name"] in usual:
                enabled.pop(one["name"], None)
                enabled[one["name"]] = int(one.get("weight") or 0)
    return enabled


def _check(one: Mapping[str, Any], known: frozenset[str], path: str) -> None:
    if one.get("name") not in known:
        raise ConfigError(f"{path}: unknown plugin {one.get('name')!r}; known are {', '.join(sorted(known))}")


def _arguments(configs: Iterable[Mapping[str, Any]], known: frozenset[str], path: str) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for index, one in enumerate(configs):
        _check(one, known, f"{path}.pluginConfig[{index}]")
        if one["name"] in found:
            raise ConfigError(f"{path}.pluginConfig[{index}]: {one['name']} has been configured before")
        found[one["name"]] = one.get("args") or {}
    return found
