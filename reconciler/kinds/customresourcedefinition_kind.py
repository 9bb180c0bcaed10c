"""From an established CustomResourceDefinition to the Kind record of its objects.

None conversion changes apiVersion only, as in Kubernetes: what the target's schema does not know is pruned. Webhook
conversion takes what the webhook made (model/conversion.py). Objects
are read through the schema of the version they were stored in, so that later defaults show.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.kinds import columns
from reconciler.kinds import customresourcedefinition_objects as objects
from reconciler.model import govalue, jsonpath, meta
from reconciler.model.conversion import Conversions
from reconciler.model.kind import Column, Kind, Subresource, Version, scale, status_of
from reconciler.model.structural import default, numbers, prune, schema
from reconciler.model.structural.schema import Structural

VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")  # in discovery's order

Convert = Callable[[meta.Obj], meta.Obj]


def kind_of(definition: meta.Obj) -> Kind:
    """The kind that an established definition serves, under its accepted names."""
    spec, names = meta.spec(definition), meta.status(definition)["acceptedNames"]
    schemas = {version["name"]: schema.parse((version.get("schema") or {}).get("openAPIV3Schema") or {}) for version in spec["versions"]}
    storage = next(version for version in spec["versions"] if version.get("storage"))
    forms = _Forms(spec["group"], schemas, storage["name"], _conversions(spec))
    hub = _of_version(storage, names["kind"])
    return Kind(
        group=spec["group"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular", ""),
        list_kind=names.get("listKind", ""),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        namespaced=spec["scope"] == "Namespaced",
        versions=tuple(_version(spec, version, forms, hub) for version in spec["versions"]),
        hub=storage["name"],
        verbs=VERBS,
        prepare=_prepare(storage),
        prepare_status=_prepare_status,
        warn=objects.warn_of_finalizers,
        has_generation=True,
        unconditional_update=False,
        custom=True,
        conversions=forms.conversions,
        order=60,
        **hub,
    )


class _Forms:
    """The ways between the versions of one kind."""

    def __init__(self, group: str, schemas: Mapping[str, Structural], hub: str, conversions: Conversions | None) -> None:
        self.conversions = conversions
        self.group = group
        self.schemas = schemas
        self.hub = hub

    def read(self, version: str) -> Convert:
        """A stored object in `version`."""
        api_version, target = f"{self.group}/{version}", self.schemas[version]

        def convert(obj: meta.Obj) -> meta.Obj:
            stored = str(obj.get("apiVersion", "")).rpartition("/")[2]
            source = self.schemas.get(stored, target)
            shown = default.default(prune.prune(obj, source)[0], source)
            if stored == version:
                return shown  # type: ignore[no-any-return]
            if self.conversions is not None:
                return self._converted(self.conversions, shown, api_version, target)
            return prune.prune({**shown, "apiVersion": api_version}, target)[0]  # type: ignore[no-any-return]

        return convert

    def write(self, version: str) -> Convert:
        """An object of `version` as it is stored."""
        api_version, target = f"{self.group}/{self.hub}", self.schemas[self.hub]
        if version == self.hub:
            return lambda obj: obj
        if self.conversions is not None:
            conversions = self.conversions
            return lambda obj: self._converted(conversions, obj, api_version, target)
        return lambda obj: prune.prune({**obj, "apiVersion": api_version}, target)[0]

    def _converted(self, conversions: Conversions, obj: meta.Obj, api_version: str, target: Structural) -> meta.Obj:
        """Raises Unconverted."""
        made = prune.prune(conversions.converted(obj, api_version), target)[0]
        return default.default(made, target)  # type: ignore[no-any-return]


def _conversions(spec: Mapping[str, Any]) -> Conversions | None:
    conversion = spec.get("conversion") or {}
    return Conversions(conversion.get("webhook") or {}) if conversion.get("strategy") == "Webhook" else None


def _version(spec: Mapping[str, Any], version: Mapping[str, Any], forms: _Forms, hub: Mapping[str, Any]) -> Version:
    name = version["name"]
    structural = forms.schemas[name]
    own = _of_version(version, spec["names"]["kind"])
    return Version(
        name=name,
        schema=structural.raw,
        default=lambda obj: default.default(default.without_nulls(obj, structural), structural),
        to_hub=forms.write(name),
        from_hub=forms.read(name),
        served=bool(version.get("served")),
        deprecation=_deprecation(spec, version),
        prune=lambda obj: prune.prune(numbers.canonical(obj), structural),
        validate=objects.validator(spec["names"]["kind"], version, structural),
        overrides={key: value for key, value in own.items() if value is not hub[key] and value != hub[key]},
    )


def _of_version(version: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        "columns": _columns(version.get("additionalPrinterColumns")),
        "subresources": _subresources(version, kind),
        "selectable_fields": _selectable(version.get("selectableFields") or ()),
    }


def _subresources(version: Mapping[str, Any], kind: str) -> tuple[Subresource, ...]:
    wanted = version.get("subresources") or {}
    found = []
    if wanted.get("status") is not None:
        found.append(status_of(kind))
    if (given := wanted.get("scale")) is not None:
        found.append(
            Subresource(
                name="scale",
                kind="Scale",
                verbs=scale().verbs,
                group="autoscaling",
                version="v1",
                replicas_path=_keys(given["specReplicasPath"]),
                status_replicas_path=_keys(given["statusReplicasPath"]),
                selector_path=_keys(given.get("labelSelectorPath", "")),
            )
        )
    return tuple(found)


def _keys(path: str) -> tuple[str, ...]:
    return tuple(path.removeprefix(".").split(".")) if path else ()


def _deprecation(spec: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    if not version.get("deprecated"):
        return ""
    return str(version.get("deprecationWarning") or f"{spec['group']}/{version['name']} {spec['names']['kind']} is deprecated")


def _prepare(storage: Mapping[str, Any]) -> Callable[[meta.Obj, meta.Obj | None], meta.Obj]:
    """With a status subresource the main resource cannot write status; without one, status is part of the object."""
    has_status = (storage.get("subresources") or {}).get("status") is not None

    def prepare(obj: meta.Obj, old: meta.Obj | None) -> meta.Obj:
        if has_status:
            without = {key: value for key, value in obj.items() if key != "status"}
            return {**without, "status": old["status"]} if old is not None and "status" in old else without
        if old is None or _content(obj) == _content(old):
            return obj
        return meta.put(obj, ("metadata", "generation"), meta.generation(old) + 1)

    return prepare


def _content(obj: meta.Obj) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key not in ("metadata", "apiVersion")}


def _prepare_status(obj: meta.Obj, old: meta.Obj | None) -> meta.Obj:
    """The status subresource writes status and managedFields, nothing else."""
    if old is None:
        return obj
    metadata = {**meta.meta(old), "managedFields": meta.meta(obj).get("managedFields") or []}
    if not metadata["managedFields"]:
        del metadata["managedFields"]
    made = {**old, "metadata": metadata}
    made.pop("status", None)
    return {**made, "status": obj["status"]} if "status" in obj else made


def _selectable(fields: Sequence[Mapping[str, str]]) -> dict[str, Callable[[meta.Obj], str]]:
    def reader(path: str) -> Callable[[meta.Obj], str]:
        steps = jsonpath.parse(path)

        def read(obj: meta.Obj) -> str:
            found = jsonpath.find(steps, obj)
            return govalue.plain(found[0]) if found and found[0] is not None else ""

        return read

    return {field["jsonPath"].removeprefix("."): reader(field["jsonPath"]) for field in fields}


def _columns(wanted: Sequence[Mapping[str, Any]] | None) -> tuple[Column, ...]:
    name = Column(name="Name", cell=lambda obj, _: meta.name(obj), format="name", description="@metadata.name")
    if not wanted:
        return (name, Column(name="Age", cell=columns.age, type="date", description="@metadata.creationTimestamp"))
    return (name, *(_column(one) for one in wanted))


def _column(wanted: Mapping[str, Any]) -> Column:
    path = wanted["jsonPath"]
    try:
        steps = jsonpath.parse(path)
    except jsonpath.Malformed:
        steps = (lambda _: (),)  # Kubernetes serves such a definition, too
    kind = wanted["type"]

    def cell(obj: meta.Obj, now: float) -> Any:
        found = jsonpath.find(steps, obj)
        return _cell(kind, found[0], now) if found else None

    return Column(
        name=wanted["name"],
        cell=cell,
        type=kind,
        format=wanted.get("format", ""),
        description=wanted.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        priority=int(wanted.get("priority", 0)),
    )


def _cell(kind: str, value: Any, now: float) -> Any:
    """A value as a column of this type shows it; None where it does not fit."""
    if kind == "string":
        return _text(value)
    if kind in ("integer", "number") and isinstance(value, int | float) and not isinstance(value, bool):
        return int(value) if kind == "integer" else value
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date" and isinstance(value, str):
        try:
            return columns.since(value, now)
        except ValueError:
            return "<invalid>"
    return None


def _text(value: Any) -> str:
    return govalue.marshal(value) if isinstance(value, dict | list) else govalue.plain(value)
