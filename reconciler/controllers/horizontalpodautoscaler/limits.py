"""How far and how fast a size may change: stabilisation, rate policies, and the bounds of the autoscaler.

Upstream: normalizeDesiredReplicas and normalizeDesiredReplicasWithBehaviors in horizontal.go. What was recommended and
done before comes from the autoscaler's memory.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.controllers.measures import Memory, Moments
from reconciler.kinds import horizontalpodautoscaler as autoscalers
from reconciler.model import meta

DOWNSCALE_SECONDS = 300  # --horizontal-pod-autoscaler-downscale-stabilization
UPSCALE_FACTOR, UPSCALE_LEAST = 2, 4

Reason = tuple[str, str]

STABLE: Reason = ("ReadyForNewScale", "recommended size matches current size")
UP_STABILIZED: Reason = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
DOWN_STABILIZED: Reason = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
WITHIN: Reason = ("DesiredWithinRange", "the desired count is within the acceptable range")
UP_LIMIT: Reason = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
DOWN_LIMIT: Reason = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
TOO_MANY: Reason = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
TOO_FEW: Reason = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")


@dataclass(frozen=True, slots=True)
class Limited:
    replicas: int
    able: Reason  # of AbleToScale
    limiting: Reason  # of ScalingLimited
    is_limited: bool


def limited(autoscaler: meta.Obj, memory: Memory, current: int, desired: int, now: float) -> Limited:
    """`desired` as far as it may be followed now."""
    behavior = meta.spec(autoscaler).get("behavior")
    stabilized, why = _stabilized(behavior, memory, current, desired, now)
    able = why if stabilized != desired else STABLE
    if behavior is None:
        replicas, limiting = _bounded(autoscaler, current, stabilized)
    else:
        replicas, limiting = _rated(autoscaler, behavior, memory, current, stabilized, now)
    return Limited(replicas, able, limiting, replicas != stabilized)


def remembered(autoscaler: meta.Obj, memory: Memory, desired: int, now: float) -> Moments:
    """Recommendations with the new one, without those that no window reaches back to."""
    behavior = meta.spec(autoscaler).get("behavior")
    window = DOWNSCALE_SECONDS if behavior is None else max(_window(behavior, "scaleUp"), _window(behavior, "scaleDown"))
    return (*_since(memory.recommendations, now - window), (now, desired))


def scaled(autoscaler: meta.Obj, moments: Moments, direction: str, change: int, now: float) -> Moments:
    """What was done in one direction, with `change`, as long as a policy may ask for it."""
    behavior = meta.spec(autoscaler).get("behavior")
    if behavior is None:
        return ()
    longest = max((int(policy["periodSeconds"]) for policy in behavior[direction].get("policies") or ()), default=0)
    return (*_since(moments, now - longest), (now, change))


def _stabilized(behavior: Mapping[str, Any] | None, memory: Memory, current: int, desired: int, now: float) -> tuple[int, Reason]:
    if behavior is None:
        recent = [count for at, count in memory.recommendations if at >= now - DOWNSCALE_SECONDS]
        return max([desired, *recent]), DOWN_STABILIZED
    if desired >= current:
        recent = [count for at, count in memory.recommendations if at > now - _window(behavior, "scaleUp")]
        return min([desired, *recent]), UP_STABILIZED
    recent = [count for at, count in memory.recommendations if at > now - _window(behavior, "scaleDown")]
    return max([desired, *recent]), DOWN_STABILIZED


def _bounded(autoscaler: meta.Obj, current: int, desired: int) -> tuple[int, Reason]:
    least, most = autoscalers.min_replicas(autoscaler), autoscalers.max_replicas(autoscaler)
    rate = max(UPSCALE_FACTOR * current, UPSCALE_LEAST)
    if desired < least:
        return least, TOO_FEW
    if desired > min(most, rate):
        return (rate, UP_LIMIT) if most > rate else (most, TOO_MANY)
    return desired, WITHIN


def _rated(autoscaler: meta.Obj, behavior: Mapping[str, Any], memory: Memory, current: int, desired: int, now: float) -> tuple[int, Reason]:
    if desired > current:
        most = autoscalers.max_replicas(autoscaler)
        rate = max(current, _up_limit(behavior["scaleUp"], memory.scaled_up, current, now))
        if desired > min(most, rate):
            return (rate, UP_LIMIT) if most > rate else (most, TOO_MANY)
    elif desired < current:
        least = autoscalers.min_replicas(autoscaler)
        rate = min(current, _down_limit(behavior["scaleDown"], memory.scaled_down, current, now))
        if desired < max(least, rate):
            return (rate, DOWN_LIMIT) if least < rate else (least, TOO_FEW)
    return desired, WITHIN


def _up_limit(rules: Mapping[str, Any], done: Moments, current: int, now: float) -> int:
    if rules.get("selectPolicy") == "Disabled":
        return current
    allowed = []
    for policy in rules.get("policies") or ():
        start = current - _changed(done, policy, now)
        grown = start + policy["value"] if policy["type"] == "Pods" else math.ceil(start * (1 + policy["value"] / 100))
        allowed.append(int(grown))
    return (min if rules.get("selectPolicy") == "Min" else max)(allowed, default=0)


def _down_limit(rules: Mapping[str, Any], done: Moments, current: int, now: float) -> int:
    if rules.get("selectPolicy") == "Disabled":
        return current
    allowed = []
    for policy in rules.get("policies") or ():
        start = current + _changed(done, policy, now)
        left = start - policy["value"] if policy["type"] == "Pods" else start * (1 - policy["value"] / 100)
        allowed.append(int(left))
    return (max if rules.get("selectPolicy") == "Min" else min)(allowed, default=current)


def _changed(done: Moments, policy: Mapping[str, Any], now: float) -> int:
    return sum(change for at, change in done if at > now - policy["periodSeconds"])


def _window(behavior: Mapping[str, Any], direction: str) -> int:
    usual = DOWNSCALE_SECONDS if direction == "scaleDown" else 0
    seconds = (behavior.get(direction) or meta.EMPTY).get("stabilizationWindowSeconds")
    return usual if seconds is None else int(seconds)


def _since(moments: Moments, earliest: float) -> Moments:
    return tuple(moment for moment in moments if moment[0] >= earliest)
