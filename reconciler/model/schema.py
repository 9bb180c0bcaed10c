"""Schemas as a graph of nodes: what a field is, how its lists merge, where its items are found.

`Schemas(definitions).of("io.k8s.api.core.v1.Pod")` is the root; `node.field("spec").field("containers").item` walks
down. References are resolved on the way and nodes are made once, so a walk costs a dictionary look-up. A custom
resource's schema is used the same way: `of({...})`. Whether an object fits a schema is model/decode.py's question.

Extensions are Kubernetes' own (x-kubernetes-list-type, -patch-strategy, ...); an absent one means what
kube-apiserver takes it to mean: lists and maps without a type are atomic and granular.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

ANY: Mapping[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}
EMPTY: Mapping[str, Any] = {}


class Schemas:
    """The nodes over one set of definitions and, where objects are decoded, the shapes of their Go structs."""

    def __init__(self, definitions: Mapping[str, Mapping[str, Any]], shapes: Mapping[str, Mapping[str, str]] = EMPTY) -> None:
        self.definitions = definitions
        self.shapes = shapes
        self._roots: dict[str, Node] = {}

    def of(self, schema: str | Mapping[str, Any]) -> "Node":
        """The node of a definition's name, or of a schema itself. Raises KeyError for an unknown name."""
        if not isinstance(schema, str):
            return self.of(reference(schema)) if "$ref" in schema else Node(self, schema, "")
        if (root := self._roots.get(schema)) is None:
            root = self._roots[schema] = Node(self, self.definitions[schema], schema)
        return root


class Node:
    """One resolved schema. `name` is its definition's, or "" for one that is written in place.

    `outer` is the property that refers to the definition: extensions on it win over the definition's own.
    """

    def __init__(self, schemas: Schemas, schema: Mapping[str, Any], name: str, outer: Mapping[str, Any] | None = None) -> None:
        self.schemas = schemas
        self.schema = schema
        self.name = name
        self.shape = schemas.shapes.get(name, EMPTY)
        self.struct: Any = None  # model/decode.py's own, kept here so that it lives as long as the schema
        self.decoder: Any = None
        self._outer = outer or EMPTY
        self._fields: dict[str, Node | None] = {}

    def __repr__(self) -> str:
        return f"Node({self.name or self.type})"

    @cached_property
    def type(self) -> str:
        """object, array, string, integer, number, boolean; "" for anything (and for int-or-string)."""
        return str(self.schema.get("type", ""))

    @cached_property
    def format(self) -> str:
        return str(self.schema.get("format", ""))

    @cached_property
    def properties(self) -> Mapping[str, Mapping[str, Any]]:
        return self.schema.get("properties") or {}

    @cached_property
    def is_int_or_string(self) -> bool:
        return bool(self.schema.get("x-kubernetes-int-or-string"))

    @cached_property
    def preserves_unknown(self) -> bool:
        """Whether fields that the schema does not name are kept rather than pruned or refused."""
        return bool(self.schema.get("x-kubernetes-preserve-unknown-fields"))

    @cached_property
    def is_embedded_resource(self) -> bool:
        return bool(self.schema.get("x-kubernetes-embedded-resource"))

    @cached_property
    def is_map(self) -> bool:
        """A map with free keys (labels, limits), not an object with named fields."""
        return self.type == "object" and not self.properties

    @cached_property
    def list_type(self) -> str:
        """ "atomic", "set" or "map"; "" where this is no list."""
        return str(self._extension("list-type") or "atomic") if self.type == "array" else ""

    @cached_property
    def map_keys(self) -> tuple[str, ...]:
        """The fields that identify an item of a list of type "map"."""
        return tuple(self._extension("list-map-keys") or ())

    @cached_property
    def map_type(self) -> str:
        """ "granular" or "atomic"; "" where this is no object."""
        return str(self._extension("map-type") or "granular") if self.type == "object" else ""

    @cached_property
    def is_atomic(self) -> bool:
        """Whether apply owns the value as a whole: scalars, atomic lists and atomic maps."""
        if self.type == "array":
            return self.list_type == "atomic"
        return self.type != "object" or self.map_type == "atomic"

    @cached_property
    def patch_strategy(self) -> tuple[str, ...]:
        """Of strategic merge patch: none (replace), ("merge",), ("replace",), ("retainKeys",), ("merge", "retainKeys")."""
        return tuple(part for part in str(self._extension("patch-strategy") or "").split(",") if part)

    @cached_property
    def patch_merge_key(self) -> str:
        """The field that identifies an item in a strategic merge patch; "" for lists of scalars."""
        return str(self._extension("patch-merge-key") or "")

    @cached_property
    def default(self) -> Any:
        """The schema's default: of a list-map key, or written in a CustomResourceDefinition. None when absent."""
        return self._outer.get("default", self.schema.get("default"))

    @cached_property
    def item(self) -> "Node":
        """What a list holds."""
        return self._make(self.schema.get("items") or ANY)

    @cached_property
    def values(self) -> "Node | None":
        """What a map with free keys holds; None where free keys are not allowed."""
        additional = self.schema.get("additionalProperties")
        if isinstance(additional, Mapping):
            return self._make(additional)
        return self._make(ANY) if additional or self.preserves_unknown or (self.type == "" and not self.properties) else None

    def field(self, name: str) -> "Node | None":
        """The node of a named field or of a free key; None for a field that does not exist."""
        if name in self._fields:
            return self._fields[name]
        schema = self.properties.get(name)
        node = self._make(schema) if schema is not None else self.values
        if schema is not None:  # free keys are not remembered: they are without bound
            self._fields[name] = node
        return node

    def at(self, path: tuple[str | int, ...]) -> "Node | None":
        """The node under `path`, whose integers step into lists."""
        node: Node | None = self
        for step in path:
            if node is None:
                return None
            node = node.item if isinstance(step, int) else node.field(step)
        return node

    def fields(self) -> Iterator[tuple[str, "Node"]]:
        """Every named field."""
        for name in self.properties:
            node = self.field(name)
            assert node is not None
            yield name, node

    def _make(self, schema: Mapping[str, Any]) -> "Node":
        if "$ref" not in schema:
            return Node(self.schemas, schema, "")
        name = reference(schema)
        if schema.keys() <= {"$ref", "description"}:
            return self.schemas.of(name)
        return Node(self.schemas, self.schemas.definitions[name], name, schema)

    def _extension(self, name: str) -> Any:
        key = f"x-kubernetes-{name}"
        return self._outer.get(key, self.schema.get(key))


def reference(schema: Mapping[str, Any]) -> str:
    """The definition's name that a {"$ref": ...} schema points to."""
    return str(schema["$ref"]).rsplit("/", 1)[1]


def described(root: Node, text: str) -> str:
    """A column's description: "@spec.replicas" is what the schema says of that field, anything else itself."""
    if not text.startswith("@"):
        return text
    node: Node | None = root
    found: Mapping[str, Any] = EMPTY
    for name in text[1:].split("."):
        node = node.item if node is not None and node.type == "array" else node
        found = node.properties.get(name, EMPTY) if node is not None else EMPTY
        node = node.field(name) if node is not None else None
    return str(found.get("description", ""))
