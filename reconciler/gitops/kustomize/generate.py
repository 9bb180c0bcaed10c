"""configMapGenerator and secretGenerator: their objects, and the hash of an object's content for its name."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from reconciler.gitops.kustomize import spec

LINE = 70  # characters of base64 on one line
_KEY = re.compile(r"[-._a-zA-Z0-9]+\Z")
_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*\Z")
_LETTERS = str.maketrans({"0": "g", "1": "h", "3": "k", "a": "m", "e": "t"})

Read = Callable[[str], bytes]


class Malformed(Exception):
    """A source of a generator: what is wrong, and in which field of it."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def config_map(generator: spec.Generator, options: spec.GeneratorOptions, read: Read) -> dict[str, Any]:
    body = _head("ConfigMap", generator, options)
    for key, value in _pairs(generator, read).items():
        try:
            body.setdefault("data", {})[key] = value.decode()
        except UnicodeDecodeError:
            body.setdefault("binaryData", {})[key] = _base64(value)
    return {name: value for name, value in body.items() if value != {}}


def secret(generator: spec.Generator, options: spec.GeneratorOptions, read: Read) -> dict[str, Any]:
    data = {key: _base64(value) for key, value in _pairs(generator, read).items()}
    return {**_head("Secret", generator, options), "type": generator.type or "Opaque", "data": data}


def merged(options: spec.GeneratorOptions, overall: spec.GeneratorOptions) -> spec.GeneratorOptions:
    """A generator's options under those of the whole kustomization: a switch that is on in one is on."""
    return spec.GeneratorOptions(
        labels={**overall.labels, **options.labels},
        annotations={**overall.annotations, **options.annotations},
        disable_name_suffix_hash=options.disable_name_suffix_hash or overall.disable_name_suffix_hash,
        immutable=options.immutable or overall.immutable,
    )


def content_hash(body: dict[str, Any]) -> str:
    """What kustomize appends to the name."""
    hashed: dict[str, Any] = body
    if body["kind"] in ("ConfigMap", "Secret"):  # kustomize looks for the name in a wrong place and so leaves it out
        hashed = {"kind": body["kind"], "name": "", "data": body.get("data", "")}
        hashed |= {name: body[name] for name in ("binaryData", "stringData") if name in body}
        hashed |= {"type": body.get("type", "")} if body["kind"] == "Secret" else {}
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":  # as Go's encoder writes them
        text = text.replace(character, f"\\u{ord(character):04x}")
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(_LETTERS)


def _head(kind: str, generator: spec.Generator, options: spec.GeneratorOptions) -> dict[str, Any]:
    if not generator.name:
        raise Malformed(f"a {kind} must have a name", "name")
    metadata: dict[str, Any] = {"name": generator.name}
    if generator.namespace:
        metadata["namespace"] = generator.namespace
    for group, wanted in (("labels", options.labels), ("annotations", options.annotations)):
        if wanted:
            metadata[group] = dict(wanted)
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **({"immutable": True} if options.immutable else {})}


def _pairs(generator: spec.Generator, read: Read) -> dict[str, bytes]:
    pairs: dict[str, bytes] = {}
    for field, key, value in _sources(generator, read):
        if not _KEY.match(key) or key in (".", ".."):
            raise Malformed(f"{key!r} is no key: letters, digits, '-', '_' and '.' are allowed", field)
        if key in pairs:
            raise Malformed(f"the key {key!r} is given twice", field)
        pairs[key] = value
    return pairs


def _sources(generator: spec.Generator, read: Read) -> Iterator[tuple[str, str, bytes]]:
    """(field it comes from, key, value)."""
    for number, path in enumerate((*generator.envs, *((generator.env,) if generator.env else ()))):
        field = f"envs[{number}]" if number < len(generator.envs) else "env"
        for key, value in _variables(_read(read, path, field), field):
            yield field, key, value
    for number, literal in enumerate(generator.literals):
        key, separator, text = literal.partition("=")
        if not key or not separator:
            raise Malformed(f"{literal!r} must be of the form KEY=VALUE", f"literals[{number}]")
        yield f"literals[{number}]", key, _unquoted(text).encode()
    for number, source in enumerate(generator.files):
        field = f"files[{number}]"
        key, separator, path = source.partition("=")
        if "=" in path or (separator and not (key and path)):
            raise Malformed(f"{source!r} must be a path, or KEY=PATH", field)
        path = path if separator else source
        yield field, key if separator else source.rpartition("/")[2], _read(read, path, field)


def _variables(content: bytes, field: str) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        stripped = line.lstrip()
        if not stripped or stripped.startswith(b"#"):
            continue
        name, _, value = stripped.partition(b"=")
        if not _VARIABLE.match(key := name.decode("utf-8", "replace")):
            raise Malformed(f"line {number}: {key!r} cannot be the name of an environment variable", field)
        yield key, value


def _read(read: Read, path: str, field: str) -> bytes:
    try:
        return read(path)
    except Exception as error:
        raise Malformed(str(error), field) from error


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _base64(value: bytes) -> str:
    text = base64.b64encode(value).decode()
    if len(text) < LINE:
        return text
    return "".join(text[start : start + LINE] + "\n" for start in range(0, len(text), LINE))
