"""Has conversions made by definitions' webhooks (ConversionReview), for who cannot wait for them.

The words of failures are k8s.io/apiextensions-apiserver/pkg/apiserver/conversion's.
"""

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from reconciler.api import outbound
from reconciler.api.cache import Item
from reconciler.kit import ids
from reconciler.model import errors, meta
from reconciler.model.conversion import Conversions, Unconverted
from reconciler.model.kind import Kind, Version

T = TypeVar("T")

GROUP = "apiextensions.k8s.io"
TIMEOUT_SECONDS = 30.0
ROUNDS_MOST = 16  # conversions that one decision may turn out to need, one after the other
AT_ONCE = 200  # objects of one request


class Converter:
    def __init__(self, client: outbound.Outbound, source: ids.Source) -> None:
        self._client = client
        self._ids = source

    async def settled(self, decide: Callable[[], Awaitable[T]]) -> T:
        """What `decide` comes to once everything that it needs is converted. Raises StatusError."""
        for _ in range(ROUNDS_MOST):
            try:
                return await decide()
            except Unconverted as needed:
                await self._convert(needed.conversions, needed.api_version, [needed.obj])
        raise errors.StatusError(500, "", f"more than {ROUNDS_MOST} conversions for one request")

    async def prepare(self, kind: Kind, version: Version, items: Sequence[Item]) -> None:
        """See to it that items can be shown in a version. Raises StatusError."""
        if kind.conversions is None:
            return
        needed: list[Unconverted] = []
        for item in items:
            try:
                version.from_hub(item.obj)
            except Unconverted as missing:
                needed.append(missing)
        for first in range(0, len(needed), AT_ONCE):
            part = needed[first : first + AT_ONCE]
            await self._convert(part[0].conversions, part[0].api_version, [missing.obj for missing in part])

    async def _convert(self, conversions: Conversions, api_version: str, objs: Sequence[meta.Obj]) -> None:
        about = f"{objs[0].get('apiVersion', '')}, Kind={objs[0].get('kind', '')}"
        try:
            converted = await self._asked(conversions, api_version, objs)
            if len(converted) != len(objs):
                raise errors.StatusError(500, "", f"conversion webhook for {about} returned {len(converted)} objects, expected {len(objs)}")
            for index, (obj, made) in enumerate(zip(objs, converted, strict=True)):
                problem = _problem(obj, made, api_version)
                if problem:
                    told = f"conversion webhook for {about} returned invalid converted object at index {index}: {problem}"
                    raise errors.StatusError(500, "", told)
                conversions.remember(obj, made)
        except (outbound.Failed, _Unusable) as failed:
            raise errors.StatusError(500, "", f"conversion webhook for {about} failed: {failed}") from None

    async def _asked(self, conversions: Conversions, api_version: str, objs: Sequence[meta.Obj]) -> list[Any]:
        config, uid = conversions.webhook.get("clientConfig") or {}, self._ids.uid()
        if "v1" not in (conversions.webhook.get("conversionReviewVersions") or ()):
            raise _Unusable("the webhook accepts no known ConversionReview version (v1)")
        place = outbound.Place.of(config, base64.b64decode(config.get("caBundle") or b""))
        request = {"uid": uid, "desiredAPIVersion": api_version, "objects": list(objs)}
        review = {"kind": "ConversionReview", "apiVersion": f"{GROUP}/v1", "request": request}
        return _read(await self._client.post(place, review, TIMEOUT_SECONDS), uid)


class _Unusable(Exception):
    """An answer that converts nothing."""


def _read(review: Any, uid: str) -> list[Any]:
    response = review.get("response") if isinstance(review, dict) else None
    if not isinstance(response, dict):
        raise _Unusable("no response provided")
    if response.get("uid") != uid:
        raise _Unusable(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    result = response.get("result")
    result = result if isinstance(result, dict) else {}
    if result.get("status") != "Success":
        raise _Unusable(result.get("message") or f"response.result.status was '{result.get('status', '')}', expected 'Success'")
    found = response.get("convertedObjects")
    return found if isinstance(found, list) else []


def _problem(obj: meta.Obj, made: Any, api_version: str) -> str:
    """What is wrong with a converted object."""
    if not isinstance(made, dict) or made.get("apiVersion") != api_version:
        received = made.get("apiVersion", "") if isinstance(made, dict) else ""
        return f"invalid groupVersion (expected {api_version}, received {received})"
    if made.get("kind") != obj.get("kind"):
        return f"invalid kind (expected {obj.get('kind')}, received {made.get('kind', '')})"
    if not isinstance(made.get("metadata"), dict):
        return "invalid metadata of type <nil> in output object"
    for field in ("name", "namespace", "uid"):
        if made["metadata"].get(field) != meta.meta(obj).get(field):
            return f"must have the same {field}: {made['metadata'].get(field, '')} != {meta.meta(obj).get(field, '')}"
    return ""
