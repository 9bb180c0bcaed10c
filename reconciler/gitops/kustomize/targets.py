"""Kustomization files: finding one, reading it, and what it names."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pydantic

from reconciler.gitops import load
from reconciler.gitops.kustomize import spec
from reconciler.gitops.kustomize.files import Files, Unreadable, is_remote, joined, read
from reconciler.gitops.kustomize.resource import Refused
from reconciler.kit import yaml

Model = TypeVar("Model", bound=pydantic.BaseModel)


@dataclass(frozen=True, slots=True)
class Target:
    """One kustomization file."""

    directory: str
    document: load.Document
    spec: spec.Kustomization

    def problem(self, message: str, field: str = "") -> load.Problem:
        return self.document.problem(message, field)

    @property
    def resources(self) -> Iterator[tuple[str, str]]:
        """(path, field that names it)."""
        for name, paths in (("resources", self.spec.resources), ("bases", self.spec.bases)):
            yield from ((path, f"{name}[{number}]") for number, path in enumerate(paths))


def target_of(files: Files, directory: str) -> Target:
    """Read a kustomization file. Raises Refused, and FileNotFoundError where there is none."""
    document = _document(files, directory)
    return Target(directory, document, parsed(document, spec.Kustomization))


def named(files: Files, directory: str) -> Iterator[str]:
    """The directories that a kustomization builds upon, whatever else may be wrong with it. Raises as target_of."""
    body: Any = _document(files, directory).body
    for group in ("resources", "bases", "components"):
        paths = body.get(group) if isinstance(body, dict) else None
        for path in paths if isinstance(paths, list) else ():
            found = _directory(files, directory, path) if isinstance(path, str) else None
            if found is not None:
                yield found


def kind(files: Files, directory: str) -> str:
    """What a kustomization file says that it is. Raises as target_of."""
    body: Any = _document(files, directory).body
    return str(body.get("kind", "")) if isinstance(body, dict) else ""


def _directory(files: Files, directory: str, path: str) -> str | None:
    try:
        found = joined(directory, path) if not is_remote(path) else None
    except Unreadable:
        return None
    return found if found is not None and files.is_directory(found) else None


def _document(files: Files, directory: str) -> load.Document:
    found = []
    for name in spec.NAMES:
        path = f"{directory}/{name}" if directory else name
        try:
            found.append((path, files.read(path)))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise Refused(load.Problem(path, 0, 0, f"cannot be read: {error.strerror}")) from None
    if not found:
        raise FileNotFoundError(directory)
    if len(found) > 1:
        raise Refused(load.Problem(found[1][0], 0, 0, f"{found[0][0]} is there too: keep one of them"))
    return only_document(*found[0])


def content(files: Files, target: Target, path: str, field: str) -> tuple[str, bytes]:
    """A file that `field` of a kustomization names. Raises Refused."""
    try:
        return read(files, target.directory, path)
    except Unreadable as error:
        raise Refused(target.problem(str(error), field)) from None


def only_document(path: str, data: bytes) -> load.Document:
    """The one value of a file. Raises Refused."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(load.Problem(path, 0, 0, "is not UTF-8: save the file as UTF-8")) from None
    found = []
    for chunk in yaml.split(text):
        try:
            if isinstance(chunk, yaml.Invalid):
                raise chunk
            found += [load.Document(path, place[0], value, "", chunk, skip) for skip, (place, value) in enumerate(yaml.build(chunk))]
        except yaml.Invalid as error:
            raise Refused(load.Problem(path, error.line, error.column, error.message)) from None
    if len(found) != 1:
        raise Refused(load.Problem(path, 1, 1, "is empty" if not found else f"holds {len(found)} documents, of which only one is read"))
    return found[0]


def parsed(document: load.Document, model: type[Model]) -> Model:
    """A document as `model` has it. Raises Refused with the first thing that is wrong."""
    body: Any = document.body
    if not isinstance(body, Mapping):
        raise Refused(document.problem("must be a mapping"))
    if model is spec.Kustomization:
        if not body.keys() - {"apiVersion", "kind", "metadata"}:
            raise Refused(document.problem("the kustomization is empty: name its resources"))
        for name in spec.UNSUPPORTED.keys() & body.keys():
            raise Refused(document.problem(spec.UNSUPPORTED[name], name))
    try:
        return model.model_validate(dict(body))
    except pydantic.ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in wrong["loc"]]
        message = "there is no such field" if wrong["type"] == "extra_forbidden" else wrong["msg"]
        raise Refused(document.problem(message, "".join(steps).lstrip("."))) from None


def replacements(document: load.Document) -> tuple[spec.Replacement, ...]:
    """The replacements of a file of their own: one, or a list. Raises Refused."""
    body: Any = document.body
    if not isinstance(body, list):
        return (parsed(document, spec.Replacement),)
    parts = (dataclasses.replace(document, body=one, prefix=(number,)) for number, one in enumerate(body))
    return tuple(parsed(part, spec.Replacement) for part in parts)
