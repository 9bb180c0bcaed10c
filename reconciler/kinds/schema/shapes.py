"""What the Go structs say beyond the OpenAPI definitions, read from Kubernetes' sources into shapes.json.

Run by hand when the Kubernetes minor changes; the result is committed, for the definitions cannot tell it:

    python reconciler/kinds/schema/shapes.py CHECKOUTS TAG

CHECKOUTS holds git clones of kubernetes/{api,apimachinery,apiextensions-apiserver,kube-aggregator}. Per definition and
field the result has one text: Go name and protobuf field number, presence, Go type, and for a field of an embedded
struct that struct's (`ConfigMap:19 * ConfigMapVolumeSource VolumeSource:2`). Fields are in the order of the source.
Presence is what encoding/json does:

    =  always written, with its zero value when unset
    -  left out when it is the zero value
    *  a pointer: left out when unset, kept when zero
    ~  a pointer: null when unset, kept when zero
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
GROUPS = (
    "core/v1 apps/v1 batch/v1 autoscaling/v1 autoscaling/v2 networking/v1 policy/v1 rbac/v1 storage/v1 scheduling/v1 node/v1 "
    "discovery/v1 coordination/v1 events/v1 certificates/v1 admissionregistration/v1 flowcontrol/v1 resource/v1 "
    "authentication/v1 authorization/v1"
)
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
SOURCES = [
    *(("api", f"{group}/types.go", f"io.k8s.api.{group.replace('/', '.')}.") for group in GROUPS.split()),
    ("apimachinery", "pkg/apis/meta/v1/types.go", META),
    ("apiextensions-apiserver", "pkg/apis/apiextensions/v1/types.go", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."),
    (
        "apiextensions-apiserver",
        "pkg/apis/apiextensions/v1/types_jsonschema.go",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.",
    ),
    ("kube-aggregator", "pkg/apis/apiregistration/v1/types.go", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1."),
]
PACKAGES = {"v1": "io.k8s.api.core.v1.", "apiv1": "io.k8s.api.core.v1.", "corev1": "io.k8s.api.core.v1.", "metav1": META}
STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
FIELD = re.compile(r"^(?:(\w+)\s+)?([\w.*\[\]]+)\s+`(.*)`$")
FOREIGN_STRUCTS = ("Time", "MicroTime", "Duration", "Quantity", "IntOrString", "RawExtension")

# name, Go name, Go type, options of the json tag, protobuf number; the name is "" for an embedded struct
Field = tuple[str, str, str, tuple[str, ...], int]


def read(checkouts: Path, tag: str) -> dict[str, list[Field]]:
    """Every struct by its definition name."""
    structs: dict[str, list[Field]] = {}
    for repository, path, prefix in SOURCES:
        text = re.sub(r"/\*.*?\*/", "", re.sub(r"//.*", "", source(checkouts / repository, path, tag)), flags=re.DOTALL)
        for struct in STRUCT.finditer(text):
            lines = map(str.strip, struct[2].splitlines())
            structs[prefix + struct[1]] = [parsed(match) for line in lines if (match := FIELD.match(line))]
    return structs


def source(checkout: Path, path: str, tag: str) -> str:
    return subprocess.run(["git", "-C", str(checkout), "show", f"{tag}:{path}"], check=True, capture_output=True, text=True).stdout


def parsed(match: re.Match[str]) -> Field:
    tag = re.search(r'json:"([^"]*)"', match[3])
    name, *options = tag[1].split(",") if tag else [match[1] or ""]
    number = re.search(r'protobuf:"\w+,(\d+)', match[3])
    return name, match[1] or match[2].rpartition(".")[2], match[2], tuple(options), int(number[1]) if number else 0


def fields(structs: dict[str, list[Field]], definition: str, via: str = "") -> Iterator[tuple[str, str]]:
    """(field, its text) of one struct, embedded structs included."""
    for name, go_name, go_type, options, number in structs.get(definition, ()):
        if name:
            known = presence(structs, definition, go_type, options)
            yield name, " ".join(filter(None, [f"{go_name}:{number}", known, go_type.lstrip("*"), via]))
        elif not go_type.endswith("TypeMeta"):
            embedded = resolved(definition, go_type)
            yield from fields(structs, embedded, f"{via} {embedded.rsplit('.', 1)[1]}:{number}".strip())


def presence(structs: dict[str, list[Field]], definition: str, go_type: str, options: tuple[str, ...]) -> str:
    if go_type.startswith("*"):
        return "*" if "omitempty" in options or "omitzero" in options else "~"
    plain = not go_type.startswith(("[]", "map["))
    is_struct = plain and (go_type.rsplit(".", 1)[-1] in FOREIGN_STRUCTS or resolved(definition, go_type) in structs)
    return "-" if "omitzero" in options or ("omitempty" in options and not is_struct) else "="


def resolved(definition: str, go_type: str) -> str:
    """The definition name of a Go type as it is written inside the package of `definition`."""
    package, _, short = go_type.rpartition(".")
    return (PACKAGES.get(package, package) if package else definition.rsplit(".", 1)[0] + ".") + short


def main(checkouts: str, tag: str) -> None:
    definitions = json.loads((HERE / "definitions.json").read_text())
    structs = read(Path(checkouts), tag)
    texts = {definition: dict(fields(structs, definition)) for definition in sorted(definitions)}
    lines = [f"{json.dumps(definition)}: {json.dumps(found)}" for definition, found in texts.items() if found]
    (HERE / "shapes.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
