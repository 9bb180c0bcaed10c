"""The values that Kubernetes' string types know, read into enums.json.

Run by hand when the Kubernetes minor changes, as shapes.py is; the published definitions leave enums out:

    python -m reconciler.kinds.schema.enums CHECKOUTS TAG

A type that is marked +enum has a value for each constant of that type. The result has, per definition and field, the
values, without what Kubernetes' sources say of each. They are shown to people (`kubectl explain`) and never used to
refuse anything.
"""

import json
import re
import sys
from pathlib import Path

from reconciler.kinds.schema import shapes

TYPE = re.compile(r"^((?://.*\n)+)type (\w+) string$", re.MULTILINE)
CONSTANT = re.compile(r'^[ \t]*(?:const )?\w+\s+(\w+)\s*=\s*"(.*)"', re.MULTILINE)


def values_of(source: str) -> dict[str, list[str]]:
    """The enums of one Go file: type to its values."""
    found: dict[str, set[str]] = {
        name: set() for comment, name in TYPE.findall(source) if re.search(r"^// ?\+enum$", comment, re.MULTILINE)
    }
    for name, value in CONSTANT.findall(source):
        if name in found:
            found[name].add(value)
    return {name: sorted(values) for name, values in found.items()}


def element(go_type: str) -> str:
    """What a slice or map holds, or the type itself."""
    return re.sub(r"^(\[\]|map\[[^\]]*\])\*?", "", go_type)


def main(checkouts: str, tag: str) -> None:
    enums: dict[str, list[str]] = {}
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
