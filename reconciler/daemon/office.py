"""The office of certificate requests: reads them, asks the roles about their senders, signs with the cluster's authority.

What is approved and signed is decided in controllers/certificates.py.
"""

import asyncio
import base64
from collections.abc import Callable, Mapping
from typing import Any

from reconciler.api.auth import authorisation, certificates
from reconciler.api.auth.authorisation import Asked
from reconciler.api.calls import User
from reconciler.client import protocol
from reconciler.controllers import signing
from reconciler.loop import perform
from reconciler.model import plan

Decide = Callable[[User, Asked], authorisation.Decision]

GROUP, RESOURCE = "certificates.k8s.io", "certificatesigningrequests"


class Office:
    """Implements controllers/signing.Office, and performs Sign. Without `signs` nothing is ever signed."""

    def __init__(self, authority: certificates.Authority, decide: Decide, client: protocol.Client, *, signs: bool) -> None:
        self._authority, self._decide, self._client, self._signs = authority, decide, client, signs

    @property
    def signs(self) -> bool:
        return self._signs

    def read(self, packed: str) -> signing.Asked | None:
        try:
            found = certificates.read_request(base64.b64decode(packed))
        except ValueError:
            return None
        return signing.Asked(**found)

    def allows(self, sender: Mapping[str, Any], subresource: str) -> bool:
        user = User(name=str(sender.get("username", "")), groups=tuple(sender.get("groups") or ()), uid=str(sender.get("uid", "")))
        return self._decide(user, Asked(verb="create", group=GROUP, resource=RESOURCE, subresource=subresource)).allowed

    def performers(self) -> dict[type, perform.Performer]:
        return {signing.Sign: self._sign}

    async def _sign(self, action: plan.Action, origin: protocol.Origin) -> protocol.Written | None:
        assert isinstance(action, signing.Sign)
        request = base64.b64decode(action.packed)
        pem = await asyncio.to_thread(self._authority.issue, request, action.usages, action.seconds)
        patch = {"status": {"certificate": base64.b64encode(pem).decode()}}
        write = plan.Patch(
            kind=action.kind,
            namespace="",
            name=action.name,
            uid=action.uid,
            type="merge",
            patch=patch,
            why=action.why,
            subresource="status",
        )
        return await self._client.perform(write, origin)
