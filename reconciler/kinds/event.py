"""Event: what happened to an object. Two groups serve the one stored kind, core and events.k8s.io."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from reconciler.kinds import columns
from reconciler.kinds.rules import check
from reconciler.model import errors, meta
from reconciler.model.errors import FieldError
from reconciler.model.kind import Column, Kind, Version

# Field of the core form -> field of events.k8s.io. The rest has the same name in both.
RENAMED = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_BACK = {new: old for old, new in RENAMED.items()}
_ALWAYS_CORE: Mapping[str, Any] = {
    "reportingComponent": "",
    "reportingInstance": "",
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
}
_DROPPED_NEW = ("reportingController", "reportingInstance", "deprecatedCount", "note")
_CLUSTER_NAMESPACE = "default"  # where events about cluster-wide objects are


def regarding(event: meta.Obj) -> Mapping[str, Any]:
    return event.get("involvedObject") or meta.EMPTY


def times(event: meta.Obj) -> int:
    """How often it happened."""
    series = event.get("series") or {}
    return int(series.get("count") or event.get("count") or 1)


def last_seen(event: meta.Obj) -> str:
    """The time of its last occurrence, RFC 3339, "" when unknown."""
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def first_seen(event: meta.Obj) -> str:
    return str(event.get("firstTimestamp") or event.get("eventTime") or "")


def to_core(event: meta.Obj) -> meta.Obj:
    return {**_ALWAYS_CORE, **{_BACK.get(name, name): value for name, value in event.items()}, "apiVersion": "v1"}


def to_new(event: meta.Obj) -> meta.Obj:
    renamed = {RENAMED.get(name, name): value for name, value in event.items()}
    kept = {name: value for name, value in renamed.items() if value or name not in _DROPPED_NEW}
    return {**kept, "apiVersion": "events.k8s.io/v1"}


def validate_core(event: meta.Obj, _: meta.Obj | None) -> Iterator[FieldError]:
    return _validate(event, "reportingComponent")


def validate_new(event: meta.Obj, old: meta.Obj | None) -> Iterator[FieldError]:
    """The newer group refuses what the older one left over, and lets only the series and the metadata change."""
    yield from _validate(event, "reportingController")
    if old is not None:
        for field, zero in _FIXED.items():
            yield from check.immutable(field, event.get(field) or zero, old.get(field) or zero, _shown(field, event.get(field)))
        return
    if not event.get("eventTime"):
        yield errors.required("eventTime")
    if event.get("type") not in ("Normal", "Warning"):
        yield errors.invalid("type", "", f"has invalid value: {event.get('type', '')}")
    for field in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if event.get(field):
            yield errors.invalid(field, "", "needs to be unset")


def _validate(event: meta.Obj, reporter: str) -> Iterator[FieldError]:
    namespace, about = meta.namespace(event), str(regarding(event).get("namespace", ""))
    mismatch = errors.invalid("involvedObject.namespace", about, "does not match event.namespace")
    if not event.get("eventTime"):
        if (about and namespace != about) or (not about and namespace not in ("", "default")):
            yield mismatch
        return
    if not about and namespace not in ("default", "kube-system"):
        yield mismatch
    controller = event.get("reportingComponent", "")
    if not controller:
        yield errors.required(reporter)
    yield from check.qualified(reporter, controller)
    for field, most in (("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024)):
        text = event.get(field, "")
        if not text and field != "message":
            yield errors.required(field)
        if len(text) > most:
            yield errors.invalid(field, "", f"can have at most {most} characters")
    series = event.get("series")
    if series is not None:
        if series.get("count", 0) < 2:
            yield errors.invalid("series.count", "", "should be at least 2")
        if not series.get("lastObservedTime"):
            yield errors.required("series.lastObservedTime")


_FIXED: dict[str, Any] = {
    "involvedObject": {},
    "reason": "",
    "message": "",
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "count": 0,
}
_FIXED |= {"type": "", "eventTime": None, "action": "", "related": None, "reportingComponent": "", "reportingInstance": ""}


def _shown(field: str, value: Any) -> Any:
    if field in ("involvedObject", "related") and value is not None:
        return check.internal(value, Kind="", Namespace="", Name="", UID="", APIVersion="", ResourceVersion="", FieldPath="")
    return value


def _object_cell(event: meta.Obj) -> str:
    about = regarding(event)
    kind, name = str(about.get("kind", "")).lower(), str(about.get("name", ""))
    return f"{kind}/{name}" if name else kind


def _source_cell(event: meta.Obj) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    instance = source.get("host") or event.get("reportingInstance") or ""
    return f"{component}, {instance}" if instance else str(component)


COLUMNS = (
    Column(
        name="Last Seen",
        cell=lambda event, now: columns.since(last_seen(event), now),
        description="The time at which the most recent occurrence of this event was recorded.",
    ),
    columns.column(
        "Type", lambda event: event.get("type", ""), "Type of this event (Normal, Warning), new types could be added in the future"
    ),
    columns.column("Reason", lambda event: event.get("reason", ""), "@reason"),
    columns.column("Object", _object_cell, "@involvedObject"),
    columns.column("Subobject", lambda event: regarding(event).get("fieldPath", ""), "@involvedObject.fieldPath", wide=True),
    columns.column("Source", _source_cell, "@source", wide=True),
    columns.column("Message", lambda event: str(event.get("message", "")).strip(), "@message"),
    Column(
        name="First Seen",
        cell=lambda event, now: columns.since(first_seen(event), now),
        description="@firstTimestamp",
        priority=1,
    ),
    columns.column("Count", times, "@count", wide=True),
    columns.WIDE_NAME,
)


def _renamed(description: str) -> str:
    """Where the newer form describes the field."""
    field, dot, rest = description.removeprefix("@").partition(".")
    return f"@{RENAMED.get(field, field)}{dot}{rest}" if description.startswith("@") else description


def _about(field: str) -> Any:
    return lambda event: str(regarding(event).get(field, ""))


SELECTABLE = {
    **{
        f"involvedObject.{name}": _about(name)
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    },
    "reason": lambda event: str(event.get("reason", "")),
    "reportingComponent": lambda event: str(event.get("reportingComponent", "")),
    "source": lambda event: str((event.get("source") or {}).get("component") or event.get("reportingComponent") or ""),
    "type": lambda event: str(event.get("type", "")),
}


def _new_name(field: str) -> str:
    """A core event's field as events.k8s.io calls it."""
    return field.replace("involvedObject", "regarding").replace("reportingComponent", "reportingController")


KINDS = (
    Kind(
        group="",
        kind="Event",
        metadata_on_update="none",
        plural="events",
        singular="event",
        short_names=("ev",),
        versions=(Version(name="v1", schema="io.k8s.api.core.v1.Event"),),
        validate=validate_core,
        columns=COLUMNS,
        selectable_fields=SELECTABLE,
        name_rule="path",
        create_on_update=True,
        order=90,
    ),
    Kind(
        group="events.k8s.io",
        kind="Event",
        metadata_on_update="changes",
        plural="events",
        singular="event",
        short_names=("ev",),
        versions=(Version(name="v1", schema="io.k8s.api.events.v1.Event", to_hub=to_core, from_hub=to_new),),
        validate=validate_new,
        columns=tuple(replace(column, description=_renamed(column.description)) for column in COLUMNS),
        selectable_fields={_new_name(name): get for name, get in SELECTABLE.items() if name != "source"},
        name_rule="subdomain",
        create_on_update=True,
        stored_as="events",
        order=90,
    ),
)
