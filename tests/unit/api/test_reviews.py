"""Who is served what, as clients meet it: roles, impersonation, access reviews, service accounts' tokens."""

import base64
import contextlib
import pathlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from reconciler import kinds
from reconciler.api import apiserver, server
from reconciler.kit import clock
from tests.unit.api.memory import MemoryJournal

RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"


class Clients:
    """Asks as the administrator, or with headers as somebody else."""

    def __init__(self, session: aiohttp.ClientSession, url: str, context: ssl.SSLContext, api: apiserver.ApiServer) -> None:
        self._session, self._url, self._context = session, url, context
        self.api = api

    async def ask(self, method: str, path: str, body: Any = None, token: str = "root", **headers: str) -> tuple[int, dict[str, Any]]:
        sent = {"Authorization": f"Bearer {token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self._session.request(method, self._url + path, json=body, ssl=self._context, headers=sent) as answer:
            is_json = "json" in answer.headers["Content-Type"]
            return answer.status, await answer.json() if is_json else {"text": await answer.text()}

    async def bytes(self, path: str, **headers: str) -> tuple[int, bytes]:
        """What the administrator gets, as it comes."""
        sent = {"Authorization": "Bearer root", **headers}
        async with self._session.get(self._url + path, ssl=self._context, headers=sent) as answer:
            return answer.status, await answer.read()

    async def stream(self, path: str) -> aiohttp.ClientResponse:
        """A watch of the administrator's."""
        return await self._session.get(self._url + path, ssl=self._context, headers={"Authorization": "Bearer root"})

    def socket(self, path: str) -> Any:
        """A WebSocket of the administrator's."""
        return self._session.ws_connect(self._url + path, ssl=self._context, headers={"Authorization": "Bearer root"})

    async def eventually(self, path: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first answer to a GET that is as wanted."""
        for _ in range(2000):
            _, answer = await self.ask("GET", path)
            if holds(answer):
                return answer
        raise AssertionError(f"{path} still answers {answer}")

    async def make(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        status, answer = await self.ask("POST", path, body, **headers)
        assert status == 201, answer.get("message", answer)
        return answer


@contextlib.asynccontextmanager
async def serving(folder: pathlib.Path) -> AsyncIterator[Clients]:
    (folder / "tokens.csv").write_text('root,root,u1,"system:masters"\njane,jane,u2,devs\n')
    api = apiserver.ApiServer(MemoryJournal(), kinds.builtin(), clock.SystemClock())
    await api.start()
    http = server.HttpServer(api, server.Listen(port=0, token_file=folder / "tokens.csv"), folder)
    await http.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Clients(session, http.url, ssl.create_default_context(cadata=http.authority_pem.decode()), api)
    finally:
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


async def test_nobody_gives_away_what_they_do_not_hold(clients: Clients) -> None:
    everything = rule("create get list", "roles rolebindings pods", apiGroups=["", "rbac.authorization.k8s.io"])
    await clients.make(f"{RBAC}/namespaces/default/roles", role("r", everything))
    await clients.make(f"{RBAC}/namespaces/default/rolebindings", binding("b", "r", "jane"))
    roles, bindings = f"{RBAC}/namespaces/default/roles", f"{RBAC}/namespaces/default/rolebindings"
    assert (await clients.ask("POST", roles, role("mine", rule("get", "pods")), token="jane"))[0] == 201
    status, refused = await clients.ask("POST", roles, role("more", rule("list get", "secrets pods")), token="jane")
    assert status == 403
    assert refused["message"] == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "jane" (groups=["devs" "system:authenticated"]) is attempting to grant'
        ' RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["list" "get"]}'
    )
    held = binding("to-joe", "cluster-admin", "joe", "ClusterRole")
    status, refused = await clients.ask("POST", bindings, held, token="jane")
    assert status == 403
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"], Verbs:["*"]}' in refused["message"]
    await clients.make(f"{RBAC}/clusterroles", role("binder", rule("bind", "clusterroles", apiGroups=["*"]), kind="ClusterRole"))
    await clients.make(bindings, binding("binds", "binder", "jane", "ClusterRole"))
    assert (await clients.ask("POST", bindings, held, token="jane"))[0] == 201
    absent = binding("absent", "none", "joe")
    assert (await clients.ask("POST", bindings, absent, token="jane"))[0] == 404


async def test_approving_needs_the_verb_on_the_signer(clients: Clients) -> None:
    requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    spec = {"signerName": "example.com/own", "usages": ["client auth"], "request": csr("jane", "devs")}
    await clients.make(requests, {"metadata": {"name": "c"}, "spec": spec})
    masters = {**spec, "signerName": "kubernetes.io/kube-apiserver-client", "request": csr("jane", "system:masters")}
    status, refused = await clients.ask("POST", requests, {"metadata": {"name": "m"}, "spec": masters})
    assert status == 403
    assert "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed" in refused["message"]
    update = rule("get update", "certificatesigningrequests/approval certificatesigningrequests", apiGroups=["certificates.k8s.io"])
    await clients.make(f"{RBAC}/clusterroles", role("update", update, kind="ClusterRole"))
    await clients.make(f"{RBAC}/clusterrolebindings", binding("update", "update", "jane", "ClusterRole", "ClusterRoleBinding"))
    _, stored = await clients.ask("GET", f"{requests}/c")
    condition = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}
    approved = {**stored, "status": {"conditions": [condition]}}
    status, refused = await clients.ask("PUT", f"{requests}/c/approval", approved, token="jane")
    assert status == 403
    assert 'user not permitted to approve requests with signerName "example.com/own"' in refused["message"]
    approve = rule("approve", "signers", apiGroups=["certificates.k8s.io"], resourceNames=["example.com/*"])
    await clients.make(f"{RBAC}/clusterroles", role("approve", approve, kind="ClusterRole"))
    await clients.make(f"{RBAC}/clusterrolebindings", binding("approve", "approve", "jane", "ClusterRole", "ClusterRoleBinding"))
    assert (await clients.ask("PUT", f"{requests}/c/approval", approved, token="jane"))[0] == 200


def csr(name: str, group: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
