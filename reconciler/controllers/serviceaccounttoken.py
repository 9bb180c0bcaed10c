"""Secrets of type service-account-token: bound to their account, deleted with it, dropped from it when they go.

Upstream: pkg/controller/serviceaccount/tokens_controller.go. The token itself needs the server's key (signing.py); pods
get theirs by projection.
"""

import base64
from collections.abc import Iterable

from reconciler.controllers import Facts, signing
from reconciler.model import meta, plan
from reconciler.model.view import NAMESPACE, View

SECRETS = "secrets"
ACCOUNTS = "serviceaccounts"
TYPE = "kubernetes.io/service-account-token"
NAME_ANNOTATION = "kubernetes.io/service-account.name"
UID_ANNOTATION = "kubernetes.io/service-account.uid"


def of(facts: Facts) -> tuple[plan.Controller, ...]:
    def planned(view: View, key: meta.Key, now: float) -> plan.Plan:
        secret = view.get(SECRETS, *key)
        if secret is None:
            return plan.plan_of(_dereferenced(view, key))
        name = meta.annotations(secret).get(NAME_ANNOTATION, "")
        if secret.get("type") != TYPE or not name or meta.is_deleting(secret):
            return plan.NOTHING
        account = view.get(ACCOUNTS, key[0], name)
        wanted_uid = meta.annotations(secret).get(UID_ANNOTATION, "")
        if account is None or wanted_uid not in ("", meta.uid(account)):
            if view.revision(ACCOUNTS) < meta.revision(secret):
                return plan.NOTHING
            why = f"there is no ServiceAccount {name}"
            return plan.plan_of([plan.Delete(kind=SECRETS, namespace=key[0], name=key[1], uid=meta.uid(secret), why=why)])
        bound = _bound(secret, account, facts.root_ca)
        if bound != secret:
            return plan.plan_of([plan.Update(kind=SECRETS, body=bound, why="it is not bound yet")])
        if (secret.get("data") or meta.EMPTY).get("token"):
            return plan.NOTHING
        return plan.plan_of([signing.IssueToken(*key, meta.uid(secret), name, why=f"it is to hold a token of ServiceAccount {name}")])

    return (plan.Controller(name="serviceaccount-token-controller", kind=SECRETS, plan=planned, follows={ACCOUNTS: _of_account}),)


def _bound(secret: meta.Obj, account: meta.Obj, root_ca: str) -> meta.Obj:
    data = {**(secret.get("data") or {})}
    data.setdefault("ca.crt", base64.b64encode(root_ca.encode()).decode())
    data.setdefault("namespace", base64.b64encode(meta.namespace(secret).encode()).decode())
    return meta.put({**secret, "data": data}, ("metadata", "annotations", UID_ANNOTATION), meta.uid(account))


def _dereferenced(view: View, key: meta.Key) -> Iterable[plan.Action]:
    """A Secret that is gone is named by no account any more."""
    for account in view.by(ACCOUNTS, NAMESPACE, key[0]):
        named = account.get("secrets") or ()
        left = [reference for reference in named if reference.get("name") != key[1]]
        if len(left) < len(named):
            yield plan.Update(kind=ACCOUNTS, body={**account, "secrets": left}, why=f"Secret {key[1]} is gone")


def _of_account(view: View, old: meta.Obj | None, new: meta.Obj | None) -> Iterable[meta.Key]:
    if new is None and old is not None:
        for secret in view.by(SECRETS, NAMESPACE, meta.namespace(old)):
            if meta.annotations(secret).get(NAME_ANNOTATION) == meta.name(old):
                yield meta.key(secret)
