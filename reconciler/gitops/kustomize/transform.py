"""The transformers that change one kind of field everywhere: namespace, names, labels, annotations, images, replicas."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reconciler.gitops.kustomize import fields, spec
from reconciler.gitops.kustomize.resource import NOWHERE, Identity, Resource, identity

_KEEPS_NAME = ("CustomResourceDefinition", "Namespace")
_KEEPS_NAME_GROUP = ("apiregistration.k8s.io", "APIService")


class Failed(Exception):
    """A transformer cannot do what it is asked."""


def namespace(resources: Sequence[Resource], wanted: str, config: spec.Configuration) -> None:
    for resource in resources:
        resource.remember()
        if resource.identity.namespace != NOWHERE:
            resource.metadata["namespace"] = wanted
        for field in config.namespace:
            if field.path != "metadata/namespace":
                _set(resource, field, wanted)
        if resource.identity.kind in ("RoleBinding", "ClusterRoleBinding"):
            for subject in resource.body.get("subjects") or ():
                if isinstance(subject, dict) and subject.get("name") == "default":
                    subject["namespace"] = wanted
    taken: dict[Identity, Resource] = {}
    for resource in resources:
        twin = taken.setdefault(resource.identity, resource)
        if twin is not resource:
            raise Failed(f"two resources would become {resource.identity}: {twin.document.source} and {resource.document.source}")


def names(resources: Iterable[Resource], text: str, config: spec.Configuration, *, is_prefix: bool) -> None:
    for resource in resources:
        was = resource.original
        if was.kind in _KEEPS_NAME or (was.group, was.kind) == _KEEPS_NAME_GROUP:
            continue
        for field in config.name_prefix if is_prefix else config.name_suffix:
            if not was.is_of(field):
                continue
            if field.path == "metadata/name":
                (resource.prefixes if is_prefix else resource.suffixes).append(text)
                resource.remember()
            _change(resource, field, lambda old: text + str(old) if is_prefix else str(old) + text)


def labels(resources: Iterable[Resource], wanted: Mapping[str, str], where: Iterable[spec.FieldSpec]) -> None:
    """Labels, or annotations, in each of the maps that `where` names."""
    where = tuple(where)
    for resource in resources:
        for field in where:
            _change(resource, field, lambda old: {**(old or {}), **wanted}, dict)


def images(resources: Iterable[Resource], image: spec.Image, config: spec.Configuration) -> None:
    pattern = re.compile(re.escape(image.name) + r"(:[a-zA-Z0-9_.{}-]*)?(@sha256:[a-zA-Z0-9_.{}-]*)?")

    def new(old: Any) -> Any:
        return _image(old, image) if isinstance(old, str) and pattern.fullmatch(old) else old

    for resource in resources:
        if resource.identity.kind != "CustomResourceDefinition":
            _in_containers(resource.body, new)
        for field in config.images:
            _change(resource, field, new)


def replicas(resources: Sequence[Resource], wanted: spec.Replica, config: spec.Configuration) -> None:
    found = False
    for field in config.replicas:
        for resource in resources:
            if any(one.name == wanted.name and one.is_of(field) for one in resource.identities):
                found = True
                _set(resource, field, wanted.count)
    if not found:
        kinds = ", ".join(sorted({field.kind for field in config.replicas}))
        raise Failed(f"no resource of these kinds is called {wanted.name}: {kinds}")


def _set(resource: Resource, field: spec.FieldSpec, value: Any) -> None:
    _change(resource, field, lambda old: value, lambda: value)


def _change(resource: Resource, field: spec.FieldSpec, new: fields.Change, make: Any = None) -> None:
    try:
        fields.change(resource, field, new, make)
    except fields.Misfit:
        raise Failed(f"{field.path} leads through a scalar in {identity(resource.body)} ({resource.document.source})") from None


def _in_containers(node: Any, new: fields.Change) -> None:
    """Every image of a list called containers or initContainers, wherever it is."""
    if isinstance(node, list):
        for item in node:
            _in_containers(item, new)
    elif isinstance(node, dict):
        for name, value in node.items():
            _in_containers(value, new)
            if name in ("containers", "initContainers") and isinstance(value, list):
                for item in value:
                    if isinstance(item, dict) and "image" in item:
                        item["image"] = new(item["image"])


def _image(old: str, image: spec.Image) -> str:
    host, slash, rest = old.partition("/") if old.find("/") > 0 else ("", "", old)
    rest, _, digest = rest.partition("@")
    rest, _, tag = rest.partition(":")
    name = image.new_name or host + slash + rest
    if image.new_tag or image.digest:
        tag, digest = image.new_tag, image.digest
    elif image.tag_suffix:
        tag, digest = tag + image.tag_suffix, ""
    return name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
