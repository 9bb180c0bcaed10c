"""Sync: a folder that is kept applied, as an object of the API (reconciler.dev/v1, cluster-wide).

Cluster-wide because it may write any namespace: whoever may create one may do everything. The fields are described
with pydantic, the record's schema follows from that. The daemon adds KIND to the kinds that it serves; without it the
agent works all the same and only this object is missing. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pydantic
from pydantic.alias_generators import to_camel

from reconciler.model import errors, meta
from reconciler.model.kind import Column, Health, Kind, Version, status_of

MAX_PROBLEMS = 100  # kept in the status; all of them are told
MAX_CHANGES = 50

State = Literal["Syncing", "Synced", "Blocked", "Stopped"]


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Spec(_Model):
    path: str = pydantic.Field(min_length=1, description="The folder whose documents are kept applied.")


class Condition(_Model):
    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    last_transition_time: str = ""


class Problem(_Model):
    place: str = pydantic.Field(description="File, line and column, such as apps/web.yaml:12:5.")
    field: str = pydantic.Field(default="", description="Path of the field, such as spec.replicas.")
    message: str = pydantic.Field(description="What is wrong, and what to do.")


class Status(_Model):
    state: State = "Syncing"
    commit: str = pydantic.Field(default="", description="The commit that the folder is at, where it is a git checkout.")
    documents: int = pydantic.Field(default=0, ge=0, description="How many objects the folder describes.")
    conditions: tuple[Condition, ...] = ()
    problems: tuple[Problem, ...] = ()
    more_problems: int = pydantic.Field(default=0, ge=0, description="How many problems there are beyond the listed ones.")
    changes: tuple[str, ...] = pydantic.Field(default=(), description="What the last sync that changed something changed.")
    last_change_time: str = ""

    def wire(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {"state": self.state}


def _structural(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """pydantic's JSON schema without references and titles, as CustomResourceDefinitions want it."""
    if isinstance(schema, list):
        return [_structural(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _structural(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    dropped = ("title", "$defs", "additionalProperties", "default")
    return {key: _structural(value, definitions) for key, value in schema.items() if key not in dropped}


def _schema(model: type[_Model]) -> dict[str, Any]:
    made = model.model_json_schema(by_alias=True)
    found: dict[str, Any] = _structural(made, made.get("$defs") or {})
    return found


def _validate(obj: meta.Obj, _: meta.Obj | None) -> Iterable[errors.FieldError]:
    try:
        Spec.model_validate(meta.spec(obj))
    except pydantic.ValidationError as problem:
        for item in problem.errors():
            yield errors.invalid("spec." + ".".join(map(str, item["loc"])), item.get("input"), item["msg"])


def _health(obj: meta.Obj) -> Health:
    status = meta.status(obj)
    state = status.get("state", "Syncing")
    message = next((str(one.get("message")) for one in status.get("conditions") or () if one.get("status") == "False"), "")
    if state == "Synced":
        return Health("Healthy")
    return Health("Progressing" if state == "Syncing" else "Degraded", message)


def _ready(obj: meta.Obj, _: float) -> str:
    conditions = meta.status(obj).get("conditions") or ()
    return next((str(one.get("message")) for one in conditions if one.get("type") == "Ready"), "")


KIND = Kind(
    group="reconciler.dev",
    kind="Sync",
    plural="syncs",
    singular="sync",
    namespaced=False,
    versions=(
        Version(
            name="v1",
            schema={
                "type": "object",
                "description": "A folder that is kept applied.",
                "properties": {"spec": _schema(Spec), "status": _schema(Status)},
            },
        ),
    ),
    subresources=(status_of("Sync"),),
    validate=_validate,
    has_generation=True,
    columns=(
        Column(name="Name", cell=lambda obj, _: meta.name(obj), format="name"),
        Column(name="Path", cell=lambda obj, _: meta.spec(obj).get("path", "")),
        Column(name="State", cell=lambda obj, _: meta.status(obj).get("state", "")),
        Column(name="Documents", cell=lambda obj, _: meta.status(obj).get("documents", 0), type="integer"),
        Column(name="Commit", cell=lambda obj, _: str(meta.status(obj).get("commit", ""))[:7]),
        Column(name="Message", cell=_ready),
    ),
    name_rule="label",  # it becomes the value of a label
    health=_health,
    order=70,
    custom=True,
)
