"""What each kind and subresource lets a writer own."""

from dataclasses import replace

from reconciler import kinds
from reconciler.kit import definitions
from reconciler.model import meta
from reconciler.model.apply import fields, form
from reconciler.model.kind import Kind, Version, status_of
from reconciler.model.schema import Schemas

SCHEMAS = Schemas(definitions.load(), definitions.shapes())
EVERYTHING = fields.of(
    ("f:spec", "f:a"),
    ("f:status", "f:phase"),
    ("f:metadata", "f:labels", "f:a"),
    ("f:metadata", "f:ownerReferences"),
    ("f:spec", "f:ephemeralContainers", 'k:{"name":"x"}', "f:image"),
)


def writable(kind: str, subresource: str) -> set[str]:
    made = form.of(kinds.builtin()[kind], "v1", SCHEMAS, subresource)
    return {fields.shown(path) for path in fields.paths(made.writable(EVERYTHING))}


def test_the_object_itself_leaves_the_status_alone_and_the_status_the_rest() -> None:
    everything = {fields.shown(path) for path in fields.paths(EVERYTHING)}
    assert writable("pods", "") == everything - {".status.phase"}
    assert writable("pods", "status") == {".status.phase", ".metadata.labels.a"}
    assert writable("nodes", "status") == {".status.phase", ".metadata.labels.a", ".metadata.ownerReferences"}
    assert writable("pods", "ephemeralcontainers") == {'.spec.ephemeralContainers[name="x"].image'}
    assert writable("configmaps", "") == everything


def test_an_empty_object_holds_what_its_type_always_writes() -> None:
    empty = form.of(kinds.builtin()["deployments.apps"], "v1", SCHEMAS).empty
    assert empty["status"] == {}
    assert empty["spec"]["template"] == {"metadata": {}, "spec": {"containers": None}}


def custom() -> Kind:
    def schema(field: str) -> dict[str, object]:
        return {"type": "object", "properties": {field: {"type": "string"}, "metadata": {"type": "object"}}}

    def to_hub(obj: meta.Obj) -> meta.Obj:
        return {"new" if name == "old" else name: value for name, value in obj.items()}

    def from_hub(obj: meta.Obj) -> meta.Obj:
        return {"old" if name == "new" else name: value for name, value in obj.items()}

    versions = (Version(name="v2", schema=schema("new")), Version(name="v1", schema=schema("old"), to_hub=to_hub, from_hub=from_hub))
    return Kind(group="example.com", kind="Thing", plural="things", singular="thing", versions=versions, custom=True)


def test_a_custom_resource_has_kubernetes_metadata_and_no_empty_form() -> None:
    made = form.of(replace(custom(), subresources=(status_of("Thing"),)), "v1", SCHEMAS)
    assert made.empty == {}
    owners = made.node.at(("metadata", "ownerReferences"))
    assert owners is not None
    assert owners.map_keys == ("uid",)
    assert made.writable(EVERYTHING) == fields.difference(EVERYTHING, fields.of(("f:status", "f:phase")))


def test_other_versions_are_reached_and_come_back() -> None:
    made = form.of(custom(), "v1", SCHEMAS)
    other = made.other("example.com/v2")
    assert other is not None
    obj = {"apiVersion": "example.com/v1", "kind": "Thing", "old": "x"}
    assert other.there(obj) == {"apiVersion": "example.com/v2", "kind": "Thing", "new": "x"}
    assert other.back(other.there(obj)) == obj
    assert made.other("example.com/v3") is None
