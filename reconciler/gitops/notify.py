"""Tells others what became of a Sync: a webhook, a Slack-compatible endpoint, or a commit's status at its forge.

Messages wait in a bounded queue of their own, so a slow receiver delays nothing; each is tried a few times with
growing delays and then dropped with a word in the log. An address and a token may come from a Secret; neither is ever
logged.
"""

import asyncio
import logging
import re
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from reconciler.gitops import sync
from reconciler.gitops.remote import Credentials
from reconciler.kit import clock as clocks

log = logging.getLogger(__name__)

MAX_WAITING = 100
ATTEMPTS = 5
FIRST_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0
CONTEXT = "reconciler"  # of a commit's status
_REPOSITORY = re.compile(r"(?:https?://[^/]+/|ssh://[^/]+/|[^@/]+@[^:/]+:)(?P<path>.+?)(?:\.git)?/?$")


@dataclass(frozen=True, slots=True)
class News:
    """How a Sync stands since now."""

    sync: str
    outcome: str  # Healthy, Progressing, Refused, Failed
    message: str
    commit: str = ""
    changes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        at = f" at {self.commit[:12]}" if self.commit else ""
        return f"Sync {self.sync}{at}: {self.outcome}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to make."""

    url: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]


def call(wanted: sync.Notify, news: News, repository: str, access: Credentials) -> Call | None:
    """The request that tells `news`; None where there is nothing to tell, such as a status without a commit."""
    address = access.text("address") or wanted.url
    token = access.text("token", "password")
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    if wanted.type == "webhook":
        body = {"sync": news.sync, "outcome": news.outcome, "message": news.message, "commit": news.commit, "changes": list(news.changes)}
        return Call(address, body, bearer)
    if wanted.type == "slack":
        return Call(address, {"text": news.text}, bearer)
    path = _REPOSITORY.match(repository)
    if not news.commit or path is None:
        return None
    found = path["path"]
    description = news.text[:140]
    context = f"{CONTEXT}/{news.sync}"
    if wanted.type == "gitlab":
        state = {"Healthy": "success", "Progressing": "running"}.get(news.outcome, "failed")
        project = urllib.parse.quote(found, safe="")
        url = f"{address or 'https://gitlab.com'}/api/v4/projects/{project}/statuses/{news.commit}"
        return Call(url, {"state": state, "name": context, "description": description}, {"PRIVATE-TOKEN": token})
    state = {"Healthy": "success", "Progressing": "pending"}.get(news.outcome, "failure")
    base = (address or "https://api.github.com") if wanted.type == "github" else f"{address}/api/v1"
    return Call(f"{base}/repos/{found}/statuses/{news.commit}", {"state": state, "context": context, "description": description}, bearer)


class Sender:
    """Sends what is put in, in order, until cancelled."""

    def __init__(self, clock: clocks.Clock) -> None:
        self._clock = clock
        self._waiting: asyncio.Queue[tuple[str, Call]] = asyncio.Queue(MAX_WAITING)

    def put(self, name: str, made: Call) -> None:
        try:
            self._waiting.put_nowait((name, made))
        except asyncio.QueueFull:
            log.warning("a notification is dropped: too many are waiting", extra={"facts": {"sync": name}})

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                name, made = await self._waiting.get()
                await self._send(session, name, made)

    async def _send(self, session: aiohttp.ClientSession, name: str, made: Call) -> None:
        for attempt in range(ATTEMPTS):
            problem = await _post(session, made)
            if not problem:
                return
            log.info("a notification was not taken", extra={"facts": {"sync": name, "why": problem, "attempt": attempt + 1}})
            await self._clock.sleep(FIRST_SECONDS * 2**attempt)
        log.warning("a notification is given up", extra={"facts": {"sync": name, "why": problem}})


async def _post(session: aiohttp.ClientSession, made: Call) -> str:
    """Why it failed, without the address, which may be a secret; "" when it did not."""
    headers = {"Content-Type": "application/json", "User-Agent": CONTEXT, **made.headers}
    try:
        async with session.post(made.url, data=orjson.dumps(made.body), headers=headers, allow_redirects=False) as answer:
            return "" if answer.status < 300 else f"answered {answer.status}"
    except (aiohttp.ClientError, TimeoutError, ValueError, ssl.SSLError) as error:
        return type(error).__name__
