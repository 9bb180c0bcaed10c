"""Service account tokens for projected volumes: asked of the API, kept in memory, renewed in time.

The kubelet's rule: a token is renewed once 80 % of its life has passed, or a day of a long one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.client import protocol
from reconciler.kit import clock as clocks
from reconciler.model import errors, meta, plan
from reconciler.node.volumes import contents

RENEW_FRACTION = 0.8
MAX_AGE_SECONDS = 86_400.0
DEFAULT_SECONDS = 3600

Wanted = tuple[str, int]  # audience, seconds


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float


class Tokens:
    def __init__(self, client: protocol.Client, clock: clocks.Clock) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[tuple[str, Wanted], _Token] = {}

    def of(self, pod: meta.Obj) -> Callable[[str, int], str | None]:
        """What contents.files asks: the token for (audience, seconds), None if there is none."""

        def token(audience: str, seconds: int) -> str | None:
            held = self._held.get((meta.uid(pod), (audience, seconds)))
            return held.text if held is not None else None

        return token

    async def obtain(self, pod: meta.Obj) -> None:
        """Have every token that the pod's volumes ask for; raises contents.Missing where the API gives none."""
        for wanted in wanted_by(pod):
            held = self._held.get((meta.uid(pod), wanted))
            if held is None or held.renew_at <= self._clock.now():
                self._held[meta.uid(pod), wanted] = await self._request(pod, wanted)

    def renewal(self, pod: meta.Obj) -> float | None:
        """When the first of the pod's tokens is to be renewed."""
        uid = meta.uid(pod)
        return min((self._held[uid, wanted].renew_at for wanted in wanted_by(pod) if (uid, wanted) in self._held), default=None)

    def forget(self, uid: str) -> None:
        for key in [key for key in self._held if key[0] == uid]:
            del self._held[key]

    async def _request(self, pod: meta.Obj, wanted: Wanted) -> _Token:
        audience, seconds = wanted
        account = str(meta.spec(pod).get("serviceAccountName") or "default")
        bound = {"kind": "Pod", "apiVersion": "v1", "name": meta.name(pod), "uid": meta.uid(pod)}
        spec = {"audiences": [audience] if audience else [], "expirationSeconds": seconds, "boundObjectRef": bound}
        metadata = {"name": account, "namespace": meta.namespace(pod)}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": metadata, "spec": spec}
        action = plan.Create(kind="serviceaccounts", body=body, subresource="token", why="a volume of the pod holds it")
        try:
            written = await self._client.perform(action, protocol.Origin(actor=f"kubelet/{meta.spec(pod).get('nodeName')}"))
        except (errors.StatusError, protocol.Unknown) as error:
            raise contents.Missing(f'failed to fetch token of service account "{account}": {error}') from error
        now = self._clock.now()
        return _Token(str(meta.status(written.obj)["token"]), now + min(seconds * RENEW_FRACTION, MAX_AGE_SECONDS))


def wanted_by(pod: meta.Obj) -> tuple[Wanted, ...]:
    found = []
    for volume in meta.spec(pod).get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken")
            if token is not None:
                found.append((str(token.get("audience") or ""), int(token.get("expirationSeconds") or DEFAULT_SECONDS)))
    return tuple(dict.fromkeys(found))
