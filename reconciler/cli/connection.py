"""How a verb reaches the server: a kubeconfig, or else the local socket of the data folder.

Standard library only, for start-up time. `--kubeconfig` wins over $KUBECONFIG, which wins over the socket.
"""

import argparse
import http.client
import json
import os
import pathlib
import socket
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.cli import main

TIMEOUT_SECONDS = 60.0


def add_options(parser: argparse.ArgumentParser, *, namespace: bool = False) -> None:
    parser.add_argument("--kubeconfig", metavar="FILE", help="the server to ask (default: $KUBECONFIG, else the local socket)")
    parser.add_argument("--data-dir", metavar="DIR", type=pathlib.Path, help="the data folder whose socket is asked")
    if namespace:
        parser.add_argument("-n", "--namespace", help="the namespace (default: default)")


def default_data_dir() -> pathlib.Path:
    """/var/lib/reconciler for root, else the user's XDG data folder."""
    if os.geteuid() == 0:
        return pathlib.Path("/var/lib/reconciler")
    base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return pathlib.Path(base) / "reconciler"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self._path)


class Connection:
    """Requests to one server. Raises main.Refused with the server's own message."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        kubeconfig = arguments.kubeconfig or (None if arguments.data_dir else os.environ.get("KUBECONFIG"))
        self._headers: dict[str, str] = {"User-Agent": "reconciler-cli", "Accept": "application/json"}
        self._prefix = ""
        if kubeconfig:
            self.where = str(kubeconfig)
            self._http = self._from_kubeconfig(pathlib.Path(kubeconfig))
        else:
            path = (arguments.data_dir or default_data_dir()) / "api.sock"
            self.where = str(path)
            self._http = _UnixConnection(str(path))

    def ask(
        self, method: str, path: str, body: Any = None, *, accept: str = "", content_type: str = "application/json"
    ) -> http.client.HTTPResponse:
        headers = dict(self._headers)
        if accept:
            headers["Accept"] = accept
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self._http.request(method, self._prefix + path, body=data, headers=headers)
            answer = self._http.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise main.Refused(f"no answer from {self.where} ({error}); is `reconciler up` running?") from error
        if answer.status >= 400:
            raise (main.NotFound if answer.status == 404 else main.Refused)(_message(answer))
        return answer

    def json(self, path: str, *, accept: str = "") -> dict[str, Any]:
        return dict(json.loads(self.ask("GET", path, accept=accept).read()))

    def lines(self, path: str, *, accept: str = "") -> Iterator[bytes]:
        """The lines of an answer as they arrive, without a time limit between them."""
        answer = self.ask("GET", path, accept=accept)
        if self._http.sock is not None:
            self._http.sock.settimeout(None)
        while line := answer.readline():
            yield line

    def _from_kubeconfig(self, path: pathlib.Path) -> http.client.HTTPConnection:
        import ssl

        from reconciler.client import kubeconfig

        try:
            cluster = kubeconfig.load(path)
        except (OSError, ValueError) as error:
            raise main.Refused(f"{path}: {error}") from error
        url = urllib.parse.urlsplit(cluster.server)
        self._prefix = url.path.rstrip("/")
        if cluster.token:
            self._headers["Authorization"] = f"Bearer {cluster.token}"
        if url.scheme != "https":
            return http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=TIMEOUT_SECONDS)
        try:
            context = cluster.ssl_context()
        except (ValueError, ssl.SSLError) as error:
            raise main.Refused(f"{path}: the certificates cannot be used: {error}") from error
        return http.client.HTTPSConnection(url.hostname or "", url.port or 443, timeout=TIMEOUT_SECONDS, context=context)


class Resource:
    """One served kind, as discovery names it."""

    def __init__(self, group: str, version: str, found: Mapping[str, Any]) -> None:
        self.plural = str(found["resource"])
        self.kind = str(found["responseKind"]["kind"])
        self.group, self.version = group, version
        self.namespaced = found["scope"] == "Namespaced"
        self.names = {self.plural, str(found.get("singularResource", "")), self.kind.lower(), *found.get("shortNames", ())}
        self.categories = frozenset(found.get("categories", ()))
        self.verbs = frozenset(found.get("verbs", ()))

    @property
    def id(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None, name: str = "") -> str:
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace is not None:
            base += f"/namespaces/{urllib.parse.quote(namespace, safe='')}"
        return f"{base}/{self.plural}" + (f"/{urllib.parse.quote(name, safe='')}" if name else "")


def discovered(connection: Connection) -> list[Resource]:
    """Every kind that is served, each in its preferred version."""
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    return [
        Resource(group["metadata"].get("name", ""), group["versions"][0]["version"], resource)
        for root in ("/api", "/apis")
        for group in connection.json(root, accept=accept)["items"]
        for resource in group["versions"][0].get("resources", ())
    ]


def resources(connection: Connection, word: str) -> list[Resource]:
    """The kinds that a user's word means: a name, a short name, NAME.GROUP, or a category such as `all`."""
    wanted = word.lower()
    found = discovered(connection)
    chosen = [r for r in found if wanted in r.names or wanted == r.id or any(f"{name}.{r.group}" == wanted for name in r.names)]
    if chosen:
        return chosen[:1]
    chosen = [r for r in found if wanted in r.categories]
    if not chosen:
        raise main.Refused(f'the server doesn\'t have a resource type "{word}"')
    return chosen


def target(connection: Connection, words: list[str]) -> tuple[Resource, str]:
    """(kind, name) of `KIND/NAME` or `KIND NAME`."""
    kind, _, name = words[0].partition("/") if len(words) == 1 else (words[0], "", words[1])
    if not kind or not name:
        raise main.Refused("name one object, such as pod/web-1 or deployment web")
    return resources(connection, kind)[0], name


def _message(answer: http.client.HTTPResponse) -> str:
    body = answer.read()
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {answer.status}: {body[:200].decode('utf-8', 'replace')}"
