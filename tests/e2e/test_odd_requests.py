"""Whatever is asked of the paths that our own OpenAPI names, the answer is never a server error.

Bodies follow the schema of the kind with odd values in odd places, or are any JSON at all; queries, media types and
raw bytes are odd, too. Requests that would stay open are not asked.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import servers
from tests.oracle import replay

DEPTH_MOST = 5
TEXTS = st.sampled_from(
    ["", "9" * 5000, "a", "x-1", "default", "Bad_Name!", "a/b", "1Gi", "10.0.0.1", "%00", "é", "2020-01-01T00:00:00Z", "a" * 300]
)
SCALARS = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
ANY = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8)
TYPES = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/plain", "", "application/json;;"]
PATCHES = ["json-patch+json", "merge-patch+json", "strategic-merge-patch+json", "apply-patch+yaml", "other"]
QUERY = {
    "limit": TEXTS, "continue": TEXTS, "resourceVersion": TEXTS, "resourceVersionMatch": TEXTS, "labelSelector": TEXTS,
    "fieldSelector": st.sampled_from(["a=b", "metadata.name=x", "=", "status.phase!=x"]), "dryRun": st.sampled_from(["All", "x"]),
    "fieldManager": TEXTS, "fieldValidation": st.sampled_from(["Strict", "Warn", "x"]), "force": TEXTS, "pretty": TEXTS,
    "gracePeriodSeconds": TEXTS, "propagationPolicy": st.sampled_from(["Orphan", "x"]), "tailLines": TEXTS,
}  # fmt: skip
STAYING_OPEN = ("exec", "attach", "portforward", "proxy", "log")

# What kube-apiserver answers with 500 as well: an applied configuration that has no type, a version that is no number, bad bindings.
UPSTREAMS_OWN = (b"failed to create typed patch object", b"strconv.ParseUint", b"target.name: Required value", b"target.kind")

Documents = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[replay.Server]:
    with servers.running("--runtime", "none") as running:
        asked = replay.Server(running.kubeconfig)
        yield asked
        asked.connection.close()


@pytest.fixture(scope="module")
def documents(server: replay.Server) -> Documents:
    index = json.loads(server.ask("GET", "/openapi/v3", {}, None)[2])["paths"]
    return {path: json.loads(server.ask("GET", f"/openapi/v3/{path}", {}, None)[2]) for path in index}


@st.composite
def shaped(draw: st.DrawFn, schemas: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> Any:
    """A value that mostly follows a schema."""
    if depth > DEPTH_MOST or draw(st.integers(0, 19)) == 0:
        return draw(ANY)
    if "$ref" in schema:
        return draw(shaped(schemas, schemas[schema["$ref"].rsplit("/", 1)[1]], depth + 1))
    if schema.get("type") == "array":
        return [draw(shaped(schemas, schema.get("items") or {}, depth + 1)) for _ in range(draw(st.integers(0, 2)))]
    properties = schema.get("properties") or {}
    if properties:
        wanted = draw(st.lists(st.sampled_from(sorted(properties)), max_size=5, unique=True))
        return {name: draw(shaped(schemas, properties[name], depth + 1)) for name in {*wanted, *(schema.get("required") or ())}}
    kinds = {"string": TEXTS, "integer": st.integers(-5, 70000), "boolean": st.booleans(), "number": st.floats(-9, 9)}
    return draw(kinds.get(schema.get("type", ""), ANY))


@st.composite
def requests(draw: st.DrawFn, documents: Documents) -> tuple[str, str, dict[str, str], bytes | None]:
    document = documents[draw(st.sampled_from(sorted(documents)))]
    template = draw(st.sampled_from(sorted(path for path in document["paths"] if not path.endswith(STAYING_OPEN))))
    operations = document["paths"][template]
    method = draw(st.sampled_from([*(name for name in operations if name != "parameters"), "put", "delete"]))
    path = template.replace("{namespace}", "default").replace(
        "{name}", draw(st.sampled_from(["x", "default", "a%20b", "%2e", "kubernetes"]))
    )
    query = draw(st.lists(st.sampled_from(sorted(QUERY)), max_size=2, unique=True))
    if query:
        path += "?" + "&".join(f"{name}={replay.urllib.parse.quote(draw(QUERY[name]))}" for name in query)
    headers = {"Content-Type": draw(st.sampled_from(TYPES))}
    if method == "patch":
        headers["Content-Type"] = "application/" + draw(st.sampled_from(PATCHES))
    if draw(st.booleans()):
        headers["Accept"] = draw(st.sampled_from([*TYPES, "application/json;as=Table;g=meta.k8s.io;v=v1"]))
    if method in ("get", "delete"):
        return method.upper(), path, headers, None
    marked = [one for one in operations.values() if isinstance(one, dict) and "x-kubernetes-group-version-kind" in one]
    gvk = marked[0]["x-kubernetes-group-version-kind"] if marked else {}
    schemas = document["components"]["schemas"]
    root = next((one for one in schemas.values() if gvk in (one.get("x-kubernetes-group-version-kind") or ())), {})
    body = draw(shaped(schemas, root))
    if isinstance(body, dict) and gvk:
        version = f"{gvk['group']}/{gvk['version']}" if gvk["group"] else gvk["version"]
        body |= {"apiVersion": version, "kind": gvk["kind"]}
        body["metadata"] = {"name": "x", **(body["metadata"] if isinstance(body.get("metadata"), dict) else {})}
    raw = json.dumps(body).encode()
    return method.upper(), path, headers, draw(st.sampled_from([raw, raw, raw, raw[:-1], b"\xff" + raw, b"k8s\0" + raw, b""]))


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_that_is_asked_is_a_server_error(server: replay.Server, documents: Documents, data: st.DataObject) -> None:
    method, path, headers, body = data.draw(requests(documents))
    status, _, answer = server.ask(method, path, headers, body)
    assert 0 < status < 500 or any(words in answer for words in UPSTREAMS_OWN), (status, answer[:300])
