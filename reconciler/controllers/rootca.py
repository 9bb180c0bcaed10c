"""Every namespace has the ConfigMap kube-root-ca.crt, by which pods know the API server."""

from collections.abc import Iterable

from reconciler.controllers import Facts
from reconciler.kinds import namespace
from reconciler.model import meta, plan
from reconciler.model.view import View

MAPS = "configmaps"
NAME = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or "
    "kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        one = view.get("namespaces", *key)
        if one is None or namespace.is_terminating(one):
            return plan.NOTHING
        present, data = view.get(MAPS, key[1], NAME), {"ca.crt": facts.root_ca}
        if present is None:
            metadata = {"name": NAME, "namespace": key[1], "annotations": {"kubernetes.io/description": DESCRIPTION}}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            return plan.plan_of([plan.Create(kind=MAPS, body=body, why=f"namespace {key[1]} has no root certificate")])
        if present.get("data") == data and meta.annotations(present).get("kubernetes.io/description"):
            return plan.NOTHING
        body = meta.put({**present, "data": data}, ("metadata", "annotations", "kubernetes.io/description"), DESCRIPTION)
        return plan.plan_of([plan.Update(kind=MAPS, body=body, why="it does not hold the root certificate")])

    return (plan.Controller(name="root-ca-certificate-publisher-controller", kind="namespaces", plan=planned, follows={MAPS: _of_map}),)


def _of_map(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    obj = new if new is not None else old
    if obj is not None and meta.name(obj) == NAME:
        yield "", meta.namespace(obj)
