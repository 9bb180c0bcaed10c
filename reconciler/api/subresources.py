"""Subresources whose bodies are of another kind than their parent: scale, binding, eviction.

`status` and other subresources with the parent's own shape go the way of objects (objects.py). Each function here
turns a body into a change of the parent and the answer to the caller.
"""

from dataclasses import replace
from typing import Any

from reconciler.api.cache import Item
from reconciler.api.calls import Call, DeleteOptions
from reconciler.api.objects import MODIFIED, Done, Objects
from reconciler.api.patching import Patch, plainly_patched
from reconciler.kit import clock
from reconciler.model import errors, meta, selectors

SUCCESS: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
BUDGETS = "poddisruptionbudgets.policy"
BUDGET_RETRY_SECONDS = 10
DISRUPTIONS_MOST = 2000  # pods noted in a budget as being disrupted
MANY_BUDGETS = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


class Subresources:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def get(self, call: Call) -> dict[str, Any]:
        """GET of a scale."""
        self._require(call, "scale")
        await self._objects.cache.fresh()
        item = self._objects.cache.get(call.kind.storage_id, call.namespace, call.name)
        if item is None:
            raise call.not_found()
        return scale_of(call, item.obj)

    async def update(self, call: Call, body: meta.Obj) -> Done:
        """PUT of a scale."""
        self._require(call, "scale")
        replicas = _replicas(call, body)
        wanted, uid = meta.resource_version(body), meta.uid(body)

        def scaled(current: meta.Obj) -> meta.Obj:
            if (wanted and wanted != meta.resource_version(current)) or (uid and uid != meta.uid(current)):
                raise call.conflict(MODIFIED)
            return self._scaled(call, current, replicas)

        return _as_scale(call, await self._objects.change(call, scaled))

    async def patch(self, call: Call, patch: Patch) -> Done:
        """PATCH of a scale, of any type."""
        self._require(call, "scale")

        def scaled(current: meta.Obj) -> meta.Obj:
            return self._scaled(call, current, _replicas(call, plainly_patched(patch, scale_of(call, current))))

        return _as_scale(call, await self._objects.change(call, scaled))

    async def create(self, call: Call, body: meta.Obj) -> tuple[Done, dict[str, Any]]:
        """POST: (what happened to the parent, the answer)."""
        if call.kind.id == "pods" and call.subresource == "binding":
            return await self._bind(call, body), SUCCESS
        if call.kind.id == "pods" and call.subresource == "eviction":
            return await self._evict(call, body), SUCCESS
        raise errors.StatusError(404, "NotFound", "the server could not find the requested resource", details={})

    async def _bind(self, call: Call, body: meta.Obj) -> Done:
        target = body.get("target") or {}
        node, uid = target.get("name", ""), meta.uid(body)
        refused = []
        if target.get("kind", "") not in ("", "Node"):
            refused.append(errors.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
        if not node:
            refused.append(errors.required("target.name"))
        if refused:
            raise errors.invalid_object("Binding", "", call.name, refused)
        now = clock.rfc3339(self._objects.time.now())

        def bound(pod: meta.Obj) -> meta.Obj:
            return _bound(call, pod, node, uid, meta.annotations(body), now)

        return await self._objects.change(call, bound)

    async def _evict(self, call: Call, body: meta.Obj) -> Done:
        await self._objects.cache.fresh()
        pod = self._objects.cache.get("pods", call.namespace, call.name)
        if pod is None:
            raise call.not_found()
        if not _is_over(pod.obj) and not meta.is_deleting(pod.obj):
            await self._spend_budget(call, pod)
        sent = body.get("deleteOptions") or {}
        preconditions = sent.get("preconditions") or {}
        options = DeleteOptions(
            grace_seconds=sent.get("gracePeriodSeconds"),
            propagation=sent.get("propagationPolicy"),
            uid=preconditions.get("uid", ""),
            resource_version=preconditions.get("resourceVersion", ""),
        )
        return await self._objects.delete(replace(call, subresource=""), options)

    async def _spend_budget(self, call: Call, pod: Item) -> None:
        """Take one disruption from the budget that covers the pod. Raises StatusError 429 when there is none left."""
        kind = self._objects.decoder.roster.get(BUDGETS)
        budgets = [
            item.obj
            for _, item in self._objects.cache.shelf(BUDGETS).in_order(call.namespace)
            if selectors.from_label_selector(meta.spec(item.obj).get("selector")).matches(meta.labels(pod.obj))
        ]
        if kind is None or not budgets:
            return
        if len(budgets) > 1:
            raise errors.StatusError(500, "InternalError", MANY_BUDGETS)
        name = meta.name(budgets[0])
        now = clock.rfc3339(self._objects.time.now())
        spending = replace(call, kind=kind, version=kind.hub_version, name=name, subresource="status")
        await self._objects.change(spending, lambda budget: _spent(budget, call.name, now))

    def _scaled(self, call: Call, current: meta.Obj, replicas: int) -> meta.Obj:
        """The parent with another number of replicas, owned by the caller as every write is."""
        changed = meta.put(call.shown(current), ("spec", "replicas"), replicas)
        owned = self._objects.owners.updated(call, changed, current, clock.rfc3339(self._objects.time.now()))
        obj = call.version.to_hub(owned)
        before = meta.spec(current).get("replicas", 0)
        return obj if before == replicas else meta.put(obj, ("metadata", "generation"), meta.generation(current) + 1)

    def _require(self, call: Call, name: str) -> None:
        if call.subresource != name or call.kind.subresource(name) is None:
            raise errors.StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def scale_of(call: Call, obj: meta.Obj) -> dict[str, Any]:
    """The autoscaling/v1 Scale that a workload shows."""
    metadata = meta.meta(obj)
    shown = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if key in metadata}
    status: dict[str, Any] = {"replicas": meta.status(obj).get("replicas", 0)}
    selector = meta.spec(obj).get("selector")
    if selector:
        status["selector"] = _selector_text(selector)
    replicas = meta.spec(obj).get("replicas", 0)
    spec = {"replicas": replicas} if replicas else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": shown, "spec": spec, "status": status}


def _as_scale(call: Call, done: Done) -> Done:
    return replace(done, item=Item(scale_of(call, done.item.obj), done.item.revision, b""))


def _replicas(call: Call, body: meta.Obj) -> int:
    replicas = meta.spec(body).get("replicas", 0)
    if type(replicas) is not int:
        raise errors.bad_request("json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32")
    if replicas < 0:
        refused = errors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid_object("Scale", "autoscaling", call.name, [refused])
    return replicas


def _selector_text(selector: Any) -> str:
    """A selector as text, sorted by key, as labels.Selector.String() writes it."""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    parts = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(sorted(expression.get("values") or ()))
        text = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }[expression["operator"]]
        parts.append((key, text))
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def _bound(call: Call, pod: meta.Obj, node: str, uid: str, annotations: Any, now: str) -> meta.Obj:
    spec = meta.spec(pod)
    if uid and uid != meta.uid(pod):
        raise call.conflict(f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.uid(pod)}")
    if meta.is_deleting(pod):
        raise call.conflict(f"pod {call.name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise call.conflict(f'pod {call.name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise call.conflict(f"pod {call.name} has non-empty .spec.schedulingGates")
    status = meta.status(pod)
    scheduled: dict[str, Any] = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    others = [condition for condition in status.get("conditions") or () if condition.get("type") != "PodScheduled"]
    status = {name: value for name, value in status.items() if name != "nominatedNodeName"}  # it has a node now
    bound = {**pod, "spec": {**spec, "nodeName": node}, "status": {**status, "conditions": [*others, scheduled]}}
    if not annotations:
        return bound
    return meta.put(bound, ("metadata", "annotations"), {**meta.annotations(pod), **annotations})


def _is_over(pod: meta.Obj) -> bool:
    return meta.status(pod).get("phase") in ("Succeeded", "Failed") or not meta.spec(pod).get("nodeName")


def _spent(budget: meta.Obj, pod: str, now: str) -> meta.Obj:
    status = meta.status(budget)
    allowed = status.get("disruptionsAllowed", 0)
    if status.get("observedGeneration", 0) < meta.generation(budget):
        raise _budget_refusal(budget, "still being processed by the server.")
    if allowed <= 0:
        healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        raise _budget_refusal(budget, f"needs {wanted} healthy pods and has {healthy} currently")
    disrupted = {**(status.get("disruptedPods") or {}), pod: now}
    if len(disrupted) > DISRUPTIONS_MOST:
        raise _budget_refusal(budget, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    return {**budget, "status": {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}}


def _budget_refusal(budget: meta.Obj, detail: str) -> errors.StatusError:
    cause = {"reason": "DisruptionBudget", "message": f"The disruption budget {meta.name(budget)} {detail}"}
    return errors.StatusError(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details={"causes": [cause]},
    )
