"""replacements: a value of one resource, or a fixed one, written into fields of others."""

import copy
import re
from collections.abc import Iterator, Sequence
from typing import Any

from reconciler.gitops.kustomize import fields, spec
from reconciler.gitops.kustomize.resource import Identity, Resource, Selection
from reconciler.kit import yaml

_ELEMENT = re.compile(r"\[([^=\[\]]*)=(.*)\]\Z", re.DOTALL)
NOTHING: Any = object()
MADE: Any = object()  # a field that was not there
UNTYPED: Any = object()

Slot = tuple[Any, Any]  # container and key


class Failed(Exception):
    """Why a replacement cannot be made, and in which field of it."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def replace(resources: Sequence[Resource], wanted: spec.Replacement) -> None:
    """Raises Failed."""
    if (wanted.source is None) == (wanted.source_value is None):
        raise Failed("give a source or a sourceValue, and not both", "")
    if not wanted.targets:
        raise Failed("give at least one target", "targets")
    value = wanted.source_value if wanted.source is None else _source(resources, wanted.source)
    for number, target in enumerate(wanted.targets):
        _write(resources, value, target, f"targets[{number}]")


def _source(resources: Sequence[Resource], source: spec.Source) -> Any:
    found = [one for one in resources if any(_is_selected(identity, source) for identity in one.identities)]
    if len(found) != 1:
        raise Failed("no resource is selected" if not found else f"{len(found)} resources are selected: name one", "source")
    slots = list(_slots(found[0].body, path(source.field_path), NOTHING))
    value = slots[0][0][slots[0][1]] if slots else None
    if value in (None, "", {}, []):
        raise Failed(f"{source.field_path} is missing in {found[0].identity} ({found[0].document.source})", "source.fieldPath")
    options = source.options
    if not options.delimiter:
        return value
    parts = _text(value, "source.options.delimiter").split(options.delimiter)
    if not 0 <= options.index < len(parts):
        raise Failed(f"there is no part {options.index} in {value!r}", "source.options.index")
    return parts[options.index]


def _is_selected(one: Identity, source: spec.Source) -> bool:
    return one.is_of(source) and source.name in ("", one.name) and source.namespace in ("", one.namespace)


def _write(resources: Sequence[Resource], value: Any, target: spec.Target, field: str) -> None:
    if target.select is None:
        raise Failed("say which resources to change", f"{field}.select")
    try:
        select = Selection(target.select)
        rejects = [Selection(reject) for reject in target.reject]
    except ValueError as error:
        raise Failed(str(error), field) from None
    for resource in resources:
        if _is_meant(resource, select, rejects):
            for number, text in enumerate(target.field_paths or ("metadata.name",)):
                _write_field(resource, value, text, target.options, f"{field}.fieldPaths[{number}]")


def _is_meant(resource: Resource, select: Selection, rejects: Sequence[Selection]) -> bool:
    if not select.takes_marks(resource) or any(one.has_marks and one.takes_marks(resource) for one in rejects):
        return False
    if any(not one.is_empty and any(map(one.takes, resource.identities)) for one in rejects):
        return False
    return any(map(select.takes, resource.identities))


def _write_field(resource: Resource, value: Any, text: str, options: spec.FieldOptions, field: str) -> None:
    empty: Any = NOTHING if not options.create else [] if isinstance(value, list) else {} if isinstance(value, dict) else MADE
    steps = path(text)
    try:
        slots = list(_slots(resource.body, steps, empty))
    except LookupError as error:
        raise Failed(f"{text} in {resource.identity}: {error}", field) from None
    if not slots:
        raise Failed(f"there is no field {text} in {resource.identity} ({resource.document.source})", field)
    for container, key in slots:
        if container[key] is MADE:
            container[key] = "" if options.delimiter or steps[:2] == ["metadata", "annotations"] else UNTYPED
        container[key] = _new(container[key], value, options, field)


def _new(old: Any, value: Any, options: spec.FieldOptions, field: str) -> Any:
    """The value in place of `old`, whose type it takes; a field that was just made has none, so the text decides."""
    if options.delimiter:
        parts = _text(old, field).split(options.delimiter)
        new = _text(value, field)
        if options.index < 0:
            parts.insert(0, new)
        elif options.index >= len(parts):
            parts.append(new)
        else:
            parts[options.index] = new
        value = options.delimiter.join(parts)
    if isinstance(old, dict | list) or isinstance(value, dict | list):
        return copy.deepcopy(value)
    text = _text(value, field)
    return text if isinstance(old, str) or not text else yaml.scalar(text)


def _text(value: Any, field: str) -> str:
    if isinstance(value, dict | list):
        raise Failed("only a scalar can be taken apart or be written into one", field)
    return value if isinstance(value, str) else "true" if value is True else "false" if value is False else str(value)


def path(text: str) -> list[str]:
    """The steps of spec.containers.[name=web].image; brackets keep the dots of a key together."""
    steps: list[str] = []
    parts = iter(fields.split(text, "."))
    for part in parts:
        whole = part
        if part.startswith("["):
            while not whole.endswith("]") and (more := next(parts, None)) is not None:
                whole += "." + more
            whole = whole if "=" in whole else whole.strip("[]")
        steps.append(whole)
    return steps


def _slots(container: Any, steps: Sequence[str], empty: Any, key: Any = None) -> Iterator[Slot]:
    """Where the values at `steps` are; with `empty` what is missing is made, ending in that."""
    node = container if key is None else container[key]
    if not steps:
        yield container, key
        return
    step, rest = steps[0], steps[1:]
    element = _ELEMENT.match(step)
    if isinstance(node, list):
        if step == "*":
            keys = list(range(len(node)))
        elif element is not None:
            keys = _matching(node, element.group(1), element.group(2), empty)
        else:
            keys = [_index(node, step, rest, empty)]
        for one in keys:
            yield from _slots(node, rest, empty, one)
    elif isinstance(node, dict) and step == "*":
        for one in node:
            yield from _slots(node, rest, empty, one)
    elif isinstance(node, dict):
        if node.get(step) is None and empty is not NOTHING:
            node[step] = _made(rest, empty)
        if step in node:
            yield from _slots(node, rest, empty, step)


def _matching(items: list[Any], name: str, pattern: str, empty: Any) -> list[int]:
    expression = re.compile(pattern)

    def matches(item: Any) -> bool:
        value = item.get(name) if name and isinstance(item, dict) else item if not name else None
        return value is not None and not isinstance(value, dict | list) and expression.search(_text(value, "")) is not None

    found = [index for index, item in enumerate(items) if matches(item)]
    if not found and empty is not NOTHING:
        items.append({name: pattern} if name else pattern)
        found = [len(items) - 1]
    return found


def _index(items: list[Any], step: str, rest: Sequence[str], empty: Any) -> int:
    if not step.isdecimal():
        raise LookupError(f"{step} is no place in a list: write a number, [field=value] or *")
    if int(step) == len(items) and empty is not NOTHING:
        items.append(_made(rest, empty))
    if int(step) >= len(items):
        raise LookupError(f"there is no item {step}: the list has {len(items)}")
    return int(step)


def _made(rest: Sequence[str], empty: Any) -> Any:
    if not rest:
        return empty.copy() if isinstance(empty, dict | list) else empty
    return [] if rest[0].isdecimal() or _ELEMENT.match(rest[0]) else {}
