"""Applies that changed nothing: the same configuration from the same caller, over the same revision, changes nothing again.

GitOps tools and operators apply what they want every few minutes, and almost always it is so already. What is kept is a
digest of the configuration and the revision, for as long as nothing changed that admission looks at. Custom resources
are left out, for their definitions change; so is whatever is warned of.
"""

import hashlib
from collections import OrderedDict
from typing import Any

import orjson

from reconciler.api.cache import Item
from reconciler.api.calls import Call
from reconciler.api.patching import Patch
from reconciler.api.surroundings import Surroundings

KEPT = 4096

Kept = tuple[bytes, int, tuple[int, ...]]  # of the configuration; of the object; of what admission reads


class Repeats:
    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._kept: OrderedDict[tuple[Any, ...], Kept] = OrderedDict()

    def knows(self, call: Call, patch: Patch, current: Item) -> bool:
        """Whether the apply is known to change nothing."""
        kept = self._kept.get(_key(call, patch))
        if kept is None or kept[1] != current.revision or self._surroundings.look_at_each(call.kind.id, call.namespace):
            return False
        return kept[2] == self._surroundings.seen(call.kind.id) and kept[0] == _digest(patch.body)

    def remember(self, call: Call, patch: Patch, current: Item) -> None:
        """The apply was decided on, and `current` stays as it is."""
        digest = _digest(patch.body)
        if call.kind.custom or call.warnings or not digest or self._surroundings.look_at_each(call.kind.id, call.namespace):
            return
        self._kept[_key(call, patch)] = (digest, current.revision, self._surroundings.seen(call.kind.id))
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _key(call: Call, patch: Patch) -> tuple[Any, ...]:
    place = (call.kind.id, call.version.name, call.namespace, call.name, call.subresource)
    return (*place, call.user.name, call.user.groups, call.manager, patch.force, call.field_validation)


def _digest(body: Any) -> bytes:
    """Empty for what JSON cannot hold, such as an integer of 100 digits in YAML."""
    try:
        return hashlib.blake2b(orjson.dumps(body), digest_size=16).digest()
    except TypeError:
        return b""
