"""Values as go-spew prints Go's structs, with their types and all their fields: the text of which Kubernetes hashes templates.

`Dumper(schemas).text(definition, value)` is k8s.io/utils/dump.ForHash of what a controller of Kubernetes holds after it
decoded `value`, which is in canonical form (model/decode.py): absent pointers and absent or empty lists and maps are
nil, everything else that is absent has its zero value. Names, types and order of fields come from the shapes
(kinds/schema/shapes.py); written here are only the structs that are a text or a number in JSON. There is one writer per
definition, made on first use. Unions, and structs embedded in embedded ones, are unknown here: no pod template has any.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from reconciler.model import decode, govalue, quantity
from reconciler.model.schema import Node, Schemas

Writer = Callable[[Any], str]  # of a value that is set, without its type

NIL = "<nil>"
YEAR_1 = datetime(1, 1, 1, tzinfo=UTC)  # where Go's time begins
UNSET_TIME = "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"
# time.Local of a process that knows no zone but UTC, as Kubernetes' images have it
LOCATION = (
    "{name:(string)UTC zone:([]time.zone)<nil> tx:([]time.zoneTrans)<nil> extend:(string) "
    "cacheStart:(int64)0 cacheEnd:(int64)0 cacheZone:(*time.zone)<nil>}"
)


class Part(NamedTuple):
    """A field of a struct: what precedes its value, and what stands there instead when it is unset."""

    name: str
    head: str
    unset: str
    write: Writer


class Dumper:
    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._structs: dict[str, Writer] = {}

    def text(self, definition: str, value: Mapping[str, Any]) -> str:
        """Raises KeyError for an unknown definition."""
        package, short = definition.split(".")[-2:]
        return f"({package}.{short}){self._struct(self._schemas.of(definition))(value)}"

    def _struct(self, node: Node) -> Writer:
        writer = self._structs.get(node.name)
        if writer is None:
            writer = self._structs[node.name] = _struct_of(tuple(self._parts(node)))
        return writer

    def _parts(self, node: Node) -> Iterator[Part]:
        """The fields of a struct; those of an embedded struct stand within its braces."""
        package, opening, inside = node.name.split(".")[-2], "{", ""
        for name, shape in node.shape.items():
            numbered, presence, go_type, *embedded = shape.split(" ")
            outer = embedded[0].partition(":")[0] if embedded else ""
            if outer != inside:
                opening = ("} " if inside else opening) + (f"{outer}:({package}.{outer}){{" if outer else "")
                inside = outer
            child = node.field(name)
            assert child is not None
            is_pointer = presence in "*~"
            head = f"{opening}{numbered.partition(':')[0]}:({'*' * is_pointer}{decode.qualified(go_type, package)})"
            yield Part(name, head, head + (NIL if is_pointer else self._zero(child)), self._writer(child))
            opening = " "
        yield Part("", "", "}}" if inside else "}", str)

    def _writer(self, node: Node) -> Writer:
        if leaf := LEAVES.get(node.format):
            return leaf.write
        if node.preserves_unknown:
            return _raw
        if node.type == "array":
            item = self._writer(node.item)
            return lambda value: f"[{' '.join(map(item, value))}]" if value else NIL
        if node.is_map and node.values is not None:
            each = self._writer(node.values)
            return lambda value: f"map[{' '.join([f'{key}:{each(value[key])}' for key in sorted(value)])}]" if value else NIL
        if node.type == "object":
            return lambda value: self._struct(node)(value)  # made late, for structs refer to each other in circles
        return _boolean if node.type == "boolean" else str

    def _zero(self, node: Node) -> str:
        """What a field holds that is unset and no pointer."""
        if leaf := LEAVES.get(node.format):
            return leaf.zero
        if node.type == "object" and not node.is_map:
            return self._struct(node)({})
        return {"string": "", "boolean": "false", "integer": "0"}.get(node.type, NIL)


def _struct_of(parts: tuple[Part, ...]) -> Writer:
    def write(value: Mapping[str, Any]) -> str:
        texts = []
        for name, head, unset, writer in parts:
            found = value.get(name)
            texts.append(unset if found is None else head + writer(found))
        return "".join(texts)

    return write


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _raw(value: Any) -> str:
    """metav1.FieldsV1: the bytes of its JSON."""
    return f"{{Raw:([]uint8)[{' '.join(map(str, govalue.marshal(value).encode()))}]}}"


def _int_or_string(value: int | str) -> str:
    kind, number, text = (1, 0, value) if isinstance(value, str) else (0, value, "")
    return f"{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){text}}}"


def _time(value: str) -> str:
    seconds = int((datetime.fromisoformat(value) - YEAR_1).total_seconds())
    return f"{{Time:(time.Time){{wall:(uint64)0 ext:(int64){seconds} loc:(*time.Location){LOCATION}}}}}" if seconds else UNSET_TIME


def _quantity(value: str) -> str:
    amount = quantity.held(value)
    number = f"i:(resource.int64Amount){{value:(int64){amount.value} scale:(resource.Scale){amount.scale}}}"
    decimal = NIL if amount.billionths is None else _decimal(amount.billionths)
    return (
        f"{{{number} d:(resource.infDecAmount){{Dec:(*inf.Dec){decimal}}} s:(string){amount.text} Format:(resource.Format){amount.format}}}"
    )


def _decimal(billionths: int) -> str:
    """inf.Dec; its big.Int is a sign and words of 64 bits, the lowest first."""
    magnitude, words = abs(billionths), []
    while magnitude:
        words.append(str(magnitude & (2**64 - 1)))
        magnitude >>= 64
    return f"{{unscaled:(big.Int){{neg:(bool){_boolean(billionths < 0)} abs:(big.nat)[{' '.join(words)}]}} scale:(inf.Scale)9}}"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A struct of Go that is no object in JSON."""

    write: Writer
    zero: str


LEAVES = {
    "quantity": Leaf(_quantity, _quantity("0")),
    "int-or-string": Leaf(_int_or_string, _int_or_string(0)),
    "date-time": Leaf(_time, UNSET_TIME),
}
