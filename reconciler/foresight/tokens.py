"""Performs `IssueToken`: asks the API for a token that is bound to a Secret, and writes it there.

The token lives as long as the Secret and its ServiceAccount do, which the server looks up each time it is shown; its
expiry is as far away as a TokenRequest may ask for.
"""

import base64

from reconciler.client import protocol
from reconciler.controllers import signing
from reconciler.loop import perform
from reconciler.model import meta, plan

LONGEST_SECONDS = 1 << 32


class Tokens:
    def __init__(self, client: protocol.Client) -> None:
        self._client = client

    def performers(self) -> dict[type, perform.Performer]:
        return {signing.IssueToken: self._issue}

    async def _issue(self, action: plan.Action, origin: protocol.Origin) -> protocol.Written | None:
        assert isinstance(action, signing.IssueToken)
        bound = {"apiVersion": "v1", "kind": "Secret", "name": action.name, "uid": action.uid}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"name": action.account, "namespace": action.namespace},
            "spec": {"boundObjectRef": bound, "expirationSeconds": LONGEST_SECONDS},
        }
        ask = plan.Create(kind="serviceaccounts", subresource="token", body=request, why=action.why)
        answer = (await self._client.perform(ask, origin)).obj
        token = base64.b64encode(str(meta.status(answer)["token"]).encode()).decode()
        write = plan.Patch(
            kind=action.kind,
            namespace=action.namespace,
            name=action.name,
            uid=action.uid,
            type="merge",
            patch={"data": {"token": token}},
            why=action.why,
        )
        return await self._client.perform(write, origin)
