"""Being told by forges, and telling others."""

import asyncio
import hashlib
import hmac
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from reconciler.gitops import hooks, notify, sync
from reconciler.gitops.remote import NO_CREDENTIALS, Credentials
from reconciler.kit import clock
from reconciler.model import plan
from tests.unit.gitops.test_fleet import a_sync, commit, folders, live, repository
from tests.unit.gitops.world import USER, config, following

BODY = b'{"ref": "refs/heads/main"}'
TOKEN = b"s3cret"
DIGEST = hmac.new(TOKEN, BODY, hashlib.sha256).hexdigest()
NEWS = notify.News("apps", "Failed", "web is not healthy", "1234567890abcdef", ("~ web",))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Hub-Signature-256": f"sha256={DIGEST}"}, True),
        ({"X-Gitea-Signature": DIGEST}, True),
        ({"X-Gitlab-Token": TOKEN.decode()}, True),
        ({"X-Gitlab-Token": "s3creT"}, False),
        ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, False),
        ({"X-Hub-Signature-256": DIGEST}, False),
        ({}, False),
    ],
)
def test_signatures(headers: dict[str, str], expected: bool) -> None:
    assert hooks.is_signed(headers, BODY, TOKEN) is expected


def test_nothing_is_signed_without_a_token() -> None:
    empty = hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    assert not hooks.is_signed({"X-Gitea-Signature": empty, "X-Gitlab-Token": ""}, BODY, b"")


async def test_a_signed_call_makes_a_sync_fetch(tmp_path: pathlib.Path) -> None:
    origin = repository(tmp_path / "origin")
    commit(origin, "a.yaml", config("a", "1"))
    root = folders(tmp_path)
    (root / "g.yaml").write_text(a_sync("g", f"{{git: {{url: 'file://{origin}', intervalSeconds: 3600, webhook: {{name: hook}}}}}}"))
    async with following(root) as world:
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "hook", "namespace": "default"},
            "stringData": {"token": "s3cret"},
        }
        await world.client.perform(plan.Create(kind="secrets", body=body, why="test"), USER)
        await world.until(lambda: live(world, "a") and world.cache.get("secrets", "default", "hook"), "the first commit")
        port = await world.agent.door.start("127.0.0.1", 0)
        commit(origin, "a.yaml", config("a", "2"))
        async with aiohttp.ClientSession() as session:
            for name, token, status in (("g", "wrong", 403), ("none", "s3cret", 403), ("g", "s3cret", 202)):
                async with session.post(f"http://127.0.0.1:{port}/hooks/{name}", data=BODY, headers={"X-Gitlab-Token": token}) as answer:
                    assert answer.status == status
        await world.until(lambda: live(world, "a")["data"] == {"k": "2"}, "the second commit")
        await world.agent.door.close()


def test_what_each_receiver_gets() -> None:
    token = Credentials({"token": b"t"})
    made = notify.call(sync.Notify(url="https://example.com/x"), NEWS, "", token)
    assert made is not None
    assert (made.url, made.body["outcome"], made.headers) == ("https://example.com/x", "Failed", {"Authorization": "Bearer t"})
    slack = notify.call(sync.Notify(type="slack"), NEWS, "", Credentials({"address": b"https://hooks.example/secret"}))
    assert slack is not None
    assert (slack.url, slack.body) == ("https://hooks.example/secret", {"text": "Sync apps at 1234567890ab: Failed: web is not healthy"})
    github = notify.call(sync.Notify(type="github"), NEWS, "git@github.com:org/repo.git", token)
    assert github is not None
    assert github.url == "https://api.github.com/repos/org/repo/statuses/1234567890abcdef"
    assert (github.body["state"], github.body["context"]) == ("failure", "reconciler/apps")
    gitlab = notify.call(sync.Notify(type="gitlab", url="https://git.example"), NEWS, "https://git.example/a/b/c.git", token)
    assert gitlab is not None
    assert gitlab.url == "https://git.example/api/v4/projects/a%2Fb%2Fc/statuses/1234567890abcdef"
    assert (gitlab.body["state"], gitlab.headers) == ("failed", {"PRIVATE-TOKEN": "t"})
    gitea = notify.call(sync.Notify(type="gitea", url="https://git.example"), NEWS, "ssh://git@git.example/a/b", token)
    assert gitea is not None
    assert gitea.url == "https://git.example/api/v1/repos/a/b/statuses/1234567890abcdef"
    assert notify.call(sync.Notify(type="github"), NEWS, "/local/repository", NO_CREDENTIALS) is None


class Receiver:
    """Refuses the first `refusals` calls."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.calls = 0
        self.taken: asyncio.Queue[Any] = asyncio.Queue()
        app = web.Application()
        app.router.add_post("/", self._called)
        self._runner = web.AppRunner(app)

    async def start(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _called(self, request: web.Request) -> web.Response:
        self.calls += 1
        if self.calls <= self.refusals:
            return web.Response(status=503)
        self.taken.put_nowait(json.loads(await request.read()))
        return web.Response()


class Impatient(clock.SystemClock):
    async def sleep(self, delay_seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.fixture
async def sender() -> AsyncIterator[notify.Sender]:
    made = notify.Sender(Impatient())
    running = asyncio.ensure_future(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_refused_message_is_sent_again_and_given_up_in_the_end(sender: notify.Sender) -> None:
    receiver, deaf = Receiver(2), Receiver(99)
    sender.put("a", notify.Call(await deaf.start(), {"n": 0}, {}))
    sender.put("a", notify.Call(await receiver.start(), {"n": 1}, {}))
    async with asyncio.timeout(20):
        assert await receiver.taken.get() == {"n": 1}
    assert (deaf.calls, receiver.calls) == (notify.ATTEMPTS, 3)
    await deaf.close()
    await receiver.close()


async def test_the_queue_is_bounded() -> None:
    idle = notify.Sender(Impatient())
    for number in range(notify.MAX_WAITING + 5):
        idle.put("a", notify.Call("http://127.0.0.1:1/", {"n": number}, {}))
    assert idle._waiting.qsize() == notify.MAX_WAITING


async def test_a_sync_tells_what_became_of_it(tmp_path: pathlib.Path) -> None:
    receiver = Receiver(0)
    address = await receiver.start()
    root = folders(tmp_path)
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "a.yaml").write_text(config("a", "1"))
    (root / "apps.yaml").write_text(a_sync("apps", f"{{path: {tmp_path / 'apps'}, notify: [{{type: webhook, url: '{address}'}}]}}"))
    async with following(root) as world, asyncio.timeout(20):
        told = await receiver.taken.get()
        assert (told["sync"], told["outcome"], told["changes"]) == ("apps", "Healthy", ["+ ConfigMap default/a"])
        (tmp_path / "apps" / "a.yaml").write_text("kind: [\n")
        told = await receiver.taken.get()
        assert told["outcome"] == "Refused"
        assert "a.yaml:2:1" in told["message"]
        assert world.report("apps")["errors"]
    await receiver.close()
