"""Query parameters as Kubernetes' options: parsed, checked, refused in the words of k8s.io/apimachinery."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl

from reconciler.api.calls import DeleteOptions, FieldValidation
from reconciler.model import errors
from reconciler.model.plan import Propagation

MANAGER_MOST = 128
PARAMETERS_MOST = 200
DIGITS_MOST = 20  # of a number of 64 bits, with its sign
_INTEGER = re.compile("[+-]?[0-9]+")
Action = Literal["Create", "Update", "Patch", "Delete"]


class Query(dict[str, list[str]]):
    """Every value of every parameter."""

    @classmethod
    def parse(cls, text: str) -> "Query":
        query = cls()
        if text:
            try:
                pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=PARAMETERS_MOST)
            except ValueError:
                raise errors.bad_request(f"more than {PARAMETERS_MOST} query parameters") from None
            for key, value in pairs:
                query.setdefault(key, []).append(value)
        return query

    def one(self, name: str, default: str = "") -> str:
        values = self.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """A boolean parameter: present and not false, as metav1.Convert_Slice_string_To_bool reads it."""
        return name in self and self.one(name).lower() not in ("false", "0")

    def integer(self, name: str) -> int | None:
        text = self.one(name)
        return integer(text) if text else None

    def single(self) -> dict[str, str]:
        return {name: values[0] for name, values in self.items()}


def integer(text: str) -> int:
    """A number of 64 bits. Raises StatusError 400."""
    if _INTEGER.fullmatch(text) is None:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if len(text) > DIGITS_MOST or not -(2**63) <= int(text) < 2**63:
        raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


def revision(text: str) -> int:
    """A resourceVersion parameter. Raises StatusError 400."""
    is_number = text.isascii() and text.isdecimal()
    if is_number and len(text) <= DIGITS_MOST and int(text) < 2**64:
        return int(text)
    fault = "value out of range" if is_number else "invalid syntax"
    raise errors.bad_request(str(errors.invalid("resourceVersion", text, f'strconv.ParseUint: parsing "{text}": {fault}')))


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """CreateOptions, UpdateOptions and PatchOptions."""

    dry_run: bool = False
    manager: str = ""
    field_validation: FieldValidation = "Warn"
    force: bool = False


NO_OPTIONS = Write()


def write(query: Query, action: Action, *, apply: bool = False) -> Write:
    """Raises StatusError 422 with every refused option."""
    if not query and not apply:
        return NO_OPTIONS
    refused = [*_refused_dry_run(query.get("dryRun", ())), *_refused_manager(query.one("fieldManager"), apply)]
    validation = query.one("fieldValidation")
    if validation not in ("", *get_args(FieldValidation)):
        supported = ["", "Ignore", "Strict", "Warn"]
        refused.append(errors.not_supported("fieldValidation", validation, supported))
    if action == "Patch" and not apply and "force" in query:
        refused.append(errors.forbidden("force", "may not be specified for non-apply patch"))
    _refuse(f"{action}Options", refused)
    return Write(
        dry_run="dryRun" in query,
        manager=query.one("fieldManager"),
        field_validation=validation or "Warn",  # type: ignore[arg-type]
        force=query.flag("force"),
    )


def connection(kind: str, query: Query) -> dict[str, Any]:
    """PodExecOptions and its like, as admission sees them."""
    made: dict[str, Any] = {"kind": kind, "apiVersion": "v1"}
    for name in ("stdin", "stdout", "stderr", "tty"):
        if name in query:
            made[name] = query.flag(name)
    for name in ("container", "path"):
        if query.one(name):
            made[name] = query.one(name)
    if "command" in query:
        made["command"] = query["command"]
    ports = [int(port) for text in query.get("ports", ()) for port in text.split(",") if port.isascii() and port.isdecimal()]
    return {**made, "ports": ports} if ports else made


def delete(query: Query, body: Any) -> tuple[DeleteOptions, bool]:
    """DeleteOptions of the body, or without one of the query, and whether it is a dry run. Raises StatusError."""
    sent: Mapping[str, Any]
    if body is None:
        sent = {
            "dryRun": query.get("dryRun"),
            "gracePeriodSeconds": query.integer("gracePeriodSeconds"),
            "propagationPolicy": query.one("propagationPolicy") or None,
            "orphanDependents": query.flag("orphanDependents") if "orphanDependents" in query else None,
        }
    else:
        sent = _delete_body(body)
    dry_run, propagation, orphan = sent.get("dryRun"), sent.get("propagationPolicy"), sent.get("orphanDependents")
    refused = [*_refused_dry_run(dry_run or ())]
    if propagation is not None and orphan is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        refused.append(errors.invalid("propagationPolicy", propagation, detail))
    if propagation is not None and propagation not in get_args(Propagation):
        refused.append(errors.not_supported("propagationPolicy", propagation, ["Foreground", "Background", "Orphan", "nil"]))
    _refuse("DeleteOptions", refused)
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    preconditions = sent.get("preconditions") or {}
    options = DeleteOptions(
        grace_seconds=sent.get("gracePeriodSeconds"),
        propagation=propagation,
        uid=str(preconditions.get("uid") or ""),
        resource_version=str(preconditions.get("resourceVersion") or ""),
    )
    return options, bool(dry_run)


def _delete_body(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise errors.bad_request("the body of a DELETE must be DeleteOptions")
    kind = body.get("kind") or "DeleteOptions"
    if kind != "DeleteOptions":
        scheme = "pkg/apis/meta/internalversion/scheme/register.go:27"
        raise errors.bad_request(f'no kind "{kind}" is registered for version "{body.get("apiVersion", "")}" in scheme "{scheme}"')
    for name, wanted in (("gracePeriodSeconds", int), ("dryRun", list), ("propagationPolicy", str), ("preconditions", dict)):
        value = body.get(name)
        if value is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
            raise errors.bad_request(f"json: cannot unmarshal {json.dumps(value)[:40]} into Go struct field DeleteOptions.{name}")
    return body


def _refused_dry_run(values: Sequence[str]) -> list[errors.FieldError]:
    if all(value == "All" for value in values):
        return []
    return [errors.not_supported("dryRun", list(values), ["All"])]


def _refused_manager(manager: str, apply: bool) -> list[errors.FieldError]:
    if apply and not manager:
        return [errors.required("fieldManager", "is required for apply patch")]
    if len(manager.encode()) > MANAGER_MOST:
        return [errors.too_long("fieldManager", MANAGER_MOST)]
    for at, char in enumerate(manager):
        if not char.isprintable():
            shown = manager.encode("unicode_escape").decode()
            detail = f"invalid character U+{ord(char):04X} (at position {at})"
            return [errors.FieldError("fieldManager", "FieldValueInvalid", f'Invalid value: "{shown}": {detail}')]
    return []


def _refuse(kind: str, refused: Sequence[errors.FieldError]) -> None:
    if refused:
        raise errors.invalid_object(kind, "meta.k8s.io", "", refused)
