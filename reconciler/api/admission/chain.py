"""Admission: what may be added to, or said against, a write that is authorised and well formed.

A plugin is a file in this folder with `admit(attributes, obj) -> obj` (adds or refuses), `validate(attributes, obj)`
(refuses only), or both. PLUGINS is their order, kube-apiserver's own. Plugins are synchronous and read nothing but
the cache; objects are in the hub version and are changed by path copy.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reconciler.api.cache import Cache
from reconciler.api.calls import Call
from reconciler.model import meta


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a plugin knows of a write. `old` is None on CREATE; on DELETE `obj` is the object that goes."""

    call: Call
    operation: str  # CREATE, UPDATE, DELETE
    old: meta.Obj | None
    cache: Cache


Admit = Callable[[Attributes, meta.Obj], meta.Obj]
Validate = Callable[[Attributes, meta.Obj], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """`name` is Kubernetes' name of the plugin; `kinds` are the Kind.ids it cares for, empty for all.

    `reads` are the kinds in the cache that its answer depends on besides the object itself. `looks_at_each` says that
    two objects alike may be answered differently, as a quota does.
    """

    name: str
    kinds: frozenset[str] = frozenset()
    reads: tuple[str, ...] = ()
    looks_at_each: bool = False
    admit: Admit | None = None
    validate: Validate | None = None


class Chain:
    """The plugins in order, looked up once per kind."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self._plugins = tuple(plugins)
        self._by_kind: dict[str, tuple[tuple[Admit, ...], tuple[Validate, ...]]] = {}

    def admit(self, attributes: Attributes, obj: meta.Obj) -> meta.Obj:
        """`obj` as every plugin wants it. Raises StatusError, usually 403."""
        for admit in self._of(attributes.call.kind.id)[0]:
            obj = admit(attributes, obj)
        return obj

    def validate(self, attributes: Attributes, obj: meta.Obj) -> None:
        for validate in self._of(attributes.call.kind.id)[1]:
            validate(attributes, obj)

    def reads(self, kind_id: str) -> tuple[str, ...] | None:
        """What answers about a kind depend on besides the object; None where each object is looked at alone."""
        concerned = [plugin for plugin in self._plugins if not plugin.kinds or kind_id in plugin.kinds]
        if any(plugin.looks_at_each for plugin in concerned):
            return None
        return tuple(dict.fromkeys(kind for plugin in concerned for kind in plugin.reads))

    def _of(self, kind_id: str) -> tuple[tuple[Admit, ...], tuple[Validate, ...]]:
        found = self._by_kind.get(kind_id)
        if found is None:
            concerned = [plugin for plugin in self._plugins if not plugin.kinds or kind_id in plugin.kinds]
            admits = tuple(plugin.admit for plugin in concerned if plugin.admit is not None)
            validates = tuple(plugin.validate for plugin in concerned if plugin.validate is not None)
            found = self._by_kind[kind_id] = (admits, validates)
        return found
