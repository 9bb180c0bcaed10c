"""From a checked expression to closures: `build` gives a function from variables to a value, which raises Failed.

&& and || absorb errors of one side when the other decides. Every turn of a loop is counted against a budget, so that
no expression runs for long.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reconciler.model.cel import ast
from reconciler.model.cel.check import TYPE_NAMES, Environment
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.values import NONE, Message, Optional

Variables = dict[str, Any]
Run = Callable[[Variables], Any]

BUDGET = "#budget"  # among the variables: a list of the turns that loops have left
OUT_OF_BUDGET = "operation cancelled: actual cost limit exceeded"
TURNS_MOST = 1_000_000
_LAZY = frozenset({"_?_:_", "_&&_", "_||_"})


def build(node: ast.Node, environment: Environment) -> Run:
    match node:
        case ast.Literal():
            value = node.value
            return lambda _: value
        case ast.Ident():
            return _ident(node.name, environment)
        case ast.Select():
            return _select(node, environment)
        case ast.Call():
            return _call(node, environment)
        case ast.ListOf():
            return _list(node, environment)
        case ast.MapOf():
            return _map(node, environment)
        case ast.Struct():
            return _struct(node, environment)
        case ast.Comprehension():
            return _comprehension(node, environment)
        case ast.Bind():
            value_of, body, variable = build(node.value, environment), build(node.body, environment), node.variable
            return lambda variables: body({**variables, variable: value_of(variables)})
    raise TypeError(node)


def _ident(name: str, environment: Environment) -> Run:
    if name not in environment.variables and name in TYPE_NAMES:
        type = TYPE_NAMES[name]
        return lambda variables: variables.get(name, type)

    def ident(variables: Variables) -> Any:
        value = variables[name]
        return value() if callable(value) else value

    return ident


def _select(node: ast.Select, environment: Environment) -> Run:
    operand, field, is_test, is_optional = build(node.operand, environment), node.field, node.is_test, node.is_optional

    def select(variables: Variables) -> Any:
        value = operand(variables)
        wrapped = is_optional or isinstance(value, Optional)
        if isinstance(value, Optional):
            if not value.is_there:
                return False if is_test else NONE
            value = value.value
        if not isinstance(value, Mapping):
            raise Failed("no such overload")
        if is_test:
            return field in value
        if field in value:
            found = value[field]
            found = found() if callable(found) else found
            return Optional(found, True) if wrapped else found
        if wrapped:
            return NONE
        raise Failed(f"no such key: {field}")

    return select


def _call(node: ast.Call, environment: Environment) -> Run:
    if node.function in _LAZY and node.target is None:
        return _lazy(node.function, [build(one, environment) for one in node.arguments])
    found = environment.function(node)
    assert found is not None
    name, arguments = found
    run = environment.functions[name].run
    built = [build(one, environment) for one in arguments]
    if len(built) == 1:
        only = built[0]
        return lambda variables: run(only(variables))
    if len(built) == 2:
        left, right = built
        return lambda variables: run(left(variables), right(variables))
    return lambda variables: run(*[one(variables) for one in built])


def _lazy(operator: str, parts: list[Run]) -> Run:
    if operator == "_?_:_":
        condition, then, other = parts
        return lambda variables: then(variables) if _boolean(condition(variables)) else other(variables)
    left, right = parts
    decisive = operator == "_||_"

    def logical(variables: Variables) -> bool:
        try:
            if _boolean(left(variables)) is decisive:
                return decisive
        except Failed as failure:
            if _boolean_or_none(right, variables) is decisive:
                return decisive
            raise failure from None
        return _boolean(right(variables))

    return logical


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Failed("no such overload")
    return value


def _boolean_or_none(run: Run, variables: Variables) -> bool | None:
    try:
        return _boolean(run(variables))
    except Failed:
        return None


def _list(node: ast.ListOf, environment: Environment) -> Run:
    items, optional = [build(item, environment) for item in node.items], node.optional

    def made(variables: Variables) -> list[Any]:
        values = [item(variables) for item in items]
        if not optional:
            return values
        kept = [(value, index in optional) for index, value in enumerate(values)]
        return [value.value if wrapped else value for value, wrapped in kept if not wrapped or value.is_there]

    return made


def _map(node: ast.MapOf, environment: Environment) -> Run:
    entries, optional = [(build(key, environment), build(value, environment)) for key, value in node.entries], node.optional

    def made(variables: Variables) -> dict[Any, Any]:
        return dict(_present(((key(variables), value(variables)) for key, value in entries), optional))

    return made


def _struct(node: ast.Struct, environment: Environment) -> Run:
    entries, optional, name = [(field, build(value, environment)) for field, value in node.entries], node.optional, node.name

    def made(variables: Variables) -> Message:
        return Message(name, dict(_present(((field, value(variables)) for field, value in entries), optional)))

    return made


def _present(entries: Iterable[tuple[Any, Any]], optional: frozenset[int]) -> Iterable[tuple[Any, Any]]:
    for index, (key, value) in enumerate(entries):
        if index not in optional:
            yield key, value
        elif value.is_there:
            yield key, value.value


def _comprehension(node: ast.Comprehension, environment: Environment) -> Run:
    inner = Environment(
        {**environment.variables, node.variable: None, node.second: None},  # type: ignore[dict-item]
        environment.functions,
        environment.messages,
    )
    over = build(node.range, environment)
    test = build(node.test, inner) if node.test is not None else None
    make = build(node.make, inner) if node.make is not None else None
    first, second = node.variable, node.second

    def turns(variables: Variables) -> Iterable[Variables]:
        value = over(variables)
        if not isinstance(value, list | dict):
            raise Failed("no such overload")
        budget: list[int] = variables[BUDGET]
        inside = dict(variables)
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            budget[0] -= 1
            if budget[0] < 0:
                raise Failed(OUT_OF_BUDGET)
            inside[first] = key if second or isinstance(value, dict) else item
            if second:
                inside[second] = item
            yield inside

    if node.macro in ("all", "exists", "exists_one"):
        assert test is not None
        return _quantified(node.macro, turns, test)
    return _collected(node.macro, first, turns, test, make)


def _quantified(macro: str, turns: Callable[[Variables], Iterable[Variables]], test: Run) -> Run:
    if macro == "exists_one":
        return lambda variables: sum(_boolean(test(inside)) for inside in turns(variables)) == 1
    decisive = macro == "exists"

    def quantified(variables: Variables) -> bool:
        failure: Failed | None = None
        for inside in turns(variables):
            try:
                if _boolean(test(inside)) is decisive:
                    return decisive
            except Failed as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return not decisive

    return quantified


def _collected(macro: str, first: str, turns: Callable[[Variables], Iterable[Variables]], test: Run | None, make: Run | None) -> Run:
    def kept(variables: Variables) -> Iterable[Variables]:
        return (inside for inside in turns(variables) if test is None or _boolean(test(inside)))

    if macro == "filter":
        return lambda variables: [inside[first] for inside in kept(variables)]
    assert make is not None
    if macro == "transformMap":
        return lambda variables: {inside[first]: make(inside) for inside in kept(variables)}
    if macro == "transformMapEntry":
        return lambda variables: {key: value for inside in kept(variables) for key, value in make(inside).items()}
    return lambda variables: [make(inside) for inside in kept(variables)]
