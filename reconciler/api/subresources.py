"""Subresources whose bodies are of another kind than their parent: scale, binding, eviction, token.

`status` and other subresources with the parent's own shape go the way of objects (objects.py). Each function here
turns a body into a change of the parent and the answer to the caller.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.api import scaling
from reconciler.api.auth import accounts
from reconciler.api.cache import Item
from reconciler.api.calls import Call, DeleteOptions
from reconciler.api.objects import Done, Objects
from reconciler.api.patching import Patch
from reconciler.kinds import pod as pods
from reconciler.kit import clock
from reconciler.model import errors, meta, selectors

SUCCESS: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
BUDGETS = "poddisruptionbudgets.policy"
BUDGET_RETRY_SECONDS = 10
DISRUPTIONS_MOST = 2000  # pods noted in a budget as being disrupted
MANY_BUDGETS = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
TOPOLOGY_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")
# Subresources whose bodies are of the parent's kind; "" is the parent itself.
SAME_SHAPE = frozenset({"", "status", "finalize", "approval", "ephemeralcontainers", "resize"})


class Subresources:
    def __init__(self, objects: Objects, tokens: accounts.Accounts) -> None:
        self._objects = objects
        self._accounts = tokens
        self._scaling = scaling.Scaling(objects)

    async def get(self, call: Call) -> dict[str, Any]:
        """GET of a scale."""
        _require_scale(call)
        return await self._scaling.get(call)

    async def update(self, call: Call, body: Any) -> Done:
        """PUT of a scale, or of a subresource with the parent's own shape."""
        if call.subresource in SAME_SHAPE:
            return await self._objects.update(call, body)
        _require_scale(call)
        return await self._scaling.update(call, body)

    async def patch(self, call: Call, patch: Patch) -> Done:
        """PATCH of a scale, or of a subresource with the parent's own shape."""
        if call.subresource in SAME_SHAPE:
            return await self._objects.patch(call, patch)
        _require_scale(call)
        return await self._scaling.patch(call, patch)

    async def create(self, call: Call, body: meta.Obj) -> tuple[Done, dict[str, Any]]:
        """POST: (what happened to the parent, the answer)."""
        if call.kind.id == "pods" and call.subresource in ("binding", "eviction"):
            if meta.name(body) != call.name:
                raise errors.bad_request(f"name in URL does not match name in {call.subresource.title()} object")
            act = self._bind if call.subresource == "binding" else self._evict
            return await act(call, await self._objects.admitted(call, body, "CREATE")), SUCCESS
        if call.kind.id == "serviceaccounts" and call.subresource == "token":
            return await self._token(call, body)
        raise errors.StatusError(404, "NotFound", "the server could not find the requested resource", details={})

    async def _token(self, call: Call, body: meta.Obj) -> tuple[Done, dict[str, Any]]:
        await self._objects.cache.fresh()
        account = self._objects.cache.get("serviceaccounts", call.namespace, call.name)
        if account is None:
            raise call.not_found()
        body = await self._objects.admitted(call, body, "CREATE")
        return Done(account, 0), self._accounts.answer(account.obj, body, call.manager)

    async def _bind(self, call: Call, body: meta.Obj) -> Done:
        target = body.get("target") or {}
        node, uid = target.get("name", ""), meta.uid(body)
        refused = []
        if target.get("kind", "") not in ("", "Node"):
            refused.append(errors.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
        if not node:
            refused.append(errors.required("target.name"))
        if refused:
            raise errors.StatusError(500, "", errors.joined(refused))
        now = clock.rfc3339(self._objects.time.now())
        labels = {**meta.labels(body), **self._topology(node)}

        def bound(pod: meta.Obj) -> meta.Obj:
            return _marked(_bound(call, pod, node, uid, now), labels, meta.annotations(body))

        return await self._objects.change(call, bound)

    def _topology(self, node: str) -> dict[str, str]:
        """The labels by which a pod knows where its node is (PodTopologyLabels)."""
        found = self._objects.cache.get("nodes", "", node)
        return {key: value for key, value in meta.labels(found.obj).items() if key in TOPOLOGY_LABELS} if found is not None else {}

    async def _evict(self, call: Call, body: meta.Obj) -> Done:
        await self._objects.cache.fresh()
        pod = self._objects.cache.get("pods", call.namespace, call.name)
        if pod is None:
            raise call.not_found()
        sent = body.get("deleteOptions") or {}
        call = replace(call, subresource="", dry_run=call.dry_run or bool(sent.get("dryRun")))
        preconditions = sent.get("preconditions") or {}
        budget = None if _is_over(pod.obj) or meta.is_deleting(pod.obj) else self._budget_of(pod)
        if budget is not None and _may_go_unready(budget, pod.obj):
            preconditions = {"resourceVersion": meta.resource_version(pod.obj), **preconditions}  # as long as it is not ready
        elif budget is not None:
            await self._spend_budget(call, budget)
        options = DeleteOptions(
            grace_seconds=sent.get("gracePeriodSeconds"),
            propagation=sent.get("propagationPolicy"),
            uid=preconditions.get("uid", ""),
            resource_version=preconditions.get("resourceVersion", ""),
        )
        return await self._objects.delete(call, options)

    def _budget_of(self, pod: Item) -> meta.Obj | None:
        """The one budget that covers the pod. Raises StatusError 500 when there are several."""
        budgets = [
            item.obj
            for _, item in self._objects.cache.shelf(BUDGETS).in_order(meta.namespace(pod.obj))
            if selectors.from_label_selector(meta.spec(item.obj).get("selector")).matches(meta.labels(pod.obj))
        ]
        if len(budgets) > 1:
            raise errors.StatusError(500, "", MANY_BUDGETS)
        return budgets[0] if budgets else None

    async def _spend_budget(self, call: Call, budget: meta.Obj) -> None:
        """Take one disruption from the budget. Raises StatusError 429 when there is none left."""
        kind = self._objects.decoder.roster.get(BUDGETS)
        if kind is None:
            return
        now = clock.rfc3339(self._objects.time.now())
        spending = replace(call, kind=kind, version=kind.hub_version, name=meta.name(budget), subresource="status")
        await self._objects.change(spending, lambda budget: _spent(budget, call.name, now))


def _require_scale(call: Call) -> None:
    if call.subresource != "scale" or call.kind.subresource("scale") is None:
        raise errors.StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def _binding_conflict(call: Call, detail: str) -> errors.StatusError:
    return errors.conflict("pods/binding", "", call.name, detail)


def _bound(call: Call, pod: meta.Obj, node: str, uid: str, now: str) -> meta.Obj:
    spec = meta.spec(pod)
    if uid and uid != meta.uid(pod):
        where = f"Key: /registry/pods/{meta.namespace(pod)}/{call.name}, ResourceVersion: 0"
        failed = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta.uid(pod)}"
        raise call.conflict(f"StorageError: invalid object, Code: 4, {where}, AdditionalErrorMsg: {failed}")
    if meta.is_deleting(pod):
        raise _binding_conflict(call, f"pod {call.name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _binding_conflict(call, f'pod {call.name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise _binding_conflict(call, f"pod {call.name} has non-empty .spec.schedulingGates")
    status = meta.status(pod)
    scheduled: dict[str, Any] = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    others = [condition for condition in status.get("conditions") or () if condition.get("type") != "PodScheduled"]
    status = {name: value for name, value in status.items() if name != "nominatedNodeName"}  # it has a node now
    return {**pod, "spec": {**spec, "nodeName": node}, "status": {**status, "conditions": [*others, scheduled]}}


def _marked(pod: meta.Obj, labels: Mapping[str, str], annotations: Mapping[str, str]) -> meta.Obj:
    if labels:
        pod = meta.put(pod, ("metadata", "labels"), {**meta.labels(pod), **labels})
    return meta.put(pod, ("metadata", "annotations"), {**meta.annotations(pod), **annotations}) if annotations else pod


def _is_over(pod: meta.Obj) -> bool:
    """Whether no budget is concerned: the pod does not run, or does not run any more."""
    return meta.status(pod).get("phase") in ("Succeeded", "Failed", "Pending")


def _may_go_unready(budget: meta.Obj, pod: meta.Obj) -> bool:
    """A pod that is not ready is no loss: it goes if the budget says so, or while the others are enough."""
    if pods.is_ready(pod):
        return False
    status = meta.status(budget)
    is_kept = status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0
    return meta.spec(budget).get("unhealthyPodEvictionPolicy") == "AlwaysAllow" or is_kept


def _spent(budget: meta.Obj, pod: str, now: str) -> meta.Obj:
    status = meta.status(budget)
    allowed = status.get("disruptionsAllowed", 0)
    if status.get("observedGeneration", 0) < meta.generation(budget):
        raise _budget_refusal(budget, "is still being processed by the server.", BUDGET_RETRY_SECONDS)
    if allowed <= 0:
        healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
        short = f"needs {wanted} healthy pods and has {healthy} currently"
        raise _budget_refusal(budget, short if healthy <= wanted else "does not allow evicting pods currently")
    disrupted = {**(status.get("disruptedPods") or {}), pod: now}
    if len(disrupted) > DISRUPTIONS_MOST:
        raise _budget_refusal(budget, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    return {**budget, "status": {**status, "disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}}


def _budget_refusal(budget: meta.Obj, detail: str, retry_seconds: int = 0) -> errors.StatusError:
    cause = {"reason": "DisruptionBudget", "message": f"The disruption budget {meta.name(budget)} {detail}"}
    return errors.StatusError(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
        details={"causes": [cause]},
        retry_after_seconds=retry_seconds,
    )
