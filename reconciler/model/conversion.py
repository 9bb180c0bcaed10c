"""Conversions that somebody else makes: a definition's webhook, whose answers are remembered by content.

Rules about objects are plain functions and cannot wait. They take a conversion from here and raise Unconverted where
there is none yet; who called them has it made, remembers it, and calls again. What is remembered is bounded and ends
with the definition that it was made under.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from reconciler.model import meta

KEPT = 8192
KEPT_METADATA = ("labels", "annotations")  # what a conversion may change of the metadata


class Unconverted(Exception):
    """`obj` must be converted to `api_version` first."""

    def __init__(self, conversions: "Conversions", obj: meta.Obj, api_version: str) -> None:
        super().__init__(f"{obj.get('apiVersion')} of {meta.name(obj)} is not converted to {api_version} yet")
        self.conversions = conversions
        self.obj = obj
        self.api_version = api_version


class Conversions:
    """`webhook` is the definition's spec.conversion.webhook."""

    def __init__(self, webhook: Mapping[str, Any]) -> None:
        self.webhook = webhook
        self._kept: OrderedDict[bytes, meta.Obj] = OrderedDict()

    def converted(self, obj: meta.Obj, api_version: str) -> meta.Obj:
        """Raises Unconverted."""
        if obj.get("apiVersion") == api_version:
            return obj
        found = self._kept.get(_key(obj, api_version))
        if found is None:
            raise Unconverted(self, obj, api_version)
        return found

    def remember(self, obj: meta.Obj, converted: meta.Obj) -> None:
        """`converted` is what the webhook answered; of its metadata only labels and annotations count."""
        metadata = {key: value for key, value in meta.meta(obj).items() if key not in KEPT_METADATA}
        metadata.update({key: meta.meta(converted)[key] for key in KEPT_METADATA if meta.meta(converted).get(key)})
        self._kept[_key(obj, str(converted["apiVersion"]))] = {**converted, "metadata": metadata}
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _key(obj: meta.Obj, api_version: str) -> bytes:
    return hashlib.sha256(f"{api_version}\n{obj!r}".encode("utf-8", "surrogatepass")).digest()
