"""What one file of the folder says: Kubernetes documents, each with its place, and everything wrong with it.

`parse` is pure and never raises: an error is a Problem with file, line, column, field and what to do, and all of
them are returned at once. A broken document takes no other with it. `kind: List` is flattened, fields that only a
server writes are dropped, names that are no names are refused. Which kinds exist is not known here (plan.py).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.kit import yaml
from reconciler.model import meta

MAX_FILE_BYTES = 5 << 20
MAX_DOCUMENTS = 5_000  # of one file, lists flattened

# What `kubectl get -o yaml` prints and nobody means to set.
_SERVER_METADATA = frozenset(("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation"))
_SERVER_FIELDS = _SERVER_METADATA | {"managedFields", "resourceVersion", "selfLink", "uid"}
_STEP = re.compile(r"\.?([^.\[\]]+)|\[([^\]]*)\]")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in the folder. `path` is relative to it; line and column count from 1, 0 where there is none."""

    path: str
    line: int
    column: int
    message: str
    field: str = ""

    @property
    def place(self) -> str:
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.field, self.message) if part)


@dataclass(frozen=True, slots=True)
class Document:
    """One object as the folder wants it. Equal digests mean equal content, wherever it is written."""

    path: str  # file, relative to the folder
    line: int  # where the object begins
    body: meta.Obj
    digest: str
    chunk: yaml.Chunk
    skip: int = 0  # number of the value within the chunk, where `...` lines separate several
    prefix: tuple[yaml.Step, ...] = ()  # path of the object within that value, where a List holds it
    unit: str = ""  # the kustomization file that made this of it; "" where the file itself is applied

    @property
    def source(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def home(self) -> str:
        """The file whose word it is that the object is wanted."""
        return self.unit or self.path

    def problem(self, message: str, field: str = "") -> Problem:
        """A problem of this document, placed at the field such as spec.containers[0].image."""
        line, column = yaml.locate(self.chunk, (*self.prefix, *steps(field)), self.skip)
        return Problem(self.path, line, column, message, field)


@dataclass(frozen=True, slots=True)
class File:
    """What one file says, and everything wrong with it. With a problem it may still mean what it once defined."""

    path: str
    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    blob: bytes = b""  # git's hash of the content


def parse(path: str, data: bytes) -> File:
    """The documents of a file, in the form that is applied, and its problems; `path` is only named in them."""
    return applicable(read(path, data))


def applicable(file: File) -> File:
    """A file as `read`, its documents in the form that is applied."""
    found = [normal(document) for document in file.documents]
    documents = tuple(one for one in found if isinstance(one, Document))
    return File(file.path, documents, (*file.problems, *(one for one in found if isinstance(one, Problem))), file.blob)


def read(path: str, data: bytes, *, words_are_text: bool = False) -> File:
    """The documents of a file as they are written, and its problems; `words_are_text` as yaml.Chunk has it."""
    if len(data) > MAX_FILE_BYTES:
        return refused(path, too_large(len(data)))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        return File(path, problems=(Problem(path, line, column, "this byte is not UTF-8: save the file as UTF-8"),))
    documents: list[Document] = []
    problems: list[Problem] = []
    for number, found in enumerate(_documents(path, text, words_are_text)):
        if number == MAX_DOCUMENTS:
            return refused(path, f"more than {MAX_DOCUMENTS} documents: split the file")
        if isinstance(found, Problem):
            problems.append(found)
        elif found is not None:
            documents.append(found)
    return File(path, tuple(documents), tuple(problems))


def refused(path: str, message: str) -> File:
    """A file that is not read at all."""
    return File(path, problems=(Problem(path, 0, 0, message),))


def too_large(size_bytes: int) -> str:
    return f"the file has {size_bytes} bytes, at most {MAX_FILE_BYTES} are read: split it"


def digest(body: meta.Obj) -> str:
    """A short hash of an object's content; the order of keys does not count."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()


def steps(field: str) -> tuple[yaml.Step, ...]:
    """A field path as errors write it, such as spec.ports[0].name or metadata.labels[a.b/c], as keys and indexes."""
    found: list[yaml.Step] = []
    for key, bracket in _STEP.findall(field):
        found.append(key or (int(bracket) if bracket.isdecimal() else bracket.strip("\"'")))
    return tuple(found)


def _documents(path: str, text: str, words_are_text: bool) -> Iterator[Document | Problem | None]:
    """What the documents come to, None for an empty one."""
    for chunk in yaml.split(text, words_are_text=words_are_text):
        if isinstance(chunk, yaml.Invalid):
            yield _problem(path, chunk)
            continue
        if not chunk.text.strip():
            yield None
            continue
        try:
            for skip, (place, value) in enumerate(yaml.build(chunk)):
                yield from _objects(path, chunk, skip, place, value)
        except yaml.Invalid as error:
            yield _problem(path, error)


def _problem(path: str, error: yaml.Invalid) -> Problem:
    return Problem(path, error.line, error.column, error.message)


def _objects(path: str, chunk: yaml.Chunk, skip: int, place: yaml.Place, value: Any) -> Iterator[Document | Problem]:
    if not isinstance(value, dict):
        yield Problem(path, *place, "a document must be a mapping with apiVersion, kind and metadata")
        return
    kind = value.get("kind")
    if not (isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list)):
        yield Document(path, place[0], value, "", chunk, skip)
        return
    inherited = {} if kind == "List" else {"apiVersion": value.get("apiVersion"), "kind": kind.removesuffix("List")}
    for number, item in enumerate(value["items"]):
        prefix: tuple[yaml.Step, ...] = ("items", number)
        line, column = yaml.locate(chunk, prefix, skip)
        if isinstance(item, dict):
            yield Document(path, line, {**inherited, **item}, "", chunk, skip, prefix)
        else:
            yield Problem(path, line, column, "an item of a List must be an object", f"items[{number}]")


def normal(raw: Document) -> Document | Problem:
    """The document in the form that is applied, or what is wrong with its head."""
    body = raw.body
    for field in ("apiVersion", "kind"):
        if not isinstance(body.get(field), str) or not body[field]:
            return raw.problem("must be a string, such as " + ("apps/v1" if field == "apiVersion" else "Deployment"), field)
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        return raw.problem("must be a mapping with a name", "metadata")
    if "generateName" in metadata and not metadata.get("name"):
        return raw.problem("an object kept in a folder needs a fixed name: write metadata.name", "metadata.generateName")
    for field in ("name", "namespace"):
        wrong = _wrong_name(metadata, field)
        if wrong:
            return raw.problem(wrong, f"metadata.{field}")
    for field in ("labels", "annotations"):
        if not isinstance(metadata.get(field) or {}, dict):
            return raw.problem("must be a mapping of strings to strings", f"metadata.{field}")
    kept = {key: value for key, value in metadata.items() if key not in _SERVER_FIELDS}
    body = {**{key: value for key, value in body.items() if key != "status"}, "metadata": kept}
    return Document(raw.path, raw.line, body, digest(body), raw.chunk, raw.skip, raw.prefix, raw.unit)


def _wrong_name(metadata: Mapping[str, Any], field: str) -> str:
    value = metadata.get(field)
    if value is None and field == "namespace":
        return ""
    if value is None or value == "":
        return "a value is required"
    if not isinstance(value, str):
        return f"{json.dumps(value)} is not a string: quote it"
    if "/" in value or "%" in value or value in (".", ".."):
        return f"{json.dumps(value)} cannot be a name: '/', '%', '.' and '..' are not allowed"
    return ""


def places(documents: Sequence[Document]) -> str:
    """The sources of documents in words: "a.yaml:1 and b.yaml:7"."""
    return " and ".join(document.source for document in documents)
