"""From a parsed body to a defaulted object in the caller's version: names, types, unknown fields, defaults.

What the body is made of was parsed in bodies.py; what the fields mean is model/decode.py's and the kind's business.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.api import envelope
from reconciler.api.bodies import REPEATS
from reconciler.api.calls import Call
from reconciler.model import decode, errors, gojson, meta
from reconciler.model.roster import Roster
from reconciler.model.schema import Schemas

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_WITHOUT_DEFAULTS = frozenset({"apiVersion", "kind", "metadata", "status"})


Refusal = Callable[[str], errors.StatusError]  # a fault -> the answer


class Decoder:
    """Checks bodies against the schemas of the kinds. `roster` is replaced when definitions change."""

    def __init__(self, schemas: Schemas, roster: Roster) -> None:
        self.schemas = schemas
        self.roster = roster

    def decode(self, call: Call, body: Any, duplicates: Sequence[str] = (), live: meta.Obj | None = None, text: bytes = b"") -> meta.Obj:
        """The object that a POST or PUT carries. Raises StatusError 400, which quotes `text`, what was read.

        `live` is what is stored: a caller in this process changes a copy of that, and shares with it what it left alone.
        """
        if not isinstance(body, Mapping):
            raise self._unhandled(call, f"json: cannot unmarshal {envelope.json_type(body)} into Go value of type v1.{call.kind.kind}")
        placed = self._placed(call, self.typed(call, self._identified(call, body), duplicates, live, text))
        return placed if live is not None and _is_same_beside_status(placed, live) else call.version.default(placed)

    def redecode(self, call: Call, obj: Mapping[str, Any]) -> meta.Obj:
        """An object that the server itself merged, in canonical form and defaulted."""
        return call.version.default(self._placed(call, self.typed(call, self._identified(call, obj))))

    def patched(self, call: Call, obj: Any, live: meta.Obj, refused: Refusal, duplicates: Sequence[str] = ()) -> meta.Obj:
        """What a patch made of `live`. Raises StatusError 422 where it is no valid object, as `refused` words it."""
        if not isinstance(obj, Mapping):
            raise errors.bad_request(f"a patch must leave an object, not {envelope.json_type(obj)}")
        if call.kind.custom:
            self._keeps_version(call, obj)
        try:
            identified = self._identified(call, obj)
        except errors.StatusError as error:
            raise refused(error.message.partition(" cannot be handled as a ")[2].partition(": ")[2]) from None
        try:
            typed, unknown = self._checked(call, identified, live)
        except decode.DecodeError as error:
            raise refused(str(error)) from None
        complaints = [*duplicates, *(f'unknown field "{path}"' for path in sorted(unknown))]
        if complaints and call.field_validation == "Strict":
            raise refused(f"strict decoding error: {', '.join(complaints)}")
        self._complain(call, complaints)
        placed = self._placed(call, typed)
        return placed if _is_same_beside_status(placed, live) else call.version.default(placed)

    def _keeps_version(self, call: Call, obj: Mapping[str, Any]) -> None:
        """Raises StatusError 422 for a patch that makes a custom resource one of a version without a schema."""
        wanted, api_version = call.kind.api_version(call.version.name), obj.get("apiVersion")
        if isinstance(api_version, str) and api_version != wanted:
            complain(call, [f'unknown field "{name}"' for name in sorted(obj.keys() - {"apiVersion", "kind", "metadata"})])
            refused = errors.invalid("apiVersion", api_version, f"must be {wanted}")
            raise errors.invalid_object(call.kind.kind, call.kind.group, call.name, [refused])

    def typed(
        self, call: Call, body: Mapping[str, Any], duplicates: Sequence[str] = (), live: meta.Obj | None = None, text: bytes = b""
    ) -> dict[str, Any]:
        """`body` in canonical form; unknown and duplicate fields are dropped, warned of or refused."""
        try:
            obj, unknown = self._checked(call, body, live)
        except decode.DecodeError as error:
            raise self._unhandled(call, self._as_written(call, text) or str(error)) from None
        self._complain(call, [*duplicates, *(f'unknown field "{path}"' for path in unknown)])
        return obj

    def _as_written(self, call: Call, text: bytes) -> str:
        """What is wrong with an object, with its numbers as they were written; "" where that does not say."""
        try:
            if text and call.version.prune is None:
                decode.decode(self.schemas.of(call.version.schema), gojson.as_written(text.decode("utf-8", "replace")))
        except decode.DecodeError as error:
            return str(error)
        except ValueError:  # an integer of thousands of digits
            return ""
        return ""

    def _complain(self, call: Call, complaints: Sequence[str]) -> None:
        """Deal with what strict decoding found, as the request's fieldValidation says."""
        if complaints and call.field_validation == "Strict":
            raise self._unhandled(call, f"strict decoding error: {', '.join(complaints)}")
        complain(call, complaints)

    def _checked(self, call: Call, body: Mapping[str, Any], live: meta.Obj | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
        if call.version.prune is not None:
            return self._pruned(call, body)
        decoded = decode.decode(self.schemas.of(call.version.schema), body, live)
        call.emptied[:] = decoded.emptied
        if (body.get("metadata") or {}).get("managedFields") == []:  # a wish to forget all owners
            return meta.put(decoded.obj, ("metadata", "managedFields"), []), decoded.unknown
        return decoded.obj, decoded.unknown

    def _pruned(self, call: Call, body: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """A custom resource: metadata is Kubernetes' own, the rest is the schema's."""
        assert call.version.prune is not None
        decoded = decode.decode(self.schemas.of(OBJECT_META), body.get("metadata") or {})
        if (body.get("metadata") or {}).get("managedFields") == []:
            decoded.obj["managedFields"] = []
        pruned, unknown = call.version.prune({**body, "metadata": decoded.obj})
        return dict(pruned), (*(f"metadata.{path}" for path in decoded.unknown), *unknown)

    def _identified(self, call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
        """`body` with apiVersion and kind, which may be left out but not be another kind's."""
        api_version, kind = call.kind.api_version(call.version.name), call.kind.kind
        said_version, said_kind = envelope.said(body)
        sent_version, sent_kind = said_version or api_version, said_kind or kind
        if (sent_version, sent_kind) == (api_version, kind):
            return {**body, "apiVersion": api_version, "kind": kind}
        if sent_version != api_version and call.kind.custom:
            mismatch = f"the API version in the data ({sent_version}) does not match the expected API version ({api_version})"
            raise errors.bad_request(mismatch)
        if call.kind.custom:  # the schema's validation refuses it
            return {**body, "apiVersion": api_version, "kind": sent_kind}
        if fault := self._fault_as(sent_version, sent_kind, body):
            version = sent_version.rpartition("/")[2]
            raise errors.bad_request(f'{sent_kind} in version "{version}" cannot be handled as a {kind}: {fault}')
        raise errors.bad_request(envelope.mismatch(self.roster, call.kind, call.version.name, sent_version, sent_kind))

    def _fault_as(self, api_version: str, kind: str, body: Mapping[str, Any]) -> str:
        """Why `body` is not even what it says it is, which upstream looks at before what it should be."""
        found = self.roster.of_object(api_version, kind)
        version = found.version(api_version.rpartition("/")[2]) if found is not None and not found.custom else None
        if version is None:
            return ""
        try:
            decode.decode(self.schemas.of(version.schema), body)
        except decode.DecodeError as error:
            return str(error)
        return ""

    def _placed(self, call: Call, obj: dict[str, Any]) -> dict[str, Any]:
        """`obj` with the name and namespace of the request, which it must not contradict."""
        metadata = dict(obj.get("metadata") or {})
        if call.name and metadata.get("name") != call.name:
            if not metadata.get("name"):
                raise errors.bad_request(f"the name of the object ({call.name} based on URL) was undeterminable: name must be provided")
            raise errors.bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({call.name})")
        if call.namespace:
            if metadata.get("namespace", call.namespace) != call.namespace:
                raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
            metadata["namespace"] = call.namespace
        else:
            metadata.pop("namespace", None)
        return {**obj, "metadata": metadata}

    def _unhandled(self, call: Call, detail: str) -> errors.StatusError:
        kind = call.kind.kind
        return errors.bad_request(f'{kind} in version "{call.version.name}" cannot be handled as a {kind}: {detail}')


def _is_same_beside_status(obj: meta.Obj, live: meta.Obj) -> bool:
    """Whether a change left all alone that has defaults: what is stored has them already."""
    return obj.keys() == live.keys() and all(obj[key] is live[key] for key in obj if key not in _WITHOUT_DEFAULTS)


def complain(call: Call, complaints: Sequence[str]) -> None:
    """Warn of what strict decoding found, unless the caller does not want to know."""
    if call.field_validation != "Ignore":
        for complaint in complaints:
            for line in complaint.removeprefix(REPEATS).split("\n"):
                call.warn(line.strip())


def unpatchable(quoted: str, detail: str) -> errors.StatusError:
    error = errors.invalid("patch", quoted, detail)
    message = f' "" is invalid: {error}'
    return errors.StatusError(422, "Invalid", message, details={"causes": [error.cause()]})
