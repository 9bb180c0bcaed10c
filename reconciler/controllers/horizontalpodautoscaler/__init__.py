"""HorizontalPodAutoscalers: the size of a workload follows metrics.

Upstream: pkg/controller/podautoscaler. Each period the planner first asks for measurements, then decides on them once:
metrics.py says what each metric calls for, limits.py how far that may be followed. `of` is given the memories that
whoever measures keeps (measures.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from reconciler.controllers import Facts
from reconciler.controllers.horizontalpodautoscaler import limits, metrics
from reconciler.controllers.measures import Answer, Measure, Memories, Memory, Query, Remember
from reconciler.kinds import horizontalpodautoscaler as autoscalers
from reconciler.kit import clock as clocks
from reconciler.model import conditions, errors, meta, plan, selectors
from reconciler.model import scale as scales
from reconciler.model.kind import Kind
from reconciler.model.view import NAMESPACE, View

NAME = "horizontal-pod-autoscaler-controller"
AUTOSCALERS = "horizontalpodautoscalers.autoscaling"
PODS = "pods"
PERIOD_SECONDS = 15.0
GOT_SCALE = ("True", "SucceededGetScale", "the HPA controller was able to get the target's current scale")
NO_SCALE = "the HPA controller was unable to get the target's current scale: {}"
UNKNOWN = "the HPA was unable to compute the replica count: {}"
DISABLED = ("False", "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")


class NoTarget(Exception):
    """What is to be scaled cannot be; the message is upstream's."""


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        return _planned(view, key, now, facts.autoscaling)

    return (plan.Controller(name=NAME, kind=AUTOSCALERS, plan=planned, reads=frozenset({plan.EVERY_KIND})),)


def _planned(view: View, key: meta.Key, now: float, memories: Memories) -> plan.Plan:
    autoscaler, memory = view.get(AUTOSCALERS, *key), memories.get(key)
    if autoscaler is None:
        return plan.plan_of([Remember(key, None, "the autoscaler is gone")] if memory is not None else [])
    if meta.is_deleting(autoscaler):
        return plan.NOTHING
    memory = memory or Memory()
    measured = memory.measured
    first_at = clocks.parse_rfc3339(str(meta.meta(autoscaler)["creationTimestamp"])) + PERIOD_SECONDS
    if now < first_at and not meta.status(autoscaler).get("conditions"):
        return plan.plan_of(again_at=first_at, waiting_on=[plan.Waiting("its first period to pass")])
    if measured is None or measured.generation != meta.generation(autoscaler) or measured.at + PERIOD_SECONDS <= now:
        queries = _queries(view, autoscaler)
        return plan.plan_of([Measure(key, meta.generation(autoscaler), queries)], again_at=now + PERIOD_SECONDS)
    again_at = measured.at + PERIOD_SECONDS
    if memory.is_decided:
        return plan.plan_of(again_at=again_at, waiting_on=[plan.Waiting("the next measurement")])
    return replace(_Decision(view, autoscaler, memory, measured.answers, now).decide(), again_at=again_at)


def _queries(view: View, autoscaler: meta.Obj) -> frozenset[Query]:
    try:
        _, scale = _target(view, autoscaler)
    except NoTarget:
        return frozenset()
    return frozenset(metrics.query(one, meta.namespace(autoscaler), scale.selector) for one in meta.spec(autoscaler).get("metrics") or ())


def _target(view: View, autoscaler: meta.Obj) -> tuple[Kind, scales.Scale]:
    """The kind of what is scaled, and its scale."""
    wanted = autoscalers.target(autoscaler)
    kind = view.roster.of_object(str(wanted.get("apiVersion") or "v1"), str(wanted.get("kind", "")))
    if kind is None:
        group = str(wanted.get("apiVersion", "")).rpartition("/")[0]
        raise NoTarget(f'no matches for kind "{wanted.get("kind", "")}" in group "{group}"')
    subresource = kind.subresource("scale")
    name = str(wanted.get("name", ""))
    if subresource is None:
        raise NoTarget("the server could not find the requested resource")
    obj = view.get(kind.id, meta.namespace(autoscaler), name)
    if obj is None:
        raise NoTarget(f'{kind.id} "{name}" not found')
    return kind, scales.of(obj, subresource)


class _Decision:
    """What to do for one autoscaler about one measurement. Conditions and events gather in the order of upstream's."""

    def __init__(self, view: View, autoscaler: meta.Obj, memory: Memory, answers: Mapping[Query, Answer], now: float) -> None:
        self.view, self.autoscaler, self.memory, self.answers, self.now = view, autoscaler, memory, answers, now
        self.conditions: Sequence[conditions.Condition] = meta.status(autoscaler).get("conditions") or ()
        self.emits: list[plan.Action] = []
        self.shown: Sequence[Any] | None = None

    def decide(self) -> plan.Plan:
        self.memory = replace(self.memory, is_decided=True)
        try:
            kind, scale = _target(self.view, self.autoscaler)
        except NoTarget as error:
            self._emit("FailedGetScale", str(error))
            self._condition("AbleToScale", "False", "FailedGetScale", NO_SCALE.format(error))
            return self._done([], {})
        self._condition("AbleToScale", *GOT_SCALE)
        current = scale.wanted
        if not self.memory.recommendations:
            self.memory = replace(self.memory, recommendations=((self.now, current),))
        desired, why = self._desired(scale)
        if desired is None:
            return self._done([], {"currentReplicas": current})
        if why and desired != current:
            return self._rescaled(kind, current, desired, why)
        return self._done([], {"currentReplicas": current, "desiredReplicas": current})

    def _desired(self, scale: scales.Scale) -> tuple[int | None, str]:
        """The size to have and why; None where that cannot be said."""
        least, most = autoscalers.min_replicas(self.autoscaler), autoscalers.max_replicas(self.autoscaler)
        if scale.wanted == 0 and least != 0:
            self._condition("ScalingActive", *DISABLED)
            return 0, ""
        if scale.wanted > most:
            return most, "Current number of replicas above Spec.MaxReplicas"
        if scale.wanted < least:
            return least, "Current number of replicas below Spec.MinReplicas"
        best = self._by_metrics(scale)
        if best is None:
            return None, ""
        name, proposed = best
        bounded = limits.limited(self.autoscaler, self.memory, scale.wanted, proposed, self.now)
        recommendations = limits.remembered(self.autoscaler, self.memory, proposed, self.now)
        self.memory = replace(self.memory, recommendations=recommendations)
        self._condition("AbleToScale", "True", *bounded.able)
        self._condition("ScalingLimited", "True" if bounded.is_limited else "False", *bounded.limiting)
        return bounded.replicas, f"{name} above target" if proposed > scale.wanted else "All metrics below target"

    def _by_metrics(self, scale: scales.Scale) -> tuple[str, int] | None:
        """The metric that calls for the most replicas, and how many; None if too few of them are known."""
        pods = self._pods(scale)
        if pods is None:
            return None
        around = metrics.Around(meta.namespace(self.autoscaler), scale, pods, self.answers, metrics.tolerance(self.autoscaler), self.now)
        specs = meta.spec(self.autoscaler).get("metrics") or ()
        found = [metrics.evaluate(one, around) for one in specs]
        self.shown = [one.status or {"type": ""} for one in found]
        failed = [one for one in found if one.proposal is None]
        for one in failed:
            self._emit(one.reason, one.error)
        best: tuple[str, int] | None = None
        for one in found:
            if one.proposal is not None and (best is None or best[1] == 0 or one.proposal.replicas > best[1]):
                best = (one.name, one.proposal.replicas)
        summary = f"invalid metrics ({len(failed)} invalid out of {len(specs)}), first error is: {failed[0].wrapped}" if failed else ""
        if best is None or (failed and best[1] < scale.wanted):
            self._condition(
                "ScalingActive", "False", failed[0].reason, f"the HPA was unable to compute the replica count: {failed[0].error}"
            )
            self._emit("FailedComputeMetricsReplicas", summary)
            return None
        text = f"the HPA was able to successfully calculate a replica count from {best[0]}"
        self._condition("ScalingActive", "True", "ValidMetricFound", text)
        return best

    def _pods(self, scale: scales.Scale) -> Sequence[meta.Obj] | None:
        """The pods that the target's selector matches; None if they are not this autoscaler's alone."""
        namespace = meta.namespace(self.autoscaler)
        if not scale.selector:
            self._emit("SelectorRequired", "selector is required")
            self._condition("ScalingActive", "False", "InvalidSelector", "the HPA target's scale is missing a selector")
            self._emit("FailedComputeMetricsReplicas", "selector is required")
            return None
        pods = self.view.select(PODS, namespace, selectors.parse(scale.selector))
        rivals = self._rivals(pods)
        if rivals:
            listed = " ".join(sorted([f"{namespace}/{meta.name(self.autoscaler)}", *rivals]))
            message = f"pods by selector {scale.selector} are controlled by multiple HPAs: [{listed}]"
            self._emit("AmbiguousSelector", message)
            self._condition("ScalingActive", "False", "AmbiguousSelector", message)
            self._emit("FailedComputeMetricsReplicas", message)
            return None
        return pods

    def _rivals(self, pods: Sequence[meta.Obj]) -> list[str]:
        """Other autoscalers whose targets select some of the pods."""
        namespace, found = meta.namespace(self.autoscaler), []
        for other in self.view.by(AUTOSCALERS, NAMESPACE, namespace):
            if meta.uid(other) == meta.uid(self.autoscaler):
                continue
            try:
                _, scale = _target(self.view, other)
            except NoTarget:
                continue
            selector = selectors.parse(scale.selector) if scale.selector else selectors.NOTHING
            if any(selector.matches(meta.labels(one)) for one in pods):
                found.append(f"{namespace}/{meta.name(other)}")
        return found

    def _rescaled(self, kind: Kind, current: int, desired: int, why: str) -> plan.Plan:
        name, namespace = str(autoscalers.target(self.autoscaler)["name"]), meta.namespace(self.autoscaler)
        text = f"New size: {desired}; reason: {why}"
        if desired > current:
            done = limits.scaled(self.autoscaler, self.memory.scaled_up, "scaleUp", desired - current, self.now)
            self.memory = replace(self.memory, scaled_up=done)
        else:
            done = limits.scaled(self.autoscaler, self.memory.scaled_down, "scaleDown", current - desired, self.now)
            self.memory = replace(self.memory, scaled_down=done)

        def refused(error: errors.StatusError) -> Iterable[plan.Action]:
            failed = f"the HPA controller was unable to update the target scale: {error.message}"
            yield self._event("FailedRescale", f"{text}; error: {error.message}", "Warning")
            self._condition("AbleToScale", "False", "FailedUpdateScale", failed)
            yield from self._status({"currentReplicas": current})

        write = plan.Patch(
            kind=kind.id,
            namespace=namespace,
            name=name,
            type="merge",
            patch={"spec": {"replicas": desired}},
            why=why,
            subresource="scale",
            announce=self._event("SuccessfulRescale", text, "Normal"),
            refused=refused,
        )
        message = f"the HPA controller was able to update the target scale to {desired}"
        self._condition("AbleToScale", "True", "SucceededRescale", message)
        sizes = {"currentReplicas": current, "desiredReplicas": desired, "lastScaleTime": clocks.rfc3339(self.now)}
        return self._done([write], sizes)

    def _done(self, writes: Sequence[plan.Action], status: Mapping[str, Any]) -> plan.Plan:
        remember = Remember(meta.key(self.autoscaler), self.memory)
        return plan.plan_of(writes, [remember], self._status(status), self.emits, waiting_on=[plan.Waiting("the next measurement")])

    def _status(self, changed: Mapping[str, Any]) -> list[plan.Action]:
        before = meta.status(self.autoscaler)
        shown = {"currentMetrics": list(self.shown)} if self.shown is not None else {}
        status = {"desiredReplicas": 0, **before, **shown, **changed, "conditions": list(self.conditions)}
        if status == before:
            return []
        body = meta.put(self.autoscaler, ("status",), status)
        return [plan.Update(kind=AUTOSCALERS, body=body, subresource="status", why="it was looked at")]

    def _condition(self, type: str, status: str, reason: str, message: str) -> None:
        self.conditions = conditions.updated(self.conditions, conditions.made(type, status, reason, message, self.now))

    def _emit(self, reason: str, message: str) -> None:
        self.emits.append(self._event(reason, message, "Warning"))

    def _event(self, reason: str, message: str, type: Literal["Normal", "Warning"]) -> plan.Emit:
        return plan.Emit(regarding=self.autoscaler, reason=reason, message=message, type=type, component="horizontal-pod-autoscaler")
