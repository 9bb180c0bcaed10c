"""What goes on while things are killed: clients that write over the local socket, and what they know to be true.

A write is acknowledged, or its outcome is unknown until the server is asked again. Every object that is ever seen is
noted under its revision: no revision may show two different objects, whatever dies.
"""

import contextlib
import hashlib
import http.client
import json
import pathlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

TIMEOUT_SECONDS = 30.0
PAUSE_SECONDS = 0.01
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
SCALED = "/apis/apps/v1/namespaces/default/deployments/scaled/scale"
WATCHED = (CONFIGMAPS, "/api/v1/pods", "/apis/apps/v1/deployments", "/apis/apps/v1/replicasets", "/apis/coordination.k8s.io/v1/leases")
KEYS = 5  # per writer
MAX_REPLICAS = 4


class Lost(Exception):
    """No answer came: the request may or may not have been performed."""


class Answered(Exception):
    """The server refused."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class Api:
    """One client of the local socket, which is at the same place in every life of the daemon."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> dict[str, Any]:
        with self._request(method, path, body, content_type) as answer:
            try:
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise Lost from error
            if answer.status >= 400:
                raise Answered(answer.status, text.decode(errors="replace")[:500])
            return dict(json.loads(text))

    def lines(self, path: str) -> Iterator[dict[str, Any]]:
        with self._request("GET", path, None, "") as answer, contextlib.suppress(OSError, http.client.HTTPException):
            while (line := answer.readline()).endswith(b"\n"):
                yield dict(json.loads(line))

    def is_ready(self) -> bool:
        with contextlib.suppress(Lost), self._request("GET", "/readyz", None, "") as answer:
            return answer.status == 200
        return False

    @contextlib.contextmanager
    def _request(self, method: str, path: str, body: Any, content_type: str) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(TIMEOUT_SECONDS)
        try:
            connection.sock.connect(str(self._path))
            data = json.dumps(body) if body is not None else None
            connection.request(method, path, data, {"Content-Type": content_type} if data else {})
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Lost from error
        try:
            yield answer
        finally:
            connection.close()


class Revisions:
    """What each revision was seen to be."""

    def __init__(self) -> None:
        self._seen: dict[int, str] = {}
        self._lock = threading.Lock()

    def note(self, obj: dict[str, Any]) -> int:
        metadata = obj["metadata"]
        revision = int(metadata["resourceVersion"])
        content = json.dumps({name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}, sort_keys=True)
        words = f"{metadata.get('namespace')}/{metadata['name']} {metadata['uid']} {hashlib.sha256(content.encode()).hexdigest()}"
        with self._lock:
            known = self._seen.setdefault(revision, words)
        assert known == words, f"revision {revision} was {known} and is {words}"
        return revision


class Load:
    """Threads that write and watch until `stop`, which raises whatever any of them found wrong."""

    def __init__(self, api: Api, seed: int, writers: int = 3) -> None:
        self.api = api
        self.revisions = Revisions()
        self.acknowledged = 0
        self.replicas: set[int] = set()  # what the Deployment `scaled` may be asked to have
        self.writers = [Writer(self, f"w{n}", random.Random(seed + n)) for n in range(writers)]
        self._chance = random.Random(seed)
        self._stopping = threading.Event()
        self._failures: list[BaseException] = []
        work = [*(writer.step for writer in self.writers), self._scale, *(self._watcher(path) for path in WATCHED)]
        self._threads = [threading.Thread(target=self._repeat, args=(step,), daemon=True) for step in work]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """The server must be there, so that nobody waits for it."""
        self._stopping.set()
        self.api.ask("POST", CONFIGMAPS, {"metadata": {"name": "the-end"}})
        for thread in self._threads[: len(self.writers) + 1]:
            thread.join(TIMEOUT_SECONDS)
        self.check()

    def check(self) -> None:
        if self._failures:
            raise self._failures[0]

    def _repeat(self, step: Any) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    step()
                except Lost:
                    time.sleep(PAUSE_SECONDS)
        except BaseException as error:  # noqa: BLE001 - told by `check`, in the thread that can fail the test
            self._failures.append(error)

    def _scale(self) -> None:
        wanted = self._chance.randrange(MAX_REPLICAS + 1)
        self.replicas.add(wanted)
        self.api.ask("PATCH", SCALED, {"spec": {"replicas": wanted}}, "application/merge-patch+json")
        self.replicas = {wanted}
        self.acknowledged += 1
        time.sleep(self._chance.random() * 0.3)

    def _watcher(self, path: str) -> Any:
        def watch() -> None:
            for event in self.api.lines(f"{path}?watch=1&allowWatchBookmarks=false"):
                if event["type"] in ("ADDED", "MODIFIED"):
                    self.revisions.note(event["object"])
                if self._stopping.is_set():
                    return

        return watch


class Writer:
    """Creates, changes and deletes ConfigMaps of its own; both halves of each must always be equal."""

    def __init__(self, load: Load, name: str, chance: random.Random) -> None:
        self._load, self._name, self._chance = load, name, chance
        self._known: dict[str, str | None] = {}  # acknowledged
        self._tried: dict[str, str | None] = {}  # what was sent without an answer
        self._count = 0

    def step(self) -> None:
        if self._tried:
            self.verify()
        name = f"{self._name}-{self._chance.randrange(KEYS)}"
        self._count += 1
        value = None if self._known.get(name) is not None and self._chance.random() < 0.2 else f"{self._count}"
        self._tried[name] = value
        self._write(name, value)
        self._known[name] = self._tried.pop(name)
        self._load.acknowledged += 1

    def _write(self, name: str, value: str | None) -> None:
        if value is None:
            self._load.api.ask("DELETE", f"{CONFIGMAPS}/{name}")
            return
        padding = "x" * self._chance.choice((10, 1000, 20_000))
        body = {"metadata": {"name": name, "labels": {"writer": self._name}}, "data": {"left": value, "right": value, "padding": padding}}
        if self._known.get(name) is None:
            self._load.revisions.note(self._load.api.ask("POST", CONFIGMAPS, body))
        else:
            self._load.revisions.note(self._load.api.ask("PUT", f"{CONFIGMAPS}/{name}", body))

    def verify(self) -> None:
        """Everything acknowledged is there, nothing half written; what was unknown is known from now on."""
        items = self._load.api.ask("GET", f"{CONFIGMAPS}?labelSelector=writer%3D{self._name}")["items"]
        found: dict[str, str | None] = {}
        for item in items:
            self._load.revisions.note(item)
            assert item["data"]["left"] == item["data"]["right"], item
            found[item["metadata"]["name"]] = item["data"]["left"]
        for name in {*found, *self._known, *self._tried}:
            allowed = {self._known.get(name), *([self._tried[name]] if name in self._tried else [])}
            assert found.get(name) in allowed, f"{name} is {found.get(name)!r}, want one of {allowed}"
            self._known[name] = found.get(name)
        self._tried.clear()
