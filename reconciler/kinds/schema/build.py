"""Build hook: condense the Kubernetes definitions into definitions.json beside this file.

Source: the PyPI package kubernetes-validate, pinned in pyproject.toml, which carries the OpenAPI definitions of each
Kubernetes minor. Only a git checkout runs this with the package present; a wheel or sdist already holds the result,
and then the hook does nothing. Also runs by hand: `python reconciler/kinds/schema/build.py`.

The result maps a definition's name ("io.k8s.api.core.v1.Pod") to an OpenAPI v3 schema: descriptions, formats and
x-kubernetes-* extensions kept, references as "#/components/schemas/NAME", only what the stable versions reach.
It imports nothing of the package it builds.
"""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand in an environment without the build backend
    BuildHookInterface = object

KUBERNETES = "v1.36.0"
RESULT = Path(__file__).with_name("definitions.json")
REFERENCE = "#/components/schemas/"
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
        if not RESULT.exists():
            build()


def build() -> None:
    """Write definitions.json. Raises FileNotFoundError naming the package where it is not installed."""
    found = importlib.util.find_spec("kubernetes_validate")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("the package kubernetes-validate is needed to build the schemas: pip install kubernetes-validate")
    source = Path(found.submodule_search_locations[0], "kubernetes-json-schema", f"{KUBERNETES}-local", "_definitions.json")
    every = json.loads(source.read_text())["$defs"]
    reached = closure(every, [name for name in every if STABLE.search(name)])
    text = json.dumps({name: definition(name, every[name]) for name in sorted(reached)}, separators=(",", ":"), sort_keys=True)
    partial = RESULT.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(RESULT)


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
