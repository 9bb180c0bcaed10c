"""Admission: what may be added to, or said against, a write that is authorised and well formed.

A plugin is a file in this folder with `admit(attributes, obj) -> obj` (adds or refuses), `validate(attributes, obj)`
(refuses only), or both; order.py is their order, kube-apiserver's own. Plugins read nothing but the cache; objects are
in the hub version and are changed by path copy. One that must ask somebody outside (webhooks) returns a coroutine
instead; all others are done when they return, so that most writes never wait.
"""

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from types import CoroutineType
from typing import Any

from reconciler.api.auth.authorisation import Authoriser
from reconciler.api.cache import Cache
from reconciler.api.calls import Call
from reconciler.api.underway import Underway
from reconciler.kit import clock
from reconciler.model import meta
from reconciler.model.kind import Version


@dataclass(slots=True)
class Passes:
    """What webhooks remember between the two passes over one write: a change by one of them wants a second pass."""

    wanted: bool = False
    is_second: bool = False
    called: set[str] = field(default_factory=set)  # webhooks that may be asked again
    due: set[str] = field(default_factory=set)  # those that are to be asked again
    left: meta.Obj | None = None  # the object as webhooks last left it


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a plugin knows of a write. `old` is None on CREATE; on DELETE `obj` is the object that goes."""

    call: Call
    operation: str  # CREATE, UPDATE, DELETE, CONNECT
    old: meta.Obj | None
    cache: Cache
    authoriser: Authoriser
    underway: Underway
    time: clock.Clock
    passes: Passes = field(default_factory=Passes)

    def shown(self, obj: meta.Obj, version: Version) -> meta.Obj:
        """An object of this write in a version; the bodies of some subresources (Scale, Binding) are of another kind."""
        return version.from_hub(obj) if self.has_own_shape else obj

    @property
    def has_own_shape(self) -> bool:
        """Whether the object of this write is of its call's kind."""
        sub = self.call.kind.subresource(self.call.subresource) if self.call.subresource else None
        return sub is None or sub.kind == self.call.kind.kind


Admit = Callable[[Attributes, meta.Obj], meta.Obj | Coroutine[Any, Any, meta.Obj]]
Validate = Callable[[Attributes, meta.Obj], Coroutine[Any, Any, None] | None]
Steps = tuple[tuple[Admit, ...], tuple[Validate, ...], tuple[Admit, ...]]  # admit, validate, admit a deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """`name` is Kubernetes' name of the plugin; `kinds` are the Kind.ids it cares for, empty for all.

    `reads` are the kinds in the cache that its answer depends on besides the object itself. While there is an object
    of the kinds `looks_at_each_with` (cluster-wide, or in the namespace), two objects alike may be answered differently.
    """

    name: str
    kinds: frozenset[str] = frozenset()
    reads: tuple[str, ...] = ()
    looks_at_each_with: tuple[str, ...] = ()
    admits_deletion: bool = False  # whether `admit` is asked about deletions, too
    admit: Admit | None = None
    validate: Validate | None = None


class Chain:
    """The plugins in order, looked up once per kind."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self._plugins = tuple(plugins)
        self._by_kind: dict[str, Steps] = {}

    async def admit(self, attributes: Attributes, obj: meta.Obj) -> meta.Obj:
        """`obj` as every plugin wants it. Raises StatusError, usually 403."""
        obj = await self._admitted(attributes, obj)
        if attributes.passes.wanted:
            attributes.passes.is_second = True
            obj = await self._admitted(attributes, obj)
        return obj

    async def _admitted(self, attributes: Attributes, obj: meta.Obj) -> meta.Obj:
        for admit in self._of(attributes.call.kind.id)[2 if attributes.operation == "DELETE" else 0]:
            made = admit(attributes, obj)
            obj = await made if isinstance(made, CoroutineType) else made  # type: ignore[assignment]
        return obj

    async def validate(self, attributes: Attributes, obj: meta.Obj) -> None:
        for validate in self._of(attributes.call.kind.id)[1]:
            pending = validate(attributes, obj)
            if pending is not None:
                await pending

    def reads(self, kind_id: str) -> tuple[str, ...]:
        """What answers about a kind depend on besides the object."""
        return tuple(dict.fromkeys(kind for plugin in self._concerned(kind_id) for kind in plugin.reads))

    def looks_at_each_with(self, kind_id: str) -> tuple[str, ...]:
        """The kinds whose objects make each object of a kind be looked at alone."""
        return tuple(dict.fromkeys(kind for plugin in self._concerned(kind_id) for kind in plugin.looks_at_each_with))

    def _concerned(self, kind_id: str) -> list[Plugin]:
        return [plugin for plugin in self._plugins if not plugin.kinds or kind_id in plugin.kinds]

    def _of(self, kind_id: str) -> Steps:
        found = self._by_kind.get(kind_id)
        if found is None:
            concerned = self._concerned(kind_id)
            admits = tuple(plugin.admit for plugin in concerned if plugin.admit is not None)
            validates = tuple(plugin.validate for plugin in concerned if plugin.validate is not None)
            deletes = tuple(plugin.admit for plugin in concerned if plugin.admit is not None and plugin.admits_deletion)
            found = self._by_kind[kind_id] = (admits, validates, deletes)
        return found
