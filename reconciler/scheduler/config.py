"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): profiles, their plugins, weights and arguments.

What the document may hold stands in document.py; here is what it means: profiles with schedulerName, plugins
(multiPoint, filter, score, postFilter: enabled and disabled, with `*`), pluginConfig, and the queue's back-off.
Without effect are percentageOfNodesToScore and parallelism, for all nodes are always looked at, and what concerns
kube-scheduler's own serving, client and leader election.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pydantic

from reconciler.placement.pods import DEFAULT_SCHEDULER
from reconciler.scheduler import document as documents
from reconciler.scheduler import roster
from reconciler.scheduler.rules import Filter, Score

PREEMPTION = "DefaultPreemption"
VOLUMES = "VolumeBinding"
VOLUMES_SECONDS = 600.0  # without a bindTimeoutSeconds
# kube-scheduler's plugins that are no filter or score here: the queue, binding and resource claims.
OTHER_PLUGINS = frozenset(
    ("SchedulingGates", "PrioritySort", "DefaultBinder", PREEMPTION, "DynamicResources", "NodeDeclaredFeatures", "DeferredPodScheduling")
)
EVERY = "*"  # in `disabled`

Path = tuple[str | int, ...]
M = TypeVar("M", bound=documents.Model)


class ConfigError(ValueError):
    """What is wrong, each problem with the path of its field."""

    def __init__(self, problems: Sequence[tuple[Path, str]]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, path))}: {message}" for path, message in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Profile:
    name: str = DEFAULT_SCHEDULER
    filters: tuple[Filter, ...] = ()
    scores: tuple[tuple[Score, int], ...] = ()  # with weights
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preempts: bool = True

    @property
    def volumes_seconds(self) -> float:
        """How long the volumes of a pod may take to be bound."""
        return float(self.arguments.get(VOLUMES, {}).get("bindTimeoutSeconds", VOLUMES_SECONDS))


@dataclass(frozen=True, slots=True)
class Configuration:
    profiles: Mapping[str, Profile]  # by schedulerName
    initial_backoff_seconds: float = 1.0
    max_backoff_seconds: float = 10.0


def default_profile(name: str = DEFAULT_SCHEDULER) -> Profile:
    return Profile(name, roster.all_filters(), tuple((score, score.weight) for score in roster.all_scores()))


def default() -> Configuration:
    return Configuration({DEFAULT_SCHEDULER: default_profile()})


def parse(body: Mapping[str, Any]) -> Configuration:
    """What a KubeSchedulerConfiguration means. Raises ConfigError."""
    document = _checked(documents.Document, body, ())
    profiles: dict[str, Profile] = {}
    for index, one in enumerate(document.profiles or [documents.Profile()]):
        profile = _profile(one, ("profiles", index))
        if profile.name in profiles:
            raise ConfigError([(("profiles", index, "schedulerName"), f"{profile.name} names an earlier profile too")])
        profiles[profile.name] = profile
    return Configuration(profiles, float(document.pod_initial_backoff_seconds), float(document.pod_max_backoff_seconds))


def _checked(model: type[M], body: Mapping[str, Any], path: Path) -> M:
    try:
        return model.model_validate(body)
    except pydantic.ValidationError as error:
        raise ConfigError([((*path, *item["loc"]), item["msg"].removeprefix("Value error, ")) for item in error.errors()]) from error


def _profile(spec: documents.Profile, path: Path) -> Profile:
    filters = {one.name: one for one in roster.all_filters()}
    scores = {one.name: one for one in roster.all_scores()}
    known = OTHER_PLUGINS | filters.keys() | scores.keys()
    _check_names(spec.plugins, known, (*path, "plugins"))
    every, points = spec.plugins.multi_point, spec.plugins
    weights = _enabled(scores, every, points.score)
    return Profile(
        name=spec.scheduler_name,
        filters=tuple(filters[name] for name in _enabled(filters, every, points.filter)),
        scores=tuple((scores[name], weight or scores[name].weight) for name, weight in weights.items()),
        arguments=_arguments(spec.plugin_config, known, (*path, "pluginConfig")),
        preempts=PREEMPTION in _enabled((PREEMPTION,), every, points.post_filter),
    )


def _enabled(names: Iterable[str], *sets: documents.PluginSet) -> dict[str, int]:
    """Which plugins of one extension point are on, in order, with their weights (0: the default)."""
    usual = list(names)
    enabled: dict[str, int] = dict.fromkeys(usual, 0)
    for one in sets:
        for plugin in one.disabled:
            if plugin.name == EVERY:
                enabled.clear()
            else:
                enabled.pop(plugin.name, None)
        for plugin in one.enabled:
            if plugin.name in usual:
                enabled.pop(plugin.name, None)
                enabled[plugin.name] = plugin.weight
    return enabled


def _check_names(plugins: documents.Plugins, known: frozenset[str], path: Path) -> None:
    for point, info in type(plugins).model_fields.items():
        chosen: documents.PluginSet = getattr(plugins, point)
        for where, some in (("enabled", chosen.enabled), ("disabled", chosen.disabled)):
            for index, plugin in enumerate(some):
                if where == "enabled" or plugin.name != EVERY:
                    _check_name(plugin.name, known, (*path, str(info.alias), where, index, "name"))


def _check_name(name: str, known: frozenset[str], path: Path) -> None:
    if name not in known:
        raise ConfigError([(path, f"unknown plugin {name!r}; known are {', '.join(sorted(known))}")])


def _arguments(configs: Sequence[documents.PluginConfig], known: frozenset[str], path: Path) -> dict[str, Mapping[str, Any]]:
    """By plugin, as they were written: rules read them in their wire form."""
    found: dict[str, Mapping[str, Any]] = {}
    for index, one in enumerate(configs):
        _check_name(one.name, known, (*path, index, "name"))
        if one.name in found:
            raise ConfigError([((*path, index, "name"), f"{one.name} has been configured before")])
        if one.name in documents.ARGUMENTS:
            checked = _checked(documents.ARGUMENTS[one.name], one.args, (*path, index, "args"))
            if checked.kind not in ("", f"{one.name}Args"):
                raise ConfigError([((*path, index, "args", "kind"), f"want {one.name}Args")])
        found[one.name] = one.args
    return found
