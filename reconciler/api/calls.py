"""One call on the objects of one kind: who asks, in which version, with which options.

Both doors make calls: chain.py from HTTP requests, local.py from actions in the same process. Everything behind them
(objects.py, admission, subresources) sees only calls.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.model import decode, errors, meta
from reconciler.model.kind import Kind, Version
from reconciler.model.plan import Propagation
from reconciler.store.types import Check, Provenance

FieldValidation = Literal["Strict", "Warn", "Ignore"]
WARNINGS_MOST = 128


@dataclass(frozen=True, slots=True)
class User:
    """Who is asking, as an authenticator found out."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    kind: Kind
    version: Version  # the version that the caller speaks; what is stored is the kind's hub
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    user: User
    manager: str = ""  # field manager
    dry_run: bool = False
    field_validation: FieldValidation = "Warn"
    provenance: Provenance
    guard: Check | None = None  # another object that must be unchanged for this to take effect
    options: Mapping[str, Any] = field(default_factory=dict)  # the request's own, as admission is shown them
    warnings: list[str] = field(default_factory=list)  # what Warning headers tell the caller
    emptied: list[decode.Emptied] = field(default_factory=list)  # what the body holds empty, and is not stored

    def warn(self, text: str) -> None:
        if text not in self.warnings and len(self.warnings) < WARNINGS_MOST:
            self.warnings.append(text)

    @property
    def is_hub(self) -> bool:
        return self.version.name == self.kind.hub_version.name

    @property
    def speaks_as_stored(self) -> bool:
        """Whether the caller's objects look as the stored ones do, and may be made of parts of them."""
        return self.is_hub and not self.kind.custom

    def shown(self, obj: meta.Obj) -> meta.Obj:
        """A stored object in the caller's version."""
        return obj if self.speaks_as_stored else self.version.from_hub(obj)

    def not_found(self) -> errors.StatusError:
        return errors.not_found(self.kind.called or self.kind.plural, self.kind.group, self.name)

    def conflict(self, detail: str) -> errors.StatusError:
        return errors.conflict(self.kind.plural, self.kind.group, self.name, detail)

    def forbidden(self, detail: str, **details: Any) -> errors.StatusError:
        qualified = self.kind.id if not self.subresource else f"{self.kind.id}/{self.subresource}"
        subject = f' "{self.name}"' if self.name else ""
        about = {"name": self.name, "group": self.kind.group, "kind": self.kind.plural, **details}
        message = f"{qualified}{subject} is forbidden: {detail}"
        return errors.StatusError(403, "Forbidden", message, details={key: value for key, value in about.items() if value})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    grace_seconds: int | None = None
    propagation: Propagation | None = None
    uid: str = ""
    resource_version: str = ""

    def shown(self) -> dict[str, Any]:
        """As admission sees them."""
        uid, revision = {"uid": self.uid}, {"resourceVersion": self.resource_version}
        preconditions = {**(uid if self.uid else {}), **(revision if self.resource_version else {})}
        grace = {} if self.grace_seconds is None else {"gracePeriodSeconds": self.grace_seconds}
        propagation = {"propagationPolicy": self.propagation} if self.propagation else {}
        return {**grace, **({"preconditions": preconditions} if preconditions else {}), **propagation}
