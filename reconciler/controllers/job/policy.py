"""What the failure of a pod and the success of an index mean for their Job (podFailurePolicy, successPolicy)."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from reconciler.controllers.job import indexes
from reconciler.kinds import pod
from reconciler.model import meta

Action = Literal["FailJob", "FailIndex", "Ignore", "Count"]


class Match(NamedTuple):
    action: Action
    message: str  # of FailJob


COUNT = Match("Count", "")


def of_failure(job: meta.Obj, one: meta.Obj) -> Match:
    """The first rule of podFailurePolicy that a failed pod matches; without one the failure counts."""
    rules = (meta.spec(job).get("podFailurePolicy") or meta.EMPTY).get("rules") or ()
    if pod.phase(one) != "Failed":
        return COUNT
    name = f"{meta.namespace(one)}/{meta.name(one)}"
    for number, rule in enumerate(rules):
        action = rule["action"]
        if wanted := rule.get("onExitCodes"):
            if (found := _exited(wanted, one)) is not None:
                container, code = found
                message = f"Container {container} for pod {name} failed with exit code {code} matching {action} rule at index {number}"
                return Match(action, message)
        elif (condition := _conditioned(rule.get("onPodConditions") or (), one)) is not None:
            return Match(action, f"Pod {name} has condition {condition} matching {action} rule at index {number}")
    return COUNT


def success(job: meta.Obj, succeeded: set[int]) -> str:
    """The message of the rule of successPolicy that `succeeded` fulfils, "" for none."""
    for number, rule in enumerate((meta.spec(job).get("successPolicy") or meta.EMPTY).get("rules") or ()):
        asked = indexes.parsed(rule["succeededIndexes"]) if rule.get("succeededIndexes") else None
        have = len(succeeded if asked is None else succeeded & asked)
        need = rule.get("succeededCount") or (len(asked) if asked is not None else 0)
        if need and have >= need:
            return f"Matched rules at index {number}"
    return ""


def _exited(wanted: Mapping[str, Any], one: meta.Obj) -> tuple[str, int] | None:
    """(container, exit code) of a container that ended as the rule says."""
    for field in ("containerStatuses", "initContainerStatuses"):
        for status in meta.status(one).get(field) or ():
            ended = (status.get("state") or meta.EMPTY).get("terminated")
            if ended is None or wanted.get("containerName") not in (None, status["name"]):
                continue
            code = int(ended.get("exitCode") or 0)
            if code and (code in wanted["values"]) == (wanted["operator"] == "In"):
                return str(status["name"]), code
    return None


def _conditioned(wanted: Iterable[Mapping[str, Any]], one: meta.Obj) -> str | None:
    for pattern in wanted:
        found = pod.condition(one, pattern["type"])
        if found is not None and found.get("status") == pattern.get("status", "True"):
            return str(pattern["type"])
    return None
