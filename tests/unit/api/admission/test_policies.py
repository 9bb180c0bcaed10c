"""Policies in CEL: parameters, what is missing, and what a mutation leaves behind."""

from typing import Any

import pytest

from reconciler.model import errors, meta
from tests.unit.api.world import World, config_map, pod, world

GROUP = "admissionregistration.k8s.io"
ON_PODS = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
ON_MAPS = {**ON_PODS, "resources": ["configmaps"]}


async def put(w: World, kind: str, name: str, spec: dict[str, Any]) -> None:
    plural = {"Policy": "policies", "PolicyBinding": "policybindings"}
    word = "PolicyBinding" if kind.endswith("PolicyBinding") else "Policy"
    body = {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    await w.create(f"{kind.removesuffix(word).lower()}{plural[word]}.{GROUP}", body)
    await w.server.cache.fresh()


async def validating(w: World, expression: str, binding: dict[str, Any] | None = None, **spec: Any) -> None:
    policy = {"matchConstraints": {"resourceRules": [ON_MAPS]}, "validations": [{"expression": expression}], **spec}
    await put(w, "ValidatingAdmissionPolicy", "p", policy)
    await put(w, "ValidatingAdmissionPolicyBinding", "b", {"policyName": "p", "validationActions": ["Deny"], **(binding or {})})


async def test_a_policy_is_asked_once_per_parameter() -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    chosen = {"paramRef": {"selector": {"matchLabels": {"limit": "yes"}}, "parameterNotFoundAction": "Allow"}}
    async with world() as w:
        await validating(w, "object.metadata.name != params.data.name", chosen, paramKind=kind)
        await w.create("configmaps", config_map("a"))
        for name in ("a", "b"):
            await w.create("configmaps", {**config_map(f"limit-{name}", labels={"limit": "yes"}), "data": {"name": f"no-{name}"}})
        await w.create("configmaps", config_map("c"))
        for name in ("no-a", "no-b"):
            with pytest.raises(errors.StatusError, match="failed expression"):
                await w.create("configmaps", config_map(name))


async def test_a_kind_of_parameters_that_is_not_served_fails_closed_or_open() -> None:
    kind, reference = {"apiVersion": "example.com/v1", "kind": "Limit"}, {"paramRef": {"name": "x", "parameterNotFoundAction": "Allow"}}
    async with world() as w:
        await validating(w, "params.spec.on == true", reference, paramKind=kind)
        told = "failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'"
        with pytest.raises(errors.StatusError, match=told):
            await w.create("configmaps", config_map("a"))
        await w.patch(f"validatingadmissionpolicies.{GROUP}", "p", {"spec": {"failurePolicy": "Ignore"}}, namespace="")
        await w.server.cache.fresh()
        await w.create("configmaps", config_map("a"))


async def test_variables_and_the_namespace_are_at_hand() -> None:
    async with world() as w:
        variables = [
            {"name": "home", "expression": "namespaceObject.metadata.name"},
            {"name": "twice", "expression": "variables.home + '2'"},
        ]
        await validating(w, "variables.twice == 'default2' && request.operation == 'CREATE'", variables=variables)
        await w.create("configmaps", config_map("a"))


def mutation(expression: str) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


async def test_mutations_see_each_other_and_are_defaulted() -> None:
    add = "Object{spec: Object.spec{initContainers: [Object.spec.initContainers.item{name: 'early', image: 'i'}]}}"
    count = "Object{metadata: Object.metadata{labels: Object.metadata.labels{count: string(size(object.spec.initContainers))}}}"
    async with world() as w:
        spec = {
            "matchConstraints": {"resourceRules": [ON_PODS]},
            "mutations": [mutation(add), mutation(count)],
            "reinvocationPolicy": "Never",
        }
        await put(w, "MutatingAdmissionPolicy", "m", spec)
        await put(w, "MutatingAdmissionPolicyBinding", "mb", {"policyName": "m"})
        made = await w.create("pods", pod("p"))
        assert meta.labels(made)["count"] == "1"
        (early,) = meta.spec(made)["initContainers"]
        assert early["terminationMessagePath"] == "/dev/termination-log", "what a policy adds gets its defaults"
        assert early["volumeMounts"], "and what the other plugins would have given it"


async def test_scales_are_judged_as_scales() -> None:
    on_scale = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments/scale"]}
    async with world() as w:
        await validating(w, "object.spec.replicas <= 3 && oldObject.kind == 'Scale'", matchConstraints={"resourceRules": [on_scale]})
        labels = {"a": "b"}
        template = {"metadata": {"labels": labels}, "spec": pod("p")["spec"]}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        await w.create(
            "deployments.apps",
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "default"}, "spec": spec},
        )
        await w.patch("deployments.apps", "d", {"spec": {"replicas": 3}}, subresource="scale")
        with pytest.raises(errors.StatusError, match="failed expression"):
            await w.patch("deployments.apps", "d", {"spec": {"replicas": 4}}, subresource="scale")
