"""PATCH: what the four patch types make of a stored object, in the caller's version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.api import bodies, decoding
from reconciler.api.calls import Call
from reconciler.api.decoding import Decoder
from reconciler.model import errors, govalue, meta
from reconciler.model import patch as patches
from reconciler.model.plan import PatchType


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """`body` is a mapping, for "json" a list of operations. `uid` and `resource_version` are preconditions."""

    type: PatchType
    body: Any
    force: bool = False
    uid: str = ""
    resource_version: str = ""
    duplicates: tuple[str, ...] = ()

    @property
    def creates(self) -> bool:
        return self.type == "apply"


def patched(decoder: Decoder, call: Call, patch: Patch, live: meta.Obj) -> meta.Obj:
    """The object in the caller's version that a patch (not an apply) makes of the stored one. Raises StatusError."""
    shown = call.shown(live)
    node = None if call.kind.custom else decoder.schemas.of(call.version.schema)
    if patch.type != "strategic":
        merged = plainly_patched(patch, shown, strict=call.field_validation != "Ignore")
    elif node is None:
        raise bodies.unsupported(bodies.CUSTOM_PATCHES)
    else:
        merged = patches.strategic_patch(node, shown, patch.body)

    def refused(fault: str) -> errors.StatusError:
        if node is not None and patch.type == "strategic":
            return decoding.unpatchable(govalue.plain(patch.body), patches.misfit(node, merged) or _restored(fault))
        return decoding.unpatchable(patches.shown(node, shown, merged, sort_new=patch.type == "merge"), fault)

    return decoder.patched(call, merged, shown, refused, patch.duplicates)


def _restored(fault: str) -> str:
    """A fault of decoding as upstream's converter of values says it."""
    return f"error decoding from json: {fault}" if fault.startswith("illegal base64") else fault


def configuration(call: Call, patch: Patch) -> meta.Obj:
    """An applied configuration with the name and namespace of the request. Raises StatusError."""
    if not isinstance(patch.body, Mapping):
        kind = {list: "array", str: "string", bool: "bool"}.get(type(patch.body), "number")
        fault = f"while decoding JSON: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        raise errors.bad_request(f"error decoding YAML: error unmarshaling JSON: {fault}")
    for repeats in patch.duplicates:
        if call.field_validation == "Strict":
            raise errors.bad_request(f"error strict decoding YAML: error converting YAML to JSON: {repeats}")
    decoding.complain(call, patch.duplicates)
    metadata = patch.body.get("metadata") or {}
    if metadata.get("name", call.name) != call.name:
        raise errors.bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})")
    if call.namespace and metadata.get("namespace", call.namespace) != call.namespace:
        raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    return patch.body


def plainly_patched(patch: Patch, document: meta.Obj, *, strict: bool = True) -> meta.Obj:
    """A JSON or merge patch on any JSON object. Raises StatusError."""
    if patch.type == "json":
        made: meta.Obj = patches.json_patch(document, patch.body, strict=strict)
        return made
    return patches.merge_patch(document, patch.body)
