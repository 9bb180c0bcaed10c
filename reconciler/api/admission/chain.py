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
    """`name` is Kubernetes' name of the plugin; `kinds` are the Kind.ids it cares for, empty for all."""

    name: str
    kinds: frozenset[str] = frozenset()
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

    def _of(self, kind_id: str) -> tuple[tuple[Admit, ...], tuple[Validate, ...]]:
        found = self._by_kind.get(kind_id)
        if found is None:
            concerned = [plugin for plugin in self._plugins if not plugin.kinds or kind_id in plugin.kinds]
            admits = tuple(plugin.admit for plugin in concerned if plugin.admit is not None)
            validates = tuple(plugin.validate for plugin in concerned if plugin.validate is not None)
            found = self._by_kind[kind_id] = (admits, validates)
        return found
