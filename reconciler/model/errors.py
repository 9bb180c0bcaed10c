"""Errors as Kubernetes says them: a Status with code, reason, message and causes.

The API turns a StatusError into its answer, clients turn an answer back into one, so that code behaves alike in
process and over HTTP. Wording follows k8s.io/apimachinery/pkg/api/errors and .../util/validation/field.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.model import govalue


@dataclass(frozen=True, slots=True)
class Quote:
    """A value that upstream quotes as its internal type prints it (model/gostruct.py), or how it differs from `before`."""

    definition: str
    value: Any
    detail: str = ""
    before: Any = None


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field. `reason` is a metav1.CauseType, `path` such as spec.containers[0].image.

    `quote` is what the API server puts into the message, which does without it elsewhere.
    """

    path: str
    reason: str
    message: str
    quote: Quote | None = None

    def cause(self) -> dict[str, str]:
        return {"reason": self.reason, "message": self.message, "field": self.path}

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def required(path: str, detail: str = "") -> FieldError:
    return FieldError(path, "FieldValueRequired", f"Required value{': ' if detail else ''}{detail}")


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError(path, "FieldValueInvalid", f"Invalid value: {shown(value)}{': ' if detail else ''}{detail}")


def invalid_whole(path: str, detail: str) -> FieldError:
    """Invalid, without quoting a value that says nothing."""
    return FieldError(path, "FieldValueInvalid", f"Invalid value: {detail}")


def not_found_in(path: str, value: Any, detail: str = "") -> FieldError:
    """A reference to something that the object itself should hold, and does not."""
    return FieldError(path, "FieldValueNotFound", f"Not found: {shown(value)}{': ' if detail else ''}{detail}")


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError(path, "FieldValueForbidden", f"Forbidden: {detail}")


def changed(path: str, detail: str, definition: str, value: Any, before: Any) -> FieldError:
    """Forbidden: `value` differs from `before`, of that definition."""
    return FieldError(path, "FieldValueForbidden", f"Forbidden: {detail}", Quote(definition, value, before=before))


def duplicate(path: str, value: Any) -> FieldError:
    return FieldError(path, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def not_supported(path: str, value: Any, supported: Sequence[str]) -> FieldError:
    choices = ", ".join(f'"{choice}"' for choice in supported)
    return FieldError(path, "FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {choices}")


def too_long(path: str, most: int) -> FieldError:
    return FieldError(path, "FieldValueTooLong", f"Too long: may not be more than {most} {'byte' if most == 1 else 'bytes'}")


def too_many(path: str, count: int, most: int) -> FieldError:
    return FieldError(path, "FieldValueTooMany", f"Too many: {count}: must have at most {most} items")


def wrong_type(path: str, value: Any, detail: str) -> FieldError:
    return FieldError(path, "FieldValueTypeInvalid", f"Invalid value: {shown(value)}: {detail}")


def shown(value: Any) -> str:
    """A value as field errors quote it: strings in quotes, structures as JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


class StatusError(Exception):
    """A refusal with everything a metav1.Status carries."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: int = 0,
        continue_token: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details) if details is not None else None
        self.retry_after_seconds = retry_after_seconds
        self.continue_token = continue_token

    def status(self) -> dict[str, Any]:
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.continue_token} if self.continue_token else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        details = dict(self.details or {})
        if self.retry_after_seconds:
            details["retryAfterSeconds"] = self.retry_after_seconds
        if self.details is not None or details:
            body["details"] = details
        body["code"] = self.code
        return body

    @classmethod
    def from_status(cls, body: Mapping[str, Any]) -> "StatusError":
        details = body.get("details")
        retry = int((details or {}).get("retryAfterSeconds", 0))
        return cls(
            int(body.get("code", 500)),
            str(body.get("reason", "")),
            str(body.get("message", "")),
            details=details,
            retry_after_seconds=retry,
            continue_token=str((body.get("metadata") or {}).get("continue", "")),
        )


def not_found(resource: str, group: str, name: str) -> StatusError:
    """`resource` is the plural; the message names it qualified by its group, as kubectl prints it."""
    qualified = f"{resource}.{group}" if group else resource
    return StatusError(404, "NotFound", f"{qualified} {govalue.quoted(name)} not found", details=_details(name, group, resource))


def already_exists(resource: str, group: str, name: str) -> StatusError:
    qualified = f"{resource}.{group}" if group else resource
    return StatusError(409, "AlreadyExists", f"{qualified} {govalue.quoted(name)} already exists", details=_details(name, group, resource))


def conflict(resource: str, group: str, name: str, detail: str) -> StatusError:
    qualified = f"{resource}.{group}" if group else resource
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {detail}'
    return StatusError(409, "Conflict", message, details=_details(name, group, resource))


def joined(errors: Sequence[FieldError]) -> str:
    """As Go prints an aggregate: each once, in brackets where there are several."""
    parts = list(dict.fromkeys(str(error) for error in errors))
    return parts[0] if len(parts) == 1 else "[" + ", ".join(parts) + "]"


def invalid_object(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422 with every refused field as a cause; `kind` is the kind's name, as in 'Pod "x" is invalid: ...'."""
    qualified = f"{kind}.{group}" if group else kind
    details = _details(name, group, kind)
    details["causes"] = [error.cause() for error in errors]
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {joined(errors)}', details=details)


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def gone(message: str, continue_token: str = "") -> StatusError:
    """A resource version that was compacted (reason Expired): list again, or go on with the token inconsistently."""
    return StatusError(410, "Expired", message, continue_token=continue_token)


def insufficient_storage(message: str) -> StatusError:
    """The disk is full: reads and deletes go on, other writes do not (507)."""
    return StatusError(507, "InsufficientStorage", message)


def _details(name: str, group: str, kind: str) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    return details
