"""The filters and scores that exist: a file each in filters/ and scores/, and those of installed packages.

A package adds its own through the entry point groups `reconciler.filters` and `reconciler.scores`, each entry
naming a Filter or a Score. They come after the built-in ones, in the order of their names.
"""

import dataclasses
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

from reconciler.scheduler import filters, rules, scores

# kube-scheduler's order: the first filter that a node fails gives the reason.
FILTER_ORDER = (
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
)


class BadPlugin(Exception):
    """An installed package offers something that is no rule, or cannot be loaded."""


@cache
def all_filters() -> tuple[rules.Filter, ...]:
    found = [importlib.import_module(f"{filters.__name__}.{module.name}").FILTER for module in pkgutil.iter_modules(filters.__path__)]
    found.sort(key=lambda one: FILTER_ORDER.index(one.name))
    return (*found, *_installed("reconciler.filters", rules.Filter))


@cache
def all_scores() -> tuple[rules.Score, ...]:
    found = [importlib.import_module(f"{scores.__name__}.{module.name}").SCORE for module in pkgutil.iter_modules(scores.__path__)]
    return (*found, *_installed("reconciler.scores", rules.Score))


def _installed(group: str, kind: type[Any]) -> list[Any]:
    """What installed packages offer in `group`. Raises BadPlugin for an entry that is no `kind` or does not load."""
    found = []
    for entry in sorted(importlib.metadata.entry_points(group=group), key=lambda entry: entry.name):
        try:
            rule = entry.load()
        except (ImportError, AttributeError) as error:
            raise BadPlugin(f"entry point {entry.name} in {group} cannot be loaded from {entry.value}: {error}") from error
        if not isinstance(rule, kind):
            raise BadPlugin(f"entry point {entry.name} in {group} is {type(rule).__name__}, expected {kind.__name__}: {entry.value}")
        found.append(_guarded(rule))
    return found


def _guarded(rule: Any) -> Any:
    """The rule, whose failures are told apart from the scheduler's own: they concern one pod and end nothing."""
    calls = {
        part.name: _guard(rule.name, call)
        for part in dataclasses.fields(rule)
        if part.name in ("check", "reject", "narrow", "rate", "normalise", "applies") and (call := getattr(rule, part.name)) is not None
    }
    return dataclasses.replace(rule, **calls)


def _guard(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(*arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:  # somebody else's code may raise anything
            raise rules.RuleFailed(f'running "{name}" plugin: {type(error).__name__}: {error}') from error

    return guarded
