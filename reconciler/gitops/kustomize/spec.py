"""The kustomization file: its fields, as kustomize reads them.

Strict: an unknown field or a wrong type is refused with its place. Fields whose feature is not offered are known, so
that the refusal says so.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic.alias_generators import to_camel

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
COMPONENT = "Component"
UNSUPPORTED: Mapping[str, str] = {
    "helmCharts": "Helm charts are not rendered: render them with helm and keep the result",
    "helmGlobals": "Helm charts are not rendered: render them with helm and keep the result",
    "helmChartInflationGenerator": "Helm charts are not rendered: render them with helm and keep the result",
    "generators": "plug-ins are not run: use configMapGenerator and secretGenerator",
    "transformers": "plug-ins are not run: use the fields of this file",
    "validators": "plug-ins are not run",
    "vars": "vars are not supported: use replacements",
    "crds": "crds is not supported: name the references in a file of configurations",
    "openapi": "openapi is not supported",
    "buildMetadata": "buildMetadata is not supported: the source of an object is in its annotations",
}


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        populate_by_name=True,
        defer_build=True,  # most folders have no such file
    )


def _none_is_empty(value: Any) -> Any:
    return [] if value is None else value


def _none_is_empty_map(value: Any) -> Any:
    return {} if value is None else value


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Texts = Annotated[tuple[str, ...], pydantic.BeforeValidator(_as_tuple), pydantic.BeforeValidator(_none_is_empty)]
TextMap = Annotated[Mapping[str, str], pydantic.BeforeValidator(_none_is_empty_map)]
Rows = (pydantic.BeforeValidator(_as_tuple), pydantic.BeforeValidator(_none_is_empty))


class Selector(_Model):
    """Every field given must match, as a regular expression of the whole."""

    group: str = ""
    version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    annotation_selector: str = ""
    label_selector: str = ""


class PatchOptions(_Model):
    allow_name_change: bool = False
    allow_kind_change: bool = False


class Patch(_Model):
    path: str = ""
    patch: str = ""
    target: Selector | None = None
    options: PatchOptions = PatchOptions()


class FieldSpec(_Model):
    """Where a field is in objects of a kind: "spec/template/spec/containers[]/image"."""

    path: str = ""
    group: str = ""
    version: str = ""
    kind: str = ""
    create: bool = False


class Label(_Model):
    pairs: TextMap = {}
    include_selectors: bool = False
    include_templates: bool = False
    fields: Annotated[tuple[FieldSpec, ...], *Rows] = ()


class Image(_Model):
    name: str = ""
    new_name: str = ""
    new_tag: str = ""
    tag_suffix: str = ""
    digest: str = ""


class Replica(_Model):
    name: str = ""
    count: int = 0


class GeneratorOptions(_Model):
    labels: TextMap = {}
    annotations: TextMap = {}
    disable_name_suffix_hash: bool = False
    immutable: bool = False


class Generator(_Model):
    """A ConfigMap or a Secret to be made; `type` is a Secret's."""

    name: str = ""
    namespace: str = ""
    behavior: Literal["", "create", "merge", "replace", "unspecified"] = ""
    literals: Texts = ()
    files: Texts = ()
    envs: Texts = ()
    env: str = ""
    type: str = ""
    options: GeneratorOptions = GeneratorOptions()


class FieldOptions(_Model):
    delimiter: str = ""
    index: int = 0
    create: bool = False
    encoding: str = ""


class Source(_Model):
    group: str = ""
    version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    field_path: str = "metadata.name"
    options: FieldOptions = FieldOptions()


class Target(_Model):
    select: Selector | None = None
    reject: Annotated[tuple[Selector, ...], *Rows] = ()
    field_paths: Texts = ()
    options: FieldOptions = FieldOptions()


class Replacement(_Model):
    """`path` names a file that holds it, or a list of them, instead."""

    path: str = ""
    source: Source | None = None
    source_value: str | None = None
    targets: Annotated[tuple[Target, ...], *Rows] = ()


class LegacySortOptions(_Model):
    order_first: Texts = ()
    order_last: Texts = ()


class SortOptions(_Model):
    order: Literal["fifo", "legacy"] = "fifo"
    legacy_sort_options: LegacySortOptions | None = None


class Kustomization(_Model):
    api_version: str = ""
    kind: Literal["", "Kustomization", "Component"] = ""
    metadata: Mapping[str, Any] = {}
    resources: Texts = ()
    bases: Texts = ()
    components: Texts = ()
    configurations: Texts = ()
    name_prefix: str = ""
    name_suffix: str = ""
    namespace: str = ""
    common_labels: TextMap = {}
    labels: Annotated[tuple[Label, ...], *Rows] = ()
    common_annotations: TextMap = {}
    patches: Annotated[tuple[Patch, ...], *Rows] = ()
    patches_strategic_merge: Texts = ()
    patches_json6902: Annotated[tuple[Patch, ...], *Rows] = ()
    images: Annotated[tuple[Image, ...], *Rows] = ()
    image_tags: Annotated[tuple[Image, ...], *Rows] = ()
    replicas: Annotated[tuple[Replica, ...], *Rows] = ()
    replacements: Annotated[tuple[Replacement, ...], *Rows] = ()
    config_map_generator: Annotated[tuple[Generator, ...], *Rows] = ()
    secret_generator: Annotated[tuple[Generator, ...], *Rows] = ()
    generator_options: GeneratorOptions = GeneratorOptions()
    sort_options: SortOptions | None = None


class Reference(_Model):
    """Kinds that are referred to by name, and the fields that do so."""

    group: str = ""
    version: str = ""
    kind: str = ""
    field_specs: Annotated[tuple[FieldSpec, ...], *Rows] = ()


class Configuration(_Model):
    """A file of `configurations`, and what is built in: which fields the transformers look at."""

    name_reference: Annotated[tuple[Reference, ...], *Rows] = ()
    name_prefix: Annotated[tuple[FieldSpec, ...], *Rows] = ()
    name_suffix: Annotated[tuple[FieldSpec, ...], *Rows] = ()
    namespace: Annotated[tuple[FieldSpec, ...], *Rows] = ()
    common_labels: Annotated[tuple[FieldSpec, ...], *Rows] = ()
    labels: Annotated[tuple[FieldSpec, ...], *Rows] = ()
    template_labels: Annotated[tuple[FieldSpec, ...], *Rows] = ()
    common_annotations: Annotated[tuple[FieldSpec, ...], *Rows] = ()
    images: Annotated[tuple[FieldSpec, ...], *Rows] = ()
    replicas: Annotated[tuple[FieldSpec, ...], *Rows] = ()

    def extended(self, other: "Configuration") -> "Configuration":
        """This and what `other` adds."""
        return Configuration(**{name: (*getattr(self, name), *getattr(other, name)) for name in Configuration.model_fields})
