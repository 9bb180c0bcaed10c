"""Paths to routes."""

import pytest

from reconciler import kinds
from reconciler.api import requests
from reconciler.model import errors

ROUTER = requests.Router(kinds.builtin())


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/v1/pods", ("pods", "", "", "")),
        ("/api/v1/namespaces/a/pods", ("pods", "a", "", "")),
        ("/api/v1/namespaces/a/pods/", ("pods", "a", "", "")),
        ("/api/v1/namespaces/a/pods/b/log", ("pods", "a", "b", "log")),
        ("/api/v1/namespaces/a", ("namespaces", "", "a", "")),
        ("/api/v1/namespaces/a/status", ("namespaces", "", "a", "status")),
        ("/apis/apps/v1/namespaces/a/deployments/b", ("deployments.apps", "a", "b", "")),
        ("/api/v1/watch/namespaces/a/pods", ("pods", "a", "", "")),
        ("/api/v1/namespaces/a/configmaps/x%20y", ("configmaps", "a", "x y", "")),
    ],
)
def test_routes(path: str, found: tuple[str, str, str, str]) -> None:
    route = ROUTER.route(path)
    assert route is not None
    assert (route.kind.id, route.namespace, route.name, route.subresource) == found


@pytest.mark.parametrize("path", ["/", "/version", "/apis", "/api/v1", "/apis/apps/v1", "/apis/none.example.com/v1/things", "/healthz"])
def test_paths_that_are_no_resource(path: str) -> None:
    assert ROUTER.route(path) is None


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/nothing", 404),
        ("/apis/apps/v9/deployments", 404),
        ("/api/v1//pods", 404),
        ("/api/v1/namespaces/a/namespaces", 404),
        ("/api/v1/namespaces/a/nodes", 404),
        ("/api/v1/pods/x", 404),
        ("/api/v1/namespaces/a/configmaps/b/status", 404),
        ("/api/v1/namespaces/a/configmaps/a%2Fb", 404),
        ("/api/v1/namespaces/a/configmaps/..%2f", 400),
        ("/api/v1/namespaces/../configmaps/x", 400),
    ],
)
def test_refused_paths(path: str, code: int) -> None:
    with pytest.raises(errors.StatusError) as refused:
        ROUTER.route(path)
    assert refused.value.code == code
