"""What an expression is made of. `at` is where an error in a node is shown: the offset of its operator."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    at: int


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Node):
    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class Ident(Node):
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Select(Node):
    """`operand.field`; with `is_test`, has(operand.field); with `is_optional`, operand.?field."""

    operand: Node
    field: str
    is_test: bool = False
    is_optional: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Call(Node):
    """A function or an operator ("_+_"); `target` is None for global functions."""

    function: str
    target: Node | None
    arguments: tuple[Node, ...]

    @property
    def all_arguments(self) -> tuple[Node, ...]:
        return self.arguments if self.target is None else (self.target, *self.arguments)


@dataclass(frozen=True, slots=True, eq=False)
class ListOf(Node):
    items: tuple[Node, ...]
    optional: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class MapOf(Node):
    entries: tuple[tuple[Node, Node], ...]
    optional: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Struct(Node):
    """`Name{field: value}`."""

    name: str
    entries: tuple[tuple[str, Node], ...]
    optional: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Comprehension(Node):
    """A macro over a list or map: all, exists, existsOne, map, filter, and those of two variables.

    `second` is the value's variable of the macros with two. `test` is the predicate or filter, `make` what map makes.
    """

    macro: str
    range: Node
    variable: str
    second: str
    test: Node | None
    make: Node | None


@dataclass(frozen=True, slots=True, eq=False)
class Bind(Node):
    """cel.bind(variable, value, body)."""

    variable: str
    value: Node
    body: Node
