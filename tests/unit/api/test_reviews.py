"""Who is served what, as clients meet it: roles, impersonation, access reviews, service accounts' tokens."""

import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from reconciler import kinds
from reconciler.api import apiserver, server
from reconciler.kit import clock
from tests.unit.api.memory import MemoryJournal

RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"


class Clients:
    """Asks as the administrator, or with headers as somebody else."""

    def __init__(self, session: aiohttp.ClientSession, url: str, context: ssl.SSLContext) -> None:
        self._session, self._url, self._context = session, url, context

    async def ask(self, method: str, path: str, body: Any = None, token: str = "root", **headers: str) -> tuple[int, dict[str, Any]]:
        sent = {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self._session.request(method, self._url + path, json=body, ssl=self._context, headers=sent) as answer:
            is_json = "json" in answer.headers["Content-Type"]
            return answer.status, await answer.json() if is_json else {"text": await answer.text()}

    async def make(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        status, answer = await self.ask("POST", path, body, **headers)
        assert status == 201, answer
        return answer


@contextlib.asynccontextmanager
async def serving(folder: pathlib.Path) -> AsyncIterator[Clients]:
    (folder / "tokens.csv").write_text('root,root,u1,"system:masters"\njane,jane,u2,devs\n')
    api = apiserver.ApiServer(MemoryJournal(), kinds.builtin(), clock.SystemClock())
    await api.start()
    http = server.HttpServer(api, server.Listen(port=0, token_file=folder / "tokens.csv"), folder)
    await http.start()
    async with aiohttp.ClientSession() as session:
        yield Clients(session, http.url, ssl.create_default_context(cadata=http.authority_pem.decode()))
    await http.close()
    await api.close()


@pytest.fixture
async def clients(tmp_path: pathlib.Path) -> AsyncIterator[Clients]:
    async with serving(tmp_path) as made:
        yield made


def role(name: str, *rules: dict[str, Any], kind: str = "Role", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "rules": list(rules), **more}


def rule(verbs: str, resources: str, **more: Any) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": resources.split(), "verbs": verbs.split(), **more}


def binding(name: str, role_name: str, user: str, role_kind: str = "Role", kind: str = "RoleBinding") -> dict[str, Any]:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role_name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": reference,
        "subjects": [subject],
    }


async def test_a_role_opens_what_it_says_and_nothing_else(clients: Clients) -> None:
    path = "/api/v1/namespaces/default"
    assert (await clients.ask("GET", f"{path}/pods", token="jane"))[0] == 403
    await clients.make(f"{RBAC}/namespaces/default/roles", role("r", rule("list get", "pods")))
    await clients.make(f"{RBAC}/namespaces/default/rolebindings", binding("b", "r", "jane"))
    assert (await clients.ask("GET", f"{path}/pods", token="jane"))[0] == 200
    assert (await clients.ask("GET", f"{path}/pods/none", token="jane"))[0] == 404
    assert (await clients.ask("GET", "/api/v1/pods", token="jane"))[0] == 403
    status, refused = await clients.ask("GET", "/api/v1/namespaces/other/nonsense", token="jane")
    assert (status, refused["details"]) == (403, {"kind": "nonsense"}), "who may not ask is not told that there is no such resource"
    await clients.ask("DELETE", f"{RBAC}/namespaces/default/rolebindings/b")
    assert (await clients.ask("GET", f"{path}/pods", token="jane"))[0] == 403


async def test_everybody_may_discover_and_ask_about_themselves(clients: Clients) -> None:
    for path in ("/api", "/apis/apps/v1", "/version", "/openapi/v3", "/readyz"):
        assert (await clients.ask("GET", path, token="jane"))[0] == 200, path
    assert (await clients.ask("GET", "/metrics", token="jane"))[0] == 403
    question = {"spec": {"resourceAttributes": {"verb": "get", "resource": "secrets", "namespace": "default"}}}
    answer = await clients.make(f"{REVIEWS}/selfsubjectaccessreviews", question, token="jane")
    assert answer["status"] == {"allowed": False}
    rules = await clients.make(f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, token="jane")
    assert {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]} in rules["status"][
        "resourceRules"
    ]


async def test_a_field_selector_for_a_name_is_that_name(clients: Clients) -> None:
    await clients.make(f"{RBAC}/namespaces/default/roles", role("r", rule("list", "secrets", resourceNames=["one"])))
    await clients.make(f"{RBAC}/namespaces/default/rolebindings", binding("b", "r", "jane"))
    path = "/api/v1/namespaces/default/secrets"
    assert (await clients.ask("GET", path, token="jane"))[0] == 403
    assert (await clients.ask("GET", f"{path}?fieldSelector=metadata.name%3Done", token="jane"))[0] == 200


async def test_impersonation_needs_the_verb_on_everything_that_is_asked_for(clients: Clients) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    asked = {"Impersonate_User": "joe", "Impersonate_Group": "ops", "Impersonate_Uid": "u9", "Impersonate_Extra_Scopes": "a"}
    found = await clients.make(path, {}, **asked)
    expected = {"username": "joe", "uid": "u9", "groups": ["ops", "system:authenticated"], "extra": {"scopes": ["a"]}}
    assert found["status"]["userInfo"] == expected
    await clients.make(f"{RBAC}/clusterroles", role("as-joe", rule("impersonate", "users", resourceNames=["joe"]), kind="ClusterRole"))
    bound = binding("b", "as-joe", "jane", "ClusterRole", "ClusterRoleBinding")
    await clients.make(f"{RBAC}/clusterrolebindings", bound)
    assert (await clients.make(path, {}, token="jane", Impersonate_User="joe"))["status"]["userInfo"]["username"] == "joe"
    status, refused = await clients.ask("POST", path, {}, token="jane", Impersonate_User="joe", Impersonate_Group="system:masters")
    assert status == 403
    told = 'groups "system:masters" is forbidden: User "jane" cannot impersonate resource "groups" in API group "" at the cluster scope'
    assert refused["message"] == told
    assert (await clients.ask("GET", "/api", Impersonate_Group="x"))[0] == 400


async def test_accounts_tokens_are_users_and_reviewed(clients: Clients) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await clients.make(accounts, {"metadata": {"name": "robot"}})
    token = (await clients.make(f"{accounts}/robot/token", {"spec": {}}))["status"]["token"]
    assert (await clients.ask("GET", "/api", token=token))[0] == 200
    assert (await clients.ask("GET", "/api/v1/pods", token=token))[0] == 403
    review = {"spec": {"token": token}}
    status = (await clients.make("/apis/authentication.k8s.io/v1/tokenreviews", review))["status"]
    assert status["authenticated"]
    assert status["user"]["username"] == "system:serviceaccount:default:robot"
    elsewhere = {"spec": {"token": token, "audiences": ["elsewhere"]}}
    assert (await clients.make("/apis/authentication.k8s.io/v1/tokenreviews", elsewhere))["status"] == {
        "user": {},
        "error": "invalid bearer token",
    }
    await clients.ask("DELETE", f"{accounts}/robot")
    assert (await clients.ask("GET", "/api", token=token))[0] == 401
