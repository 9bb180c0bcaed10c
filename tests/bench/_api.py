"""A bare client for benches: one kept-alive connection to a daemon's local socket."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

from tests import servers


class Api:
    def __init__(self, server: servers.Server) -> None:
        self._http = http.client.HTTPConnection("localhost", timeout=60)
        self._http.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._http.sock.connect(str(server.data_dir / "api.sock"))

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        self._http.request(method, path, None if body is None else json.dumps(body), {"Content-Type": content_type})
        answer = self._http.getresponse()
        data = answer.read()
        if answer.status >= 400:
            raise AssertionError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return json.loads(data)

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def watch(self, path: str) -> Iterator[Any]:
        """The events until the server ends the watch."""
        self._http.request("GET", path)
        for line in self._http.getresponse():
            yield json.loads(line)
