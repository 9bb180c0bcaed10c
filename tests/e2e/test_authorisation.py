"""Roles and reviews with real kubectl: auth can-i, --list, whoami, --as, and the listed API services."""

from collections.abc import Iterator

import pytest

from tests import servers


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    with servers.running("--runtime", "none") as made:
        yield made


def can_i(server: servers.Server, *words: str) -> str:
    return server.kubectl("auth", "can-i", *words, check=False).strip().splitlines()[0]


def test_kubectl_asks_what_it_may(server: servers.Server) -> None:
    assert can_i(server, "*", "*") == "yes"
    assert can_i(server, "get", "pods", "--as", "jane") == "no"
    server.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log")
    server.kubectl("create", "rolebinding", "reads", "--role=reader", "--user=jane", "--serviceaccount=default:robot")
    assert can_i(server, "get", "pods", "--as", "jane") == "yes"
    assert can_i(server, "get", "pods", "--subresource=log", "--as", "system:serviceaccount:default:robot") == "yes"
    assert can_i(server, "delete", "pods", "--as", "jane") == "no"
    assert can_i(server, "get", "/version", "--as", "jane") == "yes"
    listed = server.kubectl("auth", "can-i", "--list", "--as", "jane")
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("pods")] == ["pods/log", "pods"]
    refused = server.kubectl("delete", "pod", "none", "--as", "jane", check=False)
    assert refused == ""


def test_aggregated_roles_and_api_services_are_there(server: servers.Server) -> None:
    server.kubectl("create", "namespace", "team")
    server.kubectl("create", "rolebinding", "edits", "--clusterrole=edit", "--group=devs", "-n", "team")
    servers.eventually(lambda: can_i(server, "create", "deployments", "-n", "team", "--as", "joe", "--as-group", "devs") == "yes")
    assert can_i(server, "create", "roles", "-n", "team", "--as", "joe", "--as-group", "devs") == "no"
    listed = servers.eventually(lambda: "v1.apps" in (text := server.kubectl("get", "apiservices")) and text)
    assert "v1.apps" in listed
    assert "Local" in listed
