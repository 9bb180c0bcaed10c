"""Whether an object is as it should be: by its kind's record, by a Sync's own rules, or by its conditions.

Custom resources say it in conditions, as kstatus reads them: a controller that has not seen the last generation is
still at work, Stalled or Failed being True will not pass by itself, Ready, Available or Succeeded not being True may.
Pure.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from reconciler.gitops import sync
from reconciler.model import conditions, meta
from reconciler.model.cel import program, types
from reconciler.model.cel.check import Environment
from reconciler.model.cel.errors import Failed, Refused
from reconciler.model.cel.kubernetes import FUNCTIONS
from reconciler.model.cel.program import Program
from reconciler.model.kind import Health, Kind

MISSING = "Missing"
_BAD = ("Stalled", "Failed")
_GOOD = ("Ready", "Available", "Established", "Succeeded", "Complete")


def of(kind: Kind, obj: meta.Obj, rules: Sequence[sync.HealthRule] = ()) -> Health:
    for rule in rules:
        if (rule.api_version, rule.kind) == (obj.get("apiVersion"), obj.get("kind")):
            return _by_rule(rule, obj)
    return _by_conditions(obj) if kind.custom else kind.health(obj)


def problems(rules: Sequence[sync.HealthRule]) -> list[str]:
    """What is wrong with the expressions of rules, each with its field."""
    found = []
    for number, rule in enumerate(rules):
        for field, text in (("healthy", rule.healthy), ("degraded", rule.degraded)):
            problem = _compiled(text)[1] if text else ""
            if problem:
                found.append(f"spec.health[{number}].{field}: {problem}")
    return found


def _by_rule(rule: sync.HealthRule, obj: meta.Obj) -> Health:
    if rule.degraded and _holds(rule.degraded, obj):
        return Health("Degraded", f"{rule.degraded} holds")
    return Health("Healthy") if _holds(rule.healthy, obj) else Health("Progressing", f"{rule.healthy} does not hold yet")


def _holds(text: str, obj: meta.Obj) -> bool:
    """An expression that fails, as on a field that is not there yet, does not hold."""
    compiled, _ = _compiled(text)
    try:
        return compiled is not None and compiled.evaluate({"object": obj}) is True
    except Failed:
        return False


@lru_cache(maxsize=256)
def _compiled(text: str) -> tuple[Program | None, str]:
    try:
        return program.compile(text, Environment({"object": types.DYN}, FUNCTIONS)), ""
    except Refused as error:
        return None, str(error)


def _by_conditions(obj: meta.Obj) -> Health:
    status: Mapping[str, Any] = meta.status(obj)
    seen = status.get("observedGeneration")
    if isinstance(seen, int) and seen < meta.generation(obj):
        return Health("Progressing", "its controller has not seen the last change")
    for name in _BAD:
        bad = conditions.find(status.get("conditions") or (), name)
        if bad is not None and bad.get("status") == "True":
            return Health("Degraded", str(bad.get("message") or bad.get("reason") or name))
    for name in _GOOD:
        good = conditions.find(status.get("conditions") or (), name)
        if good is not None and good.get("status") != "True":
            return Health("Progressing", str(good.get("message") or good.get("reason") or f"not {name} yet"))
    return Health("Healthy")
