"""metadata.managedFields: who wrote which fields, as entries by writer.

An applier is one writer whatever version it applied in; an updater is one per version. Entries keep their set in
wire form, so reading an object's list costs a pass over its entries and no decoding.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from reconciler.model import govalue
from reconciler.model.apply import fields
from reconciler.model.apply.fields import Fields

APPLY = "Apply"
UPDATE = "Update"
MOST_UPDATERS = 10
ANCIENT = "ancient-changes"  # what the oldest updaters are merged into beyond that many

Writer = tuple[str, str, str, str]  # manager, operation, apiVersion ("" for appliers), subresource


class Entry(NamedTuple):
    fields: Fields
    api_version: str
    time: str  # RFC 3339; "" where upstream leaves it out
    made: Mapping[str, Any] | None = None  # as it stands in the list it was read from


Managers = dict[Writer, Entry]


class Malformed(ValueError):
    """A client's managedFields cannot be read."""


def applier(manager: str, subresource: str) -> Writer:
    return (manager, APPLY, "", subresource)


def updater(manager: str, api_version: str, subresource: str) -> Writer:
    return (manager or "unknown", UPDATE, api_version, subresource)


def of(obj: Mapping[str, Any]) -> Managers:
    """The writers of an object that was tracked here before, whose sets are canonical."""
    managers: Managers = {}
    for entry in (obj.get("metadata") or {}).get("managedFields") or ():
        managers[writer_of(entry)] = Entry(entry.get("fieldsV1") or fields.NONE, entry["apiVersion"], entry.get("time") or "", entry)
    return managers


def parse(wire: Sequence[Any]) -> Managers:
    """The writers that a client sent. Raises Malformed."""
    managers: Managers = {}
    for index, entry in enumerate(wire):
        if not isinstance(entry, Mapping) or entry.get("operation") not in (APPLY, UPDATE):
            raise Malformed("operation must be `Apply` or `Update`")
        if not entry.get("apiVersion"):
            raise Malformed("apiVersion must not be empty")
        if not entry.get("fieldsType"):
            raise Malformed(f"missing fieldsType in managed fields entry {index}")
        if entry["fieldsType"] != "FieldsV1":
            raise Malformed(f"invalid fieldsType {govalue.quoted(entry['fieldsType'])} in managed fields entry {index}")
        try:
            owned = fields.parse(entry.get("fieldsV1") or {})
        except ValueError as problem:
            raise Malformed(f"error decoding set: {problem}") from None
        managers[writer_of(entry)] = Entry(owned, entry["apiVersion"], entry.get("time") or "")
    return managers


def is_reset(wire: Any) -> bool:
    """Whether a client asks to forget all owners: an empty list, or one empty entry."""
    return wire in ([], [{}])


def wire(managers: Managers, *, sort_keys: bool = False) -> list[Mapping[str, Any]]:
    """In upstream's order: appliers first, then by time and name. What upstream keeps as a map has sorted keys."""
    entries = [entry.made if entry.made is not None else _made(writer, entry, sort_keys) for writer, entry in managers.items()]
    if len(entries) > 1:
        entries.sort(key=order)
    return entries


def _made(writer: Writer, entry: Entry, sort_keys: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"manager": writer[0], "operation": writer[1], "apiVersion": entry.api_version}
    if entry.time:
        made["time"] = entry.time
    made |= {"fieldsType": "FieldsV1", "fieldsV1": fields.ordered(entry.fields)}
    if writer[3]:
        made["subresource"] = writer[3]
    return dict(sorted(made.items())) if sort_keys else made


def in_map_order(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(sorted(entry.items())) for entry in entries]


def capped(managers: Managers) -> Managers:
    """At most MOST_UPDATERS updaters: the oldest of each version become one."""
    if len(managers) <= MOST_UPDATERS:
        return managers
    updaters = sorted((writer for writer in managers if writer[1] == UPDATE), key=lambda writer: (managers[writer].time, writer))
    excess = len(updaters) - MOST_UPDATERS
    if excess <= 0:
        return managers
    kept = dict(managers)
    first_of: dict[str, Writer] = {}
    for writer in updaters:
        if excess <= 0:
            break
        entry = kept[writer]
        first = first_of.setdefault(entry.api_version, writer)
        if first == writer:
            continue
        bucket = updater(ANCIENT, entry.api_version, "")
        if bucket not in kept:
            kept[bucket] = kept.pop(first)
        kept[bucket] = Entry(fields.union(entry.fields, kept[bucket].fields), entry.api_version, entry.time)
        if writer != bucket:
            del kept[writer]
        excess -= 1
    return kept


def shown(writer: Writer) -> str:
    """As conflicts name it: "kubectl" with subresource "status" using apps/v1"""
    manager, operation, api_version, subresource = writer
    text = govalue.quoted(manager)
    if subresource:
        text += f" with subresource {govalue.quoted(subresource)}"
    return f"{text} using {api_version}" if operation == UPDATE else text


def writer_of(entry: Mapping[str, Any]) -> Writer:
    operation = entry["operation"]
    version = "" if operation == APPLY else entry["apiVersion"]
    return (entry.get("manager") or "", operation, version, entry.get("subresource") or "")


def order(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return entry["operation"], entry.get("time") or "", entry["manager"], entry["apiVersion"], entry.get("subresource") or ""
