"""The values that Kubernetes' string types know, with what its sources say of them, read into enums.json.

Run by hand when the Kubernetes minor changes, as shapes.py is; the published definitions leave enums out:

    python -m reconciler.kinds.schema.enums CHECKOUTS TAG

A type that is marked +enum has a value for each constant of that type. The result has, per definition and field, the
values with their descriptions. They are shown to people (`kubectl explain`) and never used to refuse anything.
"""

import json
import re
import sys
from pathlib import Path

from reconciler.kinds.schema import shapes

TYPE = re.compile(r"^((?://.*\n)+)type (\w+) string$", re.MULTILINE)
CONSTANT = re.compile(r'^((?:[ \t]*//.*\n)*)[ \t]*(?:const )?(\w+)\s+(\w+)\s*=\s*"(.*)"', re.MULTILINE)

Values = dict[str, str]  # value to what it means


def values_of(source: str) -> dict[str, Values]:
    """The enums of one Go file: type to its values."""
    found: dict[str, Values] = {name: {} for comment, name in TYPE.findall(source) if re.search(r"^// ?\+enum$", comment, re.MULTILINE)}
    for comment, constant, name, value in CONSTANT.findall(source):
        if name in found:
            found[name].setdefault(value, described(comment, constant))
    return {name: dict(sorted(values.items())) for name, values in found.items()}


def described(comment: str, constant: str) -> str:
    """A comment as one line, without the constant's name that it begins with."""
    text = " ".join(line.strip().removeprefix("//").strip() for line in comment.splitlines())
    return " ".join(text.removeprefix(constant).split())


def element(go_type: str) -> str:
    """What a slice or map holds, or the type itself."""
    return re.sub(r"^(\[\]|map\[[^\]]*\])\*?", "", go_type)


def main(checkouts: str, tag: str) -> None:
    enums: dict[str, Values] = {}
    for repository, path, prefix in shapes.SOURCES:
        source = shapes.source(Path(checkouts, repository), path, tag)
        enums |= {prefix + name: values for name, values in values_of(source).items()}
    lines = []
    for definition, fields in json.loads((shapes.HERE / "shapes.json").read_text()).items():
        types = {field: shapes.resolved(definition, element(text.split(" ")[2])) for field, text in fields.items()}
        known = {field: enums[name] for field, name in types.items() if enums.get(name)}
        if known:
            lines.append(f"{json.dumps(definition)}: {json.dumps(known)}")
    (shapes.HERE / "enums.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
