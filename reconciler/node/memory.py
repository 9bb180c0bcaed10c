"""What the node has observed of its pods, in one place: values by pod uid, replaced as things happen.

Every change wakes the pod's key. Holds nothing that must survive a restart: sandboxes come from the runtime.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from reconciler.model import meta
from reconciler.node import observed
from reconciler.node.runtimes import types


class Emitter(Protocol):
    def __call__(self, pod: meta.Obj, container: str, type: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Record an Event about a pod, or about one of its containers."""


class Memory:
    def __init__(self, sandboxes: Callable[[], Mapping[str, types.Sandbox]], wake: Callable[[str], None]) -> None:
        self._sandboxes = sandboxes
        self._wake = wake
        self._pods: dict[str, observed.Pod] = {}

    def of(self, uid: str) -> observed.Pod:
        """What is known now, with the sandbox as the runtime has it."""
        known = self._pods.get(uid, observed.NOTHING)
        sandbox = self._sandboxes().get(uid)
        if sandbox is None or not sandbox.ready:
            known = dataclasses.replace(known, ip="") if known.ip else known
        return dataclasses.replace(known, sandbox=sandbox)

    def change(self, uid: str, **changes: Any) -> None:
        self._pods[uid] = dataclasses.replace(self._pods.get(uid, observed.NOTHING), **changes)
        self._wake(uid)

    def forget(self, uid: str) -> None:
        if self._pods.pop(uid, None) is not None:
            self._wake(uid)

    def prune(self, uid: str, kept: set[observed.Attempt]) -> None:
        """Let go of what is remembered of attempts that the runtime has forgotten."""
        known = self._pods.get(uid)
        if known is None:
            return
        fields: dict[str, Any] = {}
        for field in ("hooks", "stops", "probes", "messages"):
            old: Mapping[observed.Attempt, Any] = getattr(known, field)
            if not old.keys() <= kept:
                fields[field] = {attempt: value for attempt, value in old.items() if attempt in kept}
        if fields:
            self._pods[uid] = dataclasses.replace(known, **fields)
