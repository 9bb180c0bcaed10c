"""The door for webhooks: a push to a repository makes its Sync fetch at once instead of at its next interval.

POST /hooks/SYNC, signed with the token of the Secret that the Sync names, as GitHub, Gitea and Forgejo (HMAC-SHA256
of the body) and GitLab (the token itself) do it; compared in constant time. What a call says is not used: it only
wakes a fetch. An unknown Sync and a wrong signature are answered alike, so nothing can be learnt by asking.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping

from aiohttp import web

MAX_BODY_BYTES = 1 << 20

Token = Callable[[str], bytes]  # of a Sync; empty where its webhook is not set up
Poke = Callable[[str], bool]


def is_signed(headers: Mapping[str, str], body: bytes, token: bytes) -> bool:
    """Whether a call was made by somebody who knows the token."""
    if not token:
        return False
    digest = hmac.new(token, body, hashlib.sha256).hexdigest()
    given = (
        (headers.get("X-Hub-Signature-256", ""), f"sha256={digest}"),
        (headers.get("X-Gitea-Signature", ""), digest),
        (headers.get("X-Gitlab-Token", ""), token.decode("utf-8", "replace")),
    )
    return any(hmac.compare_digest(one.encode("utf-8", "surrogateescape"), wanted.encode()) for one, wanted in given)


class Door:
    """Serves until closed."""

    def __init__(self, token: Token, poke: Poke) -> None:
        self._token = token
        self._poke = poke
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """The port that it listens on."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/hooks/{sync}", self._called)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _called(self, request: web.Request) -> web.Response:
        body = await request.read()
        name = request.match_info["sync"]
        if not is_signed(request.headers, body, self._token(name)) or not self._poke(name):
            return web.Response(status=403, text="unknown, or not signed with the token of its Secret\n")
        return web.Response(status=202, text="fetching\n")
