"""Every namespace has a ServiceAccount `default`."""

from collections.abc import Iterable

from reconciler.kinds import namespace
from reconciler.model import meta, plan
from reconciler.model.view import View

ACCOUNTS = "serviceaccounts"
NAME = "default"


def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
    one = view.get("namespaces", *key)
    if one is None or namespace.is_terminating(one) or view.get(ACCOUNTS, key[1], NAME) is not None:
        return plan.NOTHING
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": key[1]}}
    return plan.plan_of([plan.Create(kind=ACCOUNTS, body=body, why=f"namespace {key[1]} has no default account")])


def _of_account(_: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is None and old is not None and meta.name(old) == NAME:
        yield "", meta.namespace(old)


CONTROLLER = plan.Controller(name="serviceaccount-controller", kind="namespaces", plan=planned, follows={ACCOUNTS: _of_account})
