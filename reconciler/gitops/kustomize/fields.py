"""Fields of a resource by path: kustomize's "spec/containers[]/image", which steps into every item of a list.

A change is a function of the old value; a field that is missing is only made where `make` says what from.
"""

from collections.abc import Callable
from typing import Any

from reconciler.gitops.kustomize import spec
from reconciler.gitops.kustomize.resource import Resource

MISSING: Any = object()
Change = Callable[[Any], Any]


class Misfit(Exception):
    """A path leads through a scalar."""


def split(path: str, separator: str = "/") -> list[str]:
    """The steps of a path; a separator after a backslash belongs to its step."""
    parts = path.split(separator)
    if len(parts) > 1 and not parts[0]:
        del parts[0]
    steps = [parts[0]]
    for part in parts[1:]:
        if steps[-1].endswith("\\"):
            steps[-1] = steps[-1][:-1] + separator + part
        else:
            steps.append(part)
    return steps


def change(resource: Resource, field: spec.FieldSpec, new: Change, make: Callable[[], Any] | None = None) -> None:
    """Change the field of a resource that `field` is about; `new` gets MISSING where it was just made, unless `make` gives more."""
    if resource.identity.is_of(field):
        _change(resource.body, split(field.path), new, make if field.create else None)


def _change(node: Any, steps: list[str], new: Change, make: Callable[[], Any] | None) -> None:
    if isinstance(node, list):
        for item in node:
            _change(item, steps, new, make)
        return
    if node is None:
        return
    if not isinstance(node, dict):
        raise Misfit
    name, is_list = steps[0].removesuffix("[]"), steps[0].endswith("[]")
    found = node.get(name)
    if found is None and make is not None and not is_list:
        found = node[name] = make() if len(steps) == 1 else {}
    if len(steps) > 1:
        if name in node:
            _change(found, steps[1:], new, make)
    elif isinstance(found, list) and is_list:
        node[name] = [new(item) for item in found]
    elif name in node:
        node[name] = new(found)
