"""Build hook: condense the Kubernetes definitions into definitions.json beside this file.

Sources: the PyPI package kubernetes-validate, pinned in pyproject.toml, which carries the OpenAPI definitions of each
Kubernetes minor. They leave out what an API server adds to the descriptions of fields with known values (enums.json):
a sentence on each. Those of the groups core, batch and autoscaling come from the descriptions of kubeflow-trainer-api,
which were generated with them, those of apps from lightkube-models of 1.23.1 (docs/adr/0020).

Only a git checkout runs this with the packages present; a wheel or sdist already holds the result, and then the hook
does nothing. Also runs by hand: `python reconciler/kinds/schema/build.py`.

The result maps a definition's name ("io.k8s.api.core.v1.Pod") to an OpenAPI v3 schema: descriptions, formats and
x-kubernetes-* extensions kept, references as "#/components/schemas/NAME", only what the stable versions reach. The
sentences on values stand beside a field's description, as SENTENCES: api/published.py puts them into it.
It imports nothing of the package it builds.
"""

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand in an environment without the build backend
    BuildHookInterface = object

KUBERNETES = "v1.36.0"
RESULT = Path(__file__).with_name("definitions.json")
REFERENCE = "#/components/schemas/"
SENTENCES = "x-enum-sentences"  # value to the sentence on it
VALUES = "Possible enum values:"
VALUE = re.compile(r' - `"(.*?)"`(.*?)(?= - `"|$)', re.DOTALL)
STABLE = re.compile(r"\.v\d+\.")  # v1 and v2, not v1beta1 or v1alpha2

# Defaults of list-map keys, which the published definitions leave out: apply needs them to find an item by its keys.
KEY_DEFAULTS = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.LocalObjectReference", "name"): "",
}
# Unions of JSON types are written as their own extension, as CustomResourceDefinitions do.
SPECIAL: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"x-kubernetes-int-or-string": True, "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string", "format": "quantity"},
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": {"type": "string", "format": "micro-time"},
    "io.k8s.apimachinery.pkg.runtime.RawExtension": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": {"x-kubernetes-preserve-unknown-fields": True},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": {"format": "schema-or-bool"},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": {"format": "schema-or-array"},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": {"format": "schema-or-strings"},
}


class SchemaBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Runs before hatchling collects files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version, build_data
        if not RESULT.exists() or RESULT.stat().st_mtime < Path(__file__).stat().st_mtime:
            build()


def build() -> None:
    """Write definitions.json. Raises FileNotFoundError naming the package that is not installed."""
    source = Path(folder("kubernetes_validate"), "kubernetes-json-schema", f"{KUBERNETES}-local", "_definitions.json")
    every = json.loads(source.read_text())["$defs"]
    reached = closure(every, [name for name in every if STABLE.search(name)])
    condensed = {name: definition(name, every[name]) for name in sorted(reached)}
    fields, parameters = (Path(folder(module), "models") for module in ("kubeflow_trainer_api", "lightkube"))
    explain_values(condensed, [*of_fields(fields), *of_parameters(parameters)])
    text = json.dumps(condensed, separators=(",", ":"), sort_keys=True)
    partial = RESULT.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(RESULT)


def folder(module: str) -> str:
    """Where a package is installed. Raises FileNotFoundError."""
    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f"the schemas are built from the module {module}: install what pyproject.toml's build-system requires")
    return found.submodule_search_locations[0]


def explain_values(condensed: dict[str, Any], described: list[tuple[str, str, str]]) -> None:
    """Put the sentences on their values beside the fields that enums.json knows. What is described: class, field, description."""
    known, shapes = (json.loads(RESULT.with_name(f"{name}.json").read_text()) for name in ("enums", "shapes"))
    names = {name.replace(".", "").lower(): name for name in condensed}
    types: dict[str, dict[str, str]] = {}
    for owner, field, description in described:
        name = names.get(owner.lower(), "")
        found = {value: text.strip() for value, text in VALUE.findall(description.partition(VALUES)[2]) if text.strip()}
        if found and field in known.get(name, {}):
            types[go_type(name, shapes[name][field])] = found
    for name, fields in known.items():
        for field in fields:
            if found := types.get(go_type(name, shapes[name][field]), {}):
                condensed[name]["properties"][field][SENTENCES] = found


def go_type(definition: str, shape: str) -> str:
    """The Go type of a field, such as io.k8s.api.core.v1.Protocol, from a shape of shapes.json, such as "4 - corev1.Protocol"."""
    name = shape.split(" ")[2].lstrip("*")
    package, _, own = name.rpartition(".")
    return f"io.k8s.api.core.v1.{own}" if package else f"{definition.rpartition('.')[0]}.{own}"  # types of others are core's


def of_fields(models: Path) -> Iterator[tuple[str, str, str]]:
    """From the fields of pydantic models, those that name known values."""
    for path in sorted(models.glob("io_k8s_*.py")):
        text = path.read_text()
        for owner in ast.parse(text).body if VALUES in text else ():
            if isinstance(owner, ast.ClassDef):
                yield from ((owner.name, *field) for field in fields_of(owner))


def fields_of(model: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for node in model.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(node.value, ast.Call):
            said = {word.arg: word.value.value for word in node.value.keywords if isinstance(word.value, ast.Constant)}
            yield str(said.get("alias", node.target.id)), str(said.get("description", ""))


def of_parameters(models: Path) -> Iterator[tuple[str, str, str]]:
    """From docstrings that list parameters, of the group apps: * **NAME** ``TYPE`` - DESCRIPTION."""
    for owner in ast.parse((models / "apps_v1.py").read_text()).body:
        if isinstance(owner, ast.ClassDef):
            _, *parameters = re.split(r"\n\s*\* \*\*(\w+)\*\* ", ast.get_docstring(owner) or "")
            for field, description in zip(parameters[::2], parameters[1::2], strict=True):
                yield f"iok8sapiappsv1{owner.name}", field, " ".join(description.split())


def closure(every: dict[str, Any], names: list[str]) -> set[str]:
    """`names` and every definition that they refer to."""
    reached: set[str] = set()
    while names:
        name = names.pop()
        if name not in reached:
            reached.add(name)
            names.extend(match.rsplit("/", 1)[1] for match in re.findall(r'"\$ref": "([^"]+)"', json.dumps(every[name])))
    return reached


def definition(name: str, source: dict[str, Any]) -> dict[str, Any]:
    if name in SPECIAL:
        description = {"description": source["description"]} if "description" in source else {}
        return {**SPECIAL[name], **description}
    condensed = node(source)
    for (owner, field), default in KEY_DEFAULTS.items():
        if owner == name:
            condensed["properties"][field]["default"] = default
    return condensed


def node(source: dict[str, Any]) -> dict[str, Any]:
    """One schema: a single type instead of a union with null (every field may be null), no constant enums."""
    result: dict[str, Any] = {}
    for key, value in source.items():
        if key == "$ref":
            result[key] = REFERENCE + value.rsplit("/", 1)[1]
        elif key == "type":
            result[key] = next(one for one in value if one != "null") if isinstance(value, list) else value
        elif key == "properties":
            result[key] = {field: node(schema) for field, schema in value.items()}
        elif key in ("items", "additionalProperties"):
            result[key] = node(value)
        elif key != "enum":
            result[key] = value
    return result


if __name__ == "__main__":
    build()
