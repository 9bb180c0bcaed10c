"""Classes that give something to who names them, or names none: runtime, storage and ingress classes; authorizer."""

from typing import Any

import pytest

from reconciler.api.admission import runtime_class
from reconciler.api.calls import User
from reconciler.model import errors, meta
from tests.unit.api.world import config_map, pod, world

EQUAL = {"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}
EXISTS = {"key": "a", "operator": "Exists", "effect": "NoSchedule"}


async def test_a_runtime_class_gives_overhead_and_place() -> None:
    async with world() as w:
        scheduling = {"nodeSelector": {"kind": "micro"}, "tolerations": [EXISTS]}
        body: dict[str, Any] = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "vm"}, "handler": "vm"}
        await w.create("runtimeclasses.node.k8s.io", {**body, "overhead": {"podFixed": {"cpu": "100m"}}, "scheduling": scheduling})
        spec = meta.spec(await w.create("pods", pod("p", runtimeClassName="vm", nodeSelector={"zone": "x"}, tolerations=[EQUAL])))
        assert spec["overhead"] == {"cpu": "100m"}
        assert spec["nodeSelector"] == {"zone": "x", "kind": "micro"}
        assert [one for one in spec["tolerations"] if one.get("key") == "a"] == [EXISTS]
        for more, told in (
            ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
            ({"runtimeClassName": "vm", "overhead": {"cpu": "2"}}, "Pod's Overhead doesn't match RuntimeClass's defined Overhead"),
            ({"overhead": {"cpu": "2"}}, "Pod Overhead set without corresponding RuntimeClass defined Overhead"),
            (
                {"runtimeClassName": "vm", "nodeSelector": {"kind": "big"}},
                r"conflict: runtimeClass\.scheduling\.nodeSelector\[kind\] = micro",
            ),
        ):
            with pytest.raises(errors.StatusError, match=told):
                await w.create("pods", pod("q", **more))


def test_tolerations_are_merged_without_the_covered() -> None:
    assert runtime_class.merged([EQUAL], [EXISTS]) == [EXISTS]
    assert runtime_class.merged([EQUAL], [EQUAL]) == [EQUAL]
    other = {"key": "c", "operator": "Exists"}
    assert runtime_class.merged([EQUAL], [other]) == [EQUAL, other]
    short, long = ({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds} for seconds in (5, 50))
    assert runtime_class.merged([short], [long]) == [long]


async def test_claims_and_ingresses_get_the_newest_default_class() -> None:
    async with world() as w:
        for name in ("one", "two"):
            mark = {"storageclass.kubernetes.io/is-default-class": "true", "ingressclass.kubernetes.io/is-default-class": "true"}
            metadata = {"name": name, "annotations": mark}
            storage = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": metadata, "provisioner": "example.com/x"}
            await w.create("storageclasses.storage.k8s.io", storage)
            ingress = {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "IngressClass",
                "metadata": metadata,
                "spec": {"controller": "example.com/x"},
            }
            await w.create("ingressclasses.networking.k8s.io", ingress)
            w.time.advance(60)
        spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "default"}, "spec": spec}
        assert meta.spec(await w.create("persistentvolumeclaims", claim))["storageClassName"] == "two"
        none = {**claim, "metadata": {"name": "d", "namespace": "default"}, "spec": {**spec, "storageClassName": ""}}
        assert meta.spec(await w.create("persistentvolumeclaims", none))["storageClassName"] == ""
        backend = {"service": {"name": "s", "port": {"number": 80}}}
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i", "namespace": "default"}}
        made = await w.create("ingresses.networking.k8s.io", {**body, "spec": {"defaultBackend": backend}})
        assert meta.spec(made)["ingressClassName"] == "two"


async def test_policies_ask_the_authorizer() -> None:
    asked = "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()"
    account = "!authorizer.serviceAccount('default', 'robot').group('apps').resource('deployments').check('get').allowed()"
    own = "authorizer.requestResource.check('create').allowed() && authorizer.path('/healthz').check('get').allowed()"
    async with world() as w:
        group = "admissionregistration.k8s.io"
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
        spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": one} for one in (asked, account, own)]}
        policy = {"apiVersion": f"{group}/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": spec}
        await w.create(f"validatingadmissionpolicies.{group}", policy)
        bound = {"policyName": "p", "validationActions": ["Deny"]}
        binding = {"apiVersion": f"{group}/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "b"}, "spec": bound}
        await w.create(f"validatingadmissionpolicybindings.{group}", binding)
        await w.server.cache.fresh()
        await w.create("configmaps", config_map("a"))
        w.client._user = User("jane")
        with pytest.raises(errors.StatusError, match=r"failed expression: authorizer\.group"):
            await w.create("configmaps", config_map("b"))
