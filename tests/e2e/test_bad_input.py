"""What no client should send, and clients that stop in the middle: refused in Kubernetes' words, and nobody else notices."""

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.client import kubeconfig
from tests import servers
from tests.oracle import replay

MAPS = "/api/v1/namespaces/default/configmaps"
STRICT = f"{MAPS}?fieldValidation=Strict"
PODS = "/api/v1/namespaces/default/pods"
JSON = {"Content-Type": "application/json"}
PATCH = {"Content-Type": "application/json-patch+json"}
HALF_OPEN = 1000
STUCK, WRITES = 5, 80
BIG = {"a": "x" * 200_000}


@pytest.fixture(scope="module")
def running() -> Iterator[servers.Server]:
    with servers.running("--runtime", "none") as server:
        yield server


@pytest.fixture(scope="module")
def asked(running: servers.Server) -> Iterator[replay.Server]:
    server = replay.Server(running.kubeconfig)
    yield server
    server.connection.close()


@pytest.fixture(scope="module", autouse=True)
def stored(asked: replay.Server) -> None:
    assert asked.ask("POST", MAPS, JSON, config_map("big", {"a": "x" * 500_000}))[0] == 201


def config_map(name: str, data: Any = None, **more: Any) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data, **more}).encode()


def pod(**spec: Any) -> bytes:
    containers = [{"name": "c", "image": "i", **spec.pop("container", {})}]
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}).encode()


BODIES: dict[str, tuple[str, dict[str, str], bytes, int, str, str]] = {
    "plain text": (MAPS, {"Content-Type": "text/plain"}, config_map("a"), 415, "UnsupportedMediaType", "unknown format"),
    "CBOR": (MAPS, {"Content-Type": "application/cbor"}, b"\xa0", 415, "UnsupportedMediaType", "unknown format"),
    "no media type": (MAPS, {"Content-Type": "json;;"}, config_map("a"), 415, "UnsupportedMediaType", "unknown format"),
    "no protobuf": (MAPS, {"Content-Type": "application/vnd.kubernetes.protobuf"}, b"k8s\0\xff\xff", 400, "BadRequest", ""),
    "truncated": (MAPS, JSON, config_map("a")[:-9], 400, "BadRequest", "unexpected end of JSON input"),
    "nothing": (MAPS, JSON, b"", 400, "BadRequest", "unexpected end of JSON input"),
    "a list": (MAPS, JSON, b"[]", 400, "BadRequest", "cannot unmarshal array"),
    "two objects": (MAPS, JSON, config_map("a") + b"{}", 400, "BadRequest", "invalid character '{' after top-level value"),
    "UTF-16": (MAPS, JSON, "{}".encode("utf-16"), 400, "BadRequest", "looking for beginning of value"),
    "NaN": (PODS, JSON, pod(priority=float("nan")), 400, "BadRequest", "invalid character 'N'"),
    "int32 overflow": (PODS, JSON, pod(priority=2**31), 400, "BadRequest", "number 2147483648 into Go struct field PodSpec.spec.priority"),
    "exponent": (PODS, JSON, pod(priority=1e3).replace(b"1000.0", b"1e3"), 400, "BadRequest", "cannot unmarshal number 1e3 into"),
    "int64 overflow": (PODS, JSON, pod(priority=10**30), 400, "BadRequest", f"number {10**30} into Go struct field"),
    "endless number": (PODS, JSON, pod().replace(b'"i"', b"9" * 5000), 400, "BadRequest", "cannot unmarshal number 999"),
    "infinite number": (PODS, JSON, pod().replace(b'"i"', b"1e999"), 400, "BadRequest", "cannot unmarshal number 1e999"),
    "deep": (MAPS, JSON, b'{"data":' * 9999 + b"1" + b"}" * 9999, 400, "BadRequest", "exceeded max depth"),
    "3 MB": (MAPS, JSON, config_map("a", {"a": "x" * 3_200_000}), 413, "RequestEntityTooLarge", "limit is 3145728"),
    "1.5 MB": (PODS, JSON, pod(container={"args": ["x" * 1_600_000]}), 413, "RequestEntityTooLarge", "larger than 1572864 bytes"),
    "1 MiB of data": (MAPS, JSON, config_map("a", {"a": "x" * (2**20 + 1)}), 422, "Invalid", "may not be more than 1048576 bytes"),
    "duplicate keys": (
        f"{MAPS}?fieldValidation=Strict",
        JSON,
        b'{"data":{"a":"1","a":"2"}}',
        400,
        "BadRequest",
        'duplicate field "data.a"',
    ),
    "unknown field": (STRICT, JSON, config_map("a", dta={}), 400, "BadRequest", 'unknown field "dta"'),
}


@pytest.mark.parametrize("what", BODIES)
def test_bodies(asked: replay.Server, what: str) -> None:
    path, headers, body, code, reason, words = BODIES[what]
    status, _, answer = asked.ask("POST", path, headers, body)
    found = json.loads(answer)
    assert (status, found["code"], found["reason"]) == (code, code, reason)
    assert words in found["message"]
    assert asked.ask("GET", f"{path.partition('?')[0]}/{'a' if path.startswith(MAPS) else 'p'}", {}, None)[0] == 404


@pytest.mark.parametrize(
    ("patch", "code", "words"),
    [
        ([{"op": "test", "path": "/data/a", "value": "no"}], 422, "the server rejected our request"),
        ([{"op": "remove", "path": "/data/none"}], 422, "the server rejected our request"),
        ([{"op": "copy", "from": "/data/a", "path": f"/data/{name}"} for name in "bcd"], 422, "may not be more than 1048576 bytes"),
        ([{"op": "add", "path": "/data/b", "value": "1"}] * 10_001, 413, "The allowed maximum operations in a JSON patch is 10000"),
        ({"op": "add"}, 400, "error decoding patch"),
    ],
)
def test_patches(asked: replay.Server, patch: Any, code: int, words: str) -> None:
    before = asked.ask("GET", f"{MAPS}/big", {}, None)[2]
    status, _, answer = asked.ask("PATCH", f"{MAPS}/big", PATCH, json.dumps(patch).encode())
    assert status == code, answer[:300]
    assert words in json.loads(answer)["message"]
    assert asked.ask("GET", f"{MAPS}/big", {}, None)[2] == before


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("GET", f"{MAPS}?labelSelector=a%20in%20", {}, 400),
        ("GET", f"{MAPS}?fieldSelector=spec.none%3D1", {}, 400),
        ("GET", f"{MAPS}?limit=x", {}, 400),
        ("GET", f"{MAPS}?limit=1_000", {}, 400),
        ("GET", f"{MAPS}?timeoutSeconds={'9' * 400}", {}, 400),
        ("GET", f"{MAPS}?watch=1&timeoutSeconds={'9' * 400}", {}, 400),
        ("GET", f"{MAPS}?resourceVersion={'9' * 5000}", {}, 400),
        ("GET", f"{MAPS}?continue=zz", {}, 400),
        ("GET", f"/api/v1/namespaces/default/services/a:{'9' * 5000}/proxy/", {}, 404),
        ("GET", MAPS, {"Authorization": "Bearer nobody"}, 401),
        ("GET", MAPS, {"Authorization": "Bearer \x80\xff"}, 401),
        ("GET", MAPS, {"Impersonate-User": "\x80\xff"}, 403),
        ("GET", "/apis/none.example.com/v1/things", {}, 404),
        ("GET", "/api/v1/namespaces/%2e%2e/configmaps", {}, 400),
        ("GET", "/%ff", {}, 404),
        ("FOO", MAPS, {}, 405),
        ("PUT", MAPS, JSON, 405),
    ],
)
def test_queries_tokens_paths_and_methods(asked: replay.Server, method: str, path: str, headers: dict[str, str], code: int) -> None:
    status, _, answer = asked.ask(method, path, headers, b"{}" if method == "PUT" else None)
    assert status == code, answer[:300]


def test_a_revision_that_is_no_number_is_not_written(asked: replay.Server) -> None:
    body = config_map("big", metadata={"name": "big", "resourceVersion": "9" * 5000})
    status, _, answer = asked.ask("PUT", f"{MAPS}/big", JSON, body)
    assert (status, "value out of range" in json.loads(answer)["message"]) == (500, True)  # what kube-apiserver says, too


def test_half_open_connections_stop_nobody(running: servers.Server, asked: replay.Server) -> None:
    with contextlib.ExitStack() as held:
        for index in range(HALF_OPEN):
            half = held.enter_context(socket.create_connection(("127.0.0.1", asked.connection.port)))
            if index % 2:
                half.send(b"\x16\x03\x01")  # the beginning of a handshake
        for _ in range(20):
            begun = held.enter_context(connected(running))
            begun.send(b"POST /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Le")
        for _ in range(5):
            assert asked.ask("GET", MAPS, {}, None)[0] == 200
        assert running.kubectl("get", "namespace", "default", "-o", "name").strip() == "namespace/default"


def test_a_stuck_watcher_is_cut_off_and_delays_nobody(running: servers.Server, asked: replay.Server) -> None:
    assert asked.ask("POST", MAPS, JSON, config_map("w", BIG))[0] == 201
    with contextlib.ExitStack() as held:
        stuck = [held.enter_context(watching(running)) for _ in range(STUCK)]
        reading = held.enter_context(watching(running))
        seen = b""
        for number in range(WRITES):
            status = asked.ask("PATCH", f"{MAPS}/w", {"Content-Type": "application/merge-patch+json"}, patch(number))[0]
            assert status == 200
            while f'"n":"{number}"'.encode() not in seen:
                piece = reading.recv(1 << 16)
                assert piece, "the watcher that reads was cut off"
                seen = seen[-100:] + piece
        for one in stuck:
            assert len(drained(one)) < WRITES * len(BIG["a"])


def patch(number: int) -> bytes:
    return json.dumps({"data": {"n": str(number)}}).encode()


def connected(running: servers.Server) -> ssl.SSLSocket:
    """A TLS connection of the administrator's with little room for what is not read."""
    found = kubeconfig.load(running.kubeconfig)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(60)
    raw.connect(("127.0.0.1", int(found.server.rpartition(":")[2])))
    return found.ssl_context().wrap_socket(raw, server_hostname="127.0.0.1")


def watching(running: servers.Server) -> ssl.SSLSocket:
    """A watch that has begun and of which nothing more is read."""
    made = connected(running)
    made.send(f"GET {MAPS}?watch=1&fieldSelector=metadata.name%3Dw HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert made.recv(200).startswith(b"HTTP/1.1 200")
    return made


def drained(connection: ssl.SSLSocket) -> bytes:
    """What was still on its way when the server cut a connection off."""
    read = bytearray()
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while piece := connection.recv(1 << 16):
            read += piece
    return bytes(read)
