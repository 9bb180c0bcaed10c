"""Types: every node gets one, or a complaint in cel-go's words.

`Checked.types` maps nodes to their types; the cost estimate and the callers' demands ("must evaluate to bool") read it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model import regexp
from reconciler.model.cel import ast, types
from reconciler.model.cel.errors import Issue, Refused
from reconciler.model.cel.library import Function, Overload
from reconciler.model.cel.types import Bindings, Type, fits, shown
from reconciler.model.cel.values import type_of

TYPE_NAMES: Mapping[str, Type] = {
    one.name: one
    for one in (types.BOOL, types.INT, types.UINT, types.DOUBLE, types.STRING, types.BYTES, types.NULL, types.TIMESTAMP, types.DURATION)
} | {"list": types.list_of(types.DYN), "map": types.map_of(types.DYN, types.DYN), "type": types.TYPE}


@dataclass(frozen=True, slots=True)
class Environment:
    """What an expression may name. `messages` are the types that struct literals build."""

    variables: Mapping[str, Type]
    functions: Mapping[str, Function]
    messages: Mapping[str, Type] = field(default_factory=dict)

    def function(self, node: ast.Call) -> tuple[str, tuple[ast.Node, ...]] | None:
        """A called function's name and its arguments: `sets.contains(a, b)` has no target."""
        if node.target is not None and (name := self.qualified(node)) is not None:
            return name, node.arguments
        return (node.function, node.all_arguments) if node.function in self.functions else None

    def qualified(self, node: ast.Call) -> str | None:
        """The dotted name of a global function in a namespace."""
        if isinstance(node.target, ast.Ident) and node.target.name not in self.variables:
            name = f"{node.target.name}.{node.function}"
            return name if name in self.functions else None
        return None


@dataclass(frozen=True, slots=True)
class Checked:
    root: ast.Node
    result: Type
    types: Mapping[ast.Node, Type]
    names: frozenset[str]  # variables that it uses


def check(source: str, root: ast.Node, environment: Environment) -> Checked:
    """Raises Refused."""
    checker = _Checker(environment)
    result = checker.of(root, environment.variables)
    if checker.issues:
        raise Refused(source, checker.issues)
    return Checked(root, result, checker.types, frozenset(checker.names))


class _Checker:
    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.issues: list[Issue] = []
        self.types: dict[ast.Node, Type] = {}
        self.names: set[str] = set()

    def of(self, node: ast.Node, scope: Mapping[str, Type]) -> Type:
        found = self._of(node, scope)
        self.types[node] = found
        return found

    def _of(self, node: ast.Node, scope: Mapping[str, Type]) -> Type:
        match node:
            case ast.Literal():
                return type_of(node.value)
            case ast.Ident():
                return self._ident(node, scope)
            case ast.Select():
                return self._select(node, scope)
            case ast.Call():
                return self._call(node, scope)
            case ast.ListOf():
                items = [self._unwrapped(self.of(item, scope), index in node.optional) for index, item in enumerate(node.items)]
                return types.list_of(types.joined(items), len(items))
            case ast.MapOf():
                keys = [self.of(key, scope) for key, _ in node.entries]
                values = [self._unwrapped(self.of(value, scope), index in node.optional) for index, (_, value) in enumerate(node.entries)]
                return types.map_of(types.joined(keys), types.joined(values), len(keys))
            case ast.Struct():
                return self._struct(node, scope)
            case ast.Comprehension():
                return self._comprehension(node, scope)
            case ast.Bind():
                bound = self.of(node.value, scope)
                return self.of(node.body, {**scope, node.variable: bound})
        raise TypeError(node)

    def _issue(self, at: int, message: str) -> Type:
        self.issues.append(Issue(at, message))
        return types.ERROR

    def _unwrapped(self, type: Type, is_optional: bool) -> Type:
        return type.parameters[0] if is_optional and type.name == "optional_type" else type

    def _ident(self, node: ast.Ident, scope: Mapping[str, Type]) -> Type:
        if node.name in scope:
            self.names.add(node.name)
            return scope[node.name]
        if node.name in TYPE_NAMES:
            return types.type_of_type(TYPE_NAMES[node.name])
        return self._issue(node.at, f"undeclared reference to '{node.name}' (in container '')")

    def _select(self, node: ast.Select, scope: Mapping[str, Type]) -> Type:
        operand = self.of(node.operand, scope)
        is_optional = node.is_optional or operand.name == "optional_type"
        inner = operand.parameters[0] if operand.name == "optional_type" else operand
        found = self._field(node, inner)
        if node.is_test:
            return types.BOOL
        return types.optional_of(found) if is_optional and found.name != "optional_type" and found.name != "error" else found

    def _field(self, node: ast.Select, operand: Type) -> Type:
        if operand.is_dyn:
            return types.DYN
        if operand.name == "map":
            return operand.parameters[1]
        if operand.fields is not None:
            if node.field in operand.fields:
                return operand.fields[node.field]
            return self._issue(node.at, f"undefined field '{node.field}'")
        return self._issue(node.at, f"type '{shown(operand)}' does not support field selection")

    def _call(self, node: ast.Call, scope: Mapping[str, Type]) -> Type:
        if node.function == "_?_:_" and node.target is None:
            return self._conditional(node, scope)
        if node.function in ("_&&_", "_||_"):
            given = [self.of(one, scope) for one in node.arguments]
            if all(fits(types.BOOL, one, Bindings()) for one in given):
                return types.BOOL
            return self._mismatch(node, given)
        found = self.environment.function(node)
        if found is None:
            for one in node.all_arguments:
                self.of(one, scope)
            return self._issue(node.at, f"undeclared reference to '{node.function}' (in container '')")
        name, arguments = found
        if node.target is not None and arguments is node.arguments:
            self.types[node.target] = types.DYN  # a namespace such as `sets`
        given = [self.of(one, scope) for one in arguments]
        if node.function in ("optMap", "optFlatMap"):
            return types.DYN
        result = self._resolve(self.environment.functions[name].overloads, arguments is not node.arguments, given)
        if result is None:
            return self._mismatch(node, given)
        self._literals(name, arguments)
        return result

    def _conditional(self, node: ast.Call, scope: Mapping[str, Type]) -> Type:
        condition, then, other = (self.of(one, scope) for one in node.arguments)
        if not fits(types.BOOL, condition, Bindings()) or not (fits(then, other, Bindings()) or fits(other, then, Bindings())):
            return self._mismatch(node, [condition, then, other])
        return other if then.is_dyn or then.name == "null_type" or any(one.is_dyn for one in then.parameters) else then

    def _resolve(self, overloads: tuple[Overload, ...], is_member: bool, given: list[Type]) -> Type | None:
        """The result of every overload that fits; dyn where they differ."""
        results: list[Type] = []
        for overload in overloads:
            if overload.is_member != is_member or len(overload.arguments) != len(given):
                continue
            bindings = Bindings()
            if all(fits(wanted, one, bindings) for wanted, one in zip(overload.arguments, given, strict=True)):
                results.append(bindings.resolved(overload.result))
        if not results:
            return None
        return results[0] if all(one.name == results[0].name for one in results) else types.DYN

    def _mismatch(self, node: ast.Call, given: list[Type]) -> Type:
        if any(one.name == "error" for one in given):
            return types.ERROR
        texts = [shown(one) for one in given]
        is_member = node.target is not None and self.environment.qualified(node) is None
        applied = f"{texts[0]}.({', '.join(texts[1:])})" if is_member else f"({', '.join(texts)})"
        name = node.function if node.target is None or is_member else self.environment.qualified(node)
        return self._issue(node.at, f"found no matching overload for '{name}' applied to '{applied}'")

    def _literals(self, name: str, arguments: tuple[ast.Node, ...]) -> None:
        """Literal patterns, times and durations are checked before anything runs."""
        last = arguments[-1] if arguments else None
        if name in ("matches", "find", "findAll") and isinstance(last, ast.Literal) and isinstance(last.value, str):
            try:
                regexp.compile(last.value)
            except regexp.Invalid:
                self._issue(last.at, f"invalid {name} argument")

    def _struct(self, node: ast.Struct, scope: Mapping[str, Type]) -> Type:
        wanted = self.environment.messages.get(node.name.partition(".")[0])  # Object.spec is built like Object
        given = [(name, value, self.of(value, scope)) for name, value in node.entries]
        if wanted is None:
            return self._issue(node.at, f"undeclared reference to '{node.name}' (in container '')")
        for index, (name, value, type) in enumerate(given):
            type = self._unwrapped(type, index in node.optional)
            expected = (wanted.fields or {}).get(name)
            if wanted.fields is not None and not wanted.is_dyn and expected is None and wanted.fields:
                self._issue(value.at, f"undefined field '{name}'")
            elif expected is not None and not fits(expected, type, Bindings()):
                self._issue(value.at, f"expected type of field '{name}' is '{shown(expected)}' but provided type is '{shown(type)}'")
        return Type(wanted.name, fields=wanted.fields)

    def _comprehension(self, node: ast.Comprehension, scope: Mapping[str, Type]) -> Type:
        over = self.of(node.range, scope)
        item = types.entry(over)
        if item is None:
            if over.name != "error":
                self._issue(
                    node.range.at, f"expression of type '{shown(over)}' cannot be range of a comprehension (must be list, map, or dynamic)"
                )
            item = types.DYN
        inside = {**scope, node.variable: item}
        if node.second:
            inside[node.variable] = types.INT if over.name == "list" else item
            inside[node.second] = over.parameters[-1] if over.parameters else types.DYN
        test = self.of(node.test, inside) if node.test is not None else types.BOOL
        if not fits(types.BOOL, test, Bindings()) and test.name != "error":
            assert node.test is not None
            self._issue(node.test.at, f"expected type 'bool' but found '{shown(test)}'")
        made = self.of(node.make, inside) if node.make is not None else item
        return _result(node.macro, over, item, made)


def _result(macro: str, over: Type, item: Type, made: Type) -> Type:
    if macro in ("all", "exists", "exists_one"):
        return types.BOOL
    if macro in ("transformMap", "transformMapEntry"):
        return types.map_of(over.parameters[0] if over.name == "map" else types.INT, made, over.size)
    if macro == "filter":
        return types.list_of(item, over.size)
    return types.list_of(made, over.size)
