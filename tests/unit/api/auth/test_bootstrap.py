"""The roles every cluster has: made, completed, and left alone where an administrator says so."""

from typing import Any

from reconciler.api.apiserver import ORIGIN
from reconciler.api.auth import bootstrap, bootstrap_policy, rbac
from reconciler.api.auth.authorisation import Asked
from reconciler.api.calls import User
from reconciler.kinds import rbac as kinds
from reconciler.model import meta
from tests.unit.api.world import World, world

JANE = User("jane", ("system:authenticated",))
ADDED = {"verbs": ["get"], "nonResourceURLs": ["/own"]}


async def change(w: World, kind: str, name: str, patch: dict[str, Any]) -> None:
    await w.patch(kind, name, patch, namespace="")
    await w.server.cache.fresh()


async def again(w: World) -> None:
    await bootstrap.reconcile(w.client, w.server.cache, ORIGIN)
    await w.server.cache.fresh()


async def test_every_role_is_there_and_valid() -> None:
    async with world(default_roles=True) as w:
        assert w.server.rbac.decide(JANE, Asked(verb="get", path="/apis/apps")).allowed
        assert not w.server.rbac.decide(JANE, Asked(verb="list", resource="pods")).allowed
        before = w.journal.revision
        await again(w)
        assert w.journal.revision == before, "a second start writes nothing"
        for body in bootstrap_policy.objects():
            kind = f"{str(body['kind']).lower()}s.{kinds.GROUP}"
            assert await w.exists(kind, meta.name(body), meta.namespace(body))


async def test_what_is_missing_comes_back_and_what_is_added_stays() -> None:
    async with world(default_roles=True) as w:
        await change(w, rbac.CLUSTER_ROLES, "system:discovery", {"rules": [ADDED]})
        await change(w, rbac.CLUSTER_ROLE_BINDINGS, "system:basic-user", {"subjects": []})
        await again(w)
        for path in ("/own", "/apis"):
            assert w.server.rbac.decide(JANE, Asked(verb="get", path=path)).allowed
        question = Asked(verb="create", group="authorization.k8s.io", resource="selfsubjectaccessreviews")
        assert w.server.rbac.decide(JANE, question).allowed


async def test_what_is_not_to_be_updated_is_not() -> None:
    async with world(default_roles=True) as w:
        metadata = {"annotations": {bootstrap_policy.AUTOUPDATE: "false"}}
        await change(w, rbac.CLUSTER_ROLES, "system:discovery", {"metadata": metadata, "rules": [ADDED]})
        await again(w)
        assert not w.server.rbac.decide(JANE, Asked(verb="get", path="/apis")).allowed
