"""AdmissionReview: what a webhook is asked, and what its answer means. Pure.

The words are k8s.io/apiserver/pkg/admission/plugin/webhook's, for clients and tests match on them.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from reconciler.api.admission.chain import Attributes
from reconciler.api.calls import Call
from reconciler.model import errors, meta
from reconciler.model.kind import Version

GROUP = "admission.k8s.io"
KNOWN = ("v1", "v1beta1")
WARNING_MOST, WARNINGS_MOST = 4096, 100


class Unreadable(Exception):
    """An answer that means nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    allowed: bool
    status: Mapping[str, Any]
    patch: list[Any]
    warnings: list[str]


def request(attributes: Attributes, obj: meta.Obj | None, version: Version) -> dict[str, Any]:
    """An AdmissionRequest without its uid; objects in `version`, the one that the webhook's rules are about."""
    call, old = attributes.call, attributes.old
    user = call.user
    info: dict[str, Any] = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    info["extra"] = {key: list(values) for key, values in user.extra.items()}
    asked: dict[str, Any] = {
        "kind": _kind(call, version),
        "resource": _resource(call, version),
        "subResource": call.subresource,
        "requestKind": _kind(call, call.version),
        "requestResource": _resource(call, call.version),
        "requestSubResource": call.subresource,
        "name": call.name,
        "namespace": namespace_of(call),
    }
    made = {key: value for key, value in asked.items() if value}
    return {
        **made,
        "operation": attributes.operation,
        "userInfo": {key: value for key, value in info.items() if value},
        "object": None if obj is None or attributes.operation == "DELETE" else attributes.shown(obj, version),
        "oldObject": attributes.shown(old, version) if old is not None else None,
        "dryRun": call.dry_run,
        "options": options(attributes),
    }


def namespace_of(call: Call) -> str:
    return call.name if call.kind.id == "namespaces" else call.namespace


def options(attributes: Attributes) -> dict[str, Any] | None:
    """The request's options: CreateOptions, UpdateOptions, PatchOptions or DeleteOptions; none to connect."""
    call = attributes.call
    if attributes.operation == "CONNECT":
        return None
    usual = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}
    kind = call.options.get("kind") or usual[attributes.operation]
    dry_run = {"dryRun": ["All"]} if call.dry_run else {}
    return {"kind": kind, "apiVersion": "meta.k8s.io/v1", **dry_run, **{key: value for key, value in call.options.items() if key != "kind"}}


def _kind(call: Call, version: Version) -> dict[str, str]:
    sub = call.kind.subresource(call.subresource) if call.subresource else None
    if sub is not None and sub.version:
        return {"group": sub.group, "version": sub.version, "kind": sub.kind}
    return {"group": call.kind.group, "version": version.name, "kind": sub.kind if sub is not None else call.kind.kind}


def _resource(call: Call, version: Version) -> dict[str, str]:
    return {"group": call.kind.group, "version": version.name, "resource": call.kind.plural}


def version_of(accepted: list[str]) -> str | None:
    """The first AdmissionReview version of a webhook's list that is spoken here."""
    return next((version for version in accepted if version in KNOWN), None)


def read(review: Any, version: str, uid: str, *, mutating: bool) -> Answer:
    """What a webhook answered. Raises Unreadable."""
    response = review.get("response") if isinstance(review, Mapping) else None
    if not isinstance(response, Mapping):
        raise Unreadable("webhook response was absent")
    if version == "v1":
        if response.get("uid") != uid:
            raise Unreadable(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
        found = f"{review.get('apiVersion', '')}, Kind={review.get('kind', '')}"
        if found != f"{GROUP}/v1, Kind=AdmissionReview":
            raise Unreadable(f"expected webhook response of {GROUP}/v1, Kind=AdmissionReview, got {found}")
    status = response.get("status")
    warnings = [str(text)[:WARNING_MOST] for text in response.get("warnings") or ()][:WARNINGS_MOST]
    patch = _patch(response, version) if mutating else _no_patch(response, version)
    return Answer(response.get("allowed") is True, status if isinstance(status, Mapping) else {}, patch, warnings)


def _patch(response: Mapping[str, Any], version: str) -> list[Any]:
    patch, patch_type = response.get("patch"), response.get("patchType")
    if version == "v1" and patch and patch_type is None:
        raise Unreadable("webhook returned response.patch but not response.patchType")
    if version == "v1" and not patch and patch_type is not None:
        raise Unreadable("webhook returned response.patchType but not response.patch")
    if not patch:
        return []
    if patch_type not in (None, "JSONPatch"):
        raise Unreadable(f'unsupported patch type "{patch_type}", must be JSONPatch')
    try:
        found = orjson.loads(base64.b64decode(patch))
    except (binascii.Error, ValueError, TypeError) as error:
        raise Unreadable(f"the patch cannot be read: {error}") from None
    if not isinstance(found, list):
        raise Unreadable("the patch is no list of operations")
    return found


def _no_patch(response: Mapping[str, Any], version: str) -> list[Any]:
    for field in ("patch", "patchType"):
        if version == "v1" and response.get(field):
            raise Unreadable(f"validating webhook may not return response.{field}")
    return []


def rejection(webhook: str, status: Mapping[str, Any]) -> errors.StatusError:
    """What a webhook refused, as the client is told."""
    said = status.get("message") or status.get("reason")
    code = status.get("code")
    code = code if isinstance(code, int) and 400 <= code <= 599 else 400
    message = f'admission webhook "{webhook}" denied the request' + (f": {said}" if said else " without explanation")
    details = status.get("details")
    return errors.StatusError(
        code, str(status.get("reason") or ""), message, details=dict(details) if isinstance(details, Mapping) else None
    )


def failure(webhook: str, detail: str) -> errors.StatusError:
    """A webhook that could not be asked, or whose answer means nothing."""
    return internal(f'failed calling webhook "{webhook}": {detail}')


def internal(text: str) -> errors.StatusError:
    return errors.StatusError(500, "InternalError", f"Internal error occurred: {text}", details={"causes": [{"message": text}]})
