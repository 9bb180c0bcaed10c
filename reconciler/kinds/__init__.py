"""The kinds of the API: one file per kind or close family, each exporting KIND or KINDS.

`builtin()` collects them by folder; nothing has to be registered. A module with an underscore in its name is a part
of the one before the underscore and is not looked into. A record is data and pure functions
(model/kind.py), and what one asks of an object is a named function beside its kind: `pod.is_ready(p)`.
"""

import importlib
import pkgutil
from functools import cache

from reconciler.model.kind import Kind
from reconciler.model.roster import Roster


@cache
def builtin() -> Roster:
    """The kinds that every server starts with."""
    kinds: list[Kind] = []
    for module in pkgutil.iter_modules(__path__):
        if "_" in module.name or module.ispkg:  # a part of another
            continue
        found = importlib.import_module(f"{__name__}.{module.name}")
        kinds.extend(getattr(found, "KINDS", ()))
        if hasattr(found, "KIND"):
            kinds.append(found.KIND)
    return Roster.of(sorted(kinds, key=lambda kind: (kind.group, kind.plural)))
