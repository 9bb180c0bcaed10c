"""From text to nodes, after CEL's grammar; macros become Comprehensions here.

Syntax errors are worded as ANTLR words them for the common mistakes. Depth and size are bounded.
"""

import re
from typing import Any, NoReturn

from reconciler.model.cel import ast
from reconciler.model.cel.errors import Issue, Refused
from reconciler.model.cel.values import UInt

MOST_DEPTH = 100
_TOKEN = re.compile(
    r"""(?P<space>[\s]+|//[^\n]*)
      | (?P<bytes>[bB][rR]?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<raw>[rR](?:\"\"\".*?\"\"\"|'''.*?'''|"[^"\n]*"|'[^'\n]*'))
      | (?P<string>\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
      | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
      | (?P<uint>0[xX][0-9a-fA-F]+[uU]|\d+[uU])
      | (?P<int>0[xX][0-9a-fA-F]+|\d+)
      | (?P<ident>[A-Za-z_][A-Za-z0-9_]*|`[A-Za-z0-9_.\-/\ ]+`)
      | (?P<op>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)
_EXPECTED = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
_RELATIONS = {"==": "_==_", "!=": "_!=_", "<": "_<_", "<=": "_<=_", ">": "_>_", ">=": "_>=_", "in": "@in"}
_SUMS = {"+": "_+_", "-": "_-_"}
_PRODUCTS = {"*": "_*_", "/": "_/_", "%": "_%_"}
_RESERVED = frozenset(
    "as break const continue else for function if import let loop package namespace return var void while".split()  # noqa: SIM905
)
_ONE_VARIABLE = {"all": 2, "exists": 2, "exists_one": 2, "existsOne": 2, "map": 2, "filter": 2}
_TWO_VARIABLES = frozenset({"all", "exists", "existsOne", "transformList", "transformMap", "transformMapEntry"})
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

Token = tuple[str, str, int]  # kind, text, offset


def parse(source: str) -> ast.Node:
    """Raises Refused."""
    parser = _Parser(source)
    node = parser.expression(0)
    kind, text, at = parser.peek()
    if kind != "end":
        parser.take()
        fault = "extraneous" if parser.peek()[0] == "end" else "mismatched"  # without the one token all would be well
        parser.refuse(at, f"Syntax error: {fault} input '{text}' expecting <EOF>")
    return node


def _tokens(source: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise Refused(source, [Issue(at, f"Syntax error: token recognition error at: '{source[at]}'")])
        kind = str(match.lastgroup)
        if kind != "space":
            found.append((kind, match[0], at))
        at = match.end()
    found.append(("end", "<EOF>", len(source)))
    return found


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = _tokens(source)
        self.next = 0

    def peek(self) -> Token:
        return self.tokens[self.next]

    def take(self) -> Token:
        token = self.tokens[self.next]
        self.next += 1
        return token

    def accept(self, *texts: str) -> Token | None:
        kind, text, _ = self.peek()
        return self.take() if text in texts and kind in ("op", "ident") else None

    def expect(self, text: str) -> Token:
        found = self.accept(text)
        if found is None:
            _, got, at = self.peek()
            if got == "<EOF>":
                self.refuse(at, f"Syntax error: missing '{text}' at '<EOF>'")
            self.refuse(at, f"Syntax error: mismatched input '{got}' expecting '{text}'")
        return found

    def refuse(self, at: int, message: str) -> NoReturn:
        raise Refused(self.source, [Issue(at, message)])

    def expression(self, depth: int) -> ast.Node:
        if depth > MOST_DEPTH:
            self.refuse(self.peek()[2], "expression recursion limit exceeded: 250")
        condition = self.either(depth)
        question = self.accept("?")
        if question is None:
            return condition
        then = self.either(depth + 1)
        self.expect(":")
        return ast.Call(question[2], "_?_:_", None, (condition, then, self.expression(depth + 1)))

    def either(self, depth: int) -> ast.Node:
        node = self.both(depth)
        while operator := self.accept("||"):
            node = ast.Call(operator[2], "_||_", None, (node, self.both(depth)))
        return node

    def both(self, depth: int) -> ast.Node:
        node = self.relation(depth)
        while operator := self.accept("&&"):
            node = ast.Call(operator[2], "_&&_", None, (node, self.relation(depth)))
        return node

    def relation(self, depth: int) -> ast.Node:
        node = self.sum(depth)
        while operator := self.accept(*_RELATIONS):
            node = ast.Call(operator[2], _RELATIONS[operator[1]], None, (node, self.sum(depth)))
        return node

    def sum(self, depth: int) -> ast.Node:
        node = self.product(depth)
        while operator := self.accept(*_SUMS):
            node = ast.Call(operator[2], _SUMS[operator[1]], None, (node, self.product(depth)))
        return node

    def product(self, depth: int) -> ast.Node:
        node = self.unary(depth)
        while operator := self.accept(*_PRODUCTS):
            node = ast.Call(operator[2], _PRODUCTS[operator[1]], None, (node, self.unary(depth)))
        return node

    def unary(self, depth: int) -> ast.Node:
        if operator := self.accept("!"):
            return ast.Call(operator[2], "!_", None, (self._again("!", depth),))
        if operator := self.accept("-"):
            kind, text, _ = self.peek()
            if kind in ("int", "float"):
                self.take()
                return self.postfix(self._number(kind, "-" + text, operator[2]), depth)
            return ast.Call(operator[2], "-_", None, (self._again("-", depth),))
        return self.postfix(self.primary(depth), depth)

    def _again(self, operator: str, depth: int) -> ast.Node:
        return self.unary(depth + 1) if depth < MOST_DEPTH else self.refuse(self.peek()[2], "expression recursion limit exceeded: 250")

    def postfix(self, node: ast.Node, depth: int) -> ast.Node:
        while True:
            if dot := self.accept("."):
                node = self._member(node, dot[2], depth)
            elif bracket := self.accept("["):
                is_optional = self.accept("?") is not None
                index = self.expression(depth + 1)
                self.expect("]")
                node = ast.Call(bracket[2], "_[?_]" if is_optional else "_[_]", None, (node, index))
            else:
                return node

    def _member(self, node: ast.Node, at: int, depth: int) -> ast.Node:
        is_optional = self.accept("?") is not None
        kind, name, name_at = self.take()
        if kind == "end" and isinstance(node, ast.Ident):
            self.refuse(name_at, "Syntax error: no viable alternative at input '.'")
        if kind != "ident":
            self.refuse(name_at, f"Syntax error: mismatched input '{name}' expecting IDENTIFIER")
        name = name.strip("`")
        opened = self.accept("(") if not is_optional else None
        if opened is None:
            return ast.Select(at, node, name, is_optional=is_optional)
        arguments = self._arguments(depth)
        return self._macro(node, name, arguments, opened[2]) or ast.Call(opened[2], name, node, arguments)

    def _arguments(self, depth: int, closing: str = ")") -> tuple[ast.Node, ...]:
        found: list[ast.Node] = []
        if self.accept(closing):
            return ()
        while True:
            found.append(self.expression(depth + 1))
            if self.accept(","):
                continue
            self.expect(closing)
            return tuple(found)

    def _macro(self, target: ast.Node, name: str, arguments: tuple[ast.Node, ...], at: int) -> ast.Node | None:
        if isinstance(target, ast.Ident) and target.name == "cel" and name == "bind" and len(arguments) == 3:
            return ast.Bind(at, self._variable(arguments[0]), arguments[1], arguments[2])
        if name in ("optMap", "optFlatMap") and len(arguments) == 2:
            found = ast.Bind(at, self._variable(arguments[0]), ast.Call(at, "value", target, ()), arguments[1])
            then = found if name == "optFlatMap" else ast.Call(at, "optional.of", None, (found,))
            otherwise = ast.Call(at, "optional.none", None, ())
            return ast.Call(at, "_?_:_", None, (ast.Call(at, "hasValue", target, ()), then, otherwise))
        if name == "map" and len(arguments) == 3:
            return ast.Comprehension(at, "map", target, self._variable(arguments[0]), "", arguments[1], arguments[2])
        if len(arguments) == _ONE_VARIABLE.get(name):
            variable = self._variable(arguments[0])
            macro = "exists_one" if name == "existsOne" else name
            if macro == "map":
                return ast.Comprehension(at, macro, target, variable, "", None, arguments[1])
            return ast.Comprehension(at, macro, target, variable, "", arguments[1], None)
        if name in _TWO_VARIABLES and len(arguments) in (3, 4):
            first, second = self._variable(arguments[0]), self._variable(arguments[1])
            macro = "exists_one" if name == "existsOne" else name
            if not name.startswith("transform"):
                return ast.Comprehension(at, macro, target, first, second, arguments[2], None) if len(arguments) == 3 else None
            test = arguments[2] if len(arguments) == 4 else None
            return ast.Comprehension(at, macro, target, first, second, test, arguments[-1])
        return None

    def _variable(self, node: ast.Node) -> str:
        if not isinstance(node, ast.Ident):
            self.refuse(node.at, "argument must be a simple name")
        return node.name

    def primary(self, depth: int) -> ast.Node:
        kind, text, at = self.take()
        if kind in ("int", "uint", "float"):
            return self._number(kind, text, at)
        if kind in ("string", "raw", "bytes"):
            return ast.Literal(at, _unquoted(kind, text))
        if kind == "ident":
            return self._named(text, at, depth)
        if text == "." and kind == "op" and self.peek()[0] == "ident":
            return self._named(self.take()[1], at, depth)
        if text == "(" and kind == "op":
            node = self.expression(depth + 1)
            self.expect(")")
            return node
        if text == "[" and kind == "op":
            return self._list(at, depth)
        if text == "{" and kind == "op":
            return self._map(at, depth)
        self.refuse(at, f"Syntax error: mismatched input '{text}' expecting {_EXPECTED}")

    def _named(self, name: str, at: int, depth: int) -> ast.Node:
        if name in ("true", "false", "null"):
            return ast.Literal(at, {"true": True, "false": False, "null": None}[name])
        if name in _RESERVED:
            self.refuse(at, f"reserved identifier: {name}")
        if name == "in":
            self.refuse(at, f"Syntax error: mismatched input 'in' expecting {_EXPECTED}")
        if self.accept("("):
            arguments = self._arguments(depth)
            if name == "has" and len(arguments) == 1:
                operand = arguments[0]
                if not isinstance(operand, ast.Select):
                    self.refuse(operand.at, "invalid argument to has() macro")
                return ast.Select(operand.at, operand.operand, operand.field, is_test=True)
            return ast.Call(at + len(name), name, None, arguments)
        return self._struct(name, at, depth)

    def _struct(self, name: str, at: int, depth: int) -> ast.Node:
        """An identifier, or a message built of a dotted name: Object.spec{replicas: 1}."""
        end = self.next
        parts = [name]
        while self.tokens[end][1] == "." and self.tokens[end + 1][0] == "ident":
            parts.append(self.tokens[end + 1][1])
            end += 2
        if self.tokens[end][1] != "{" or self.tokens[end][0] != "op":
            return ast.Ident(at, name)
        opened = self.tokens[end][2]
        self.next = end + 1
        entries: list[tuple[str, ast.Node]] = []
        optional: set[int] = set()
        while not self.accept("}"):
            if self.accept("?"):
                optional.add(len(entries))
            kind, field, field_at = self.take()
            if kind != "ident":
                self.refuse(field_at, f"Syntax error: mismatched input '{field}' expecting {{'}}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}}")
            self.expect(":")
            entries.append((field.strip("`"), self.expression(depth + 1)))
            if not self.accept(","):
                self.expect("}")
                break
        return ast.Struct(opened, ".".join(parts), tuple(entries), frozenset(optional))

    def _list(self, at: int, depth: int) -> ast.Node:
        items: list[ast.Node] = []
        optional: set[int] = set()
        while not self.accept("]"):
            if self.accept("?"):
                optional.add(len(items))
            items.append(self.expression(depth + 1))
            if not self.accept(","):
                self.expect("]")
                break
        return ast.ListOf(at, tuple(items), frozenset(optional))

    def _map(self, at: int, depth: int) -> ast.Node:
        entries: list[tuple[ast.Node, ast.Node]] = []
        optional: set[int] = set()
        while not self.accept("}"):
            if self.accept("?"):
                optional.add(len(entries))
            key = self.expression(depth + 1)
            self.expect(":")
            entries.append((key, self.expression(depth + 1)))
            if not self.accept(","):
                self.expect("}")
                break
        return ast.MapOf(at, tuple(entries), frozenset(optional))

    def _number(self, kind: str, text: str, at: int) -> ast.Node:
        if kind == "float":
            return ast.Literal(at, float(text))
        digits = text.rstrip("uU") if kind == "uint" else text
        value = int(digits, 16 if "x" in digits.lower() else 10)
        if kind == "uint":
            return ast.Literal(at, UInt(value)) if value < 2**64 else self.refuse(at, "invalid uint literal")
        return ast.Literal(at, value) if -(2**63) <= value < 2**63 else self.refuse(at, "invalid int literal")


def _unquoted(kind: str, text: str) -> Any:
    if kind == "bytes":
        body = text[1:]
        return bytes_of(_unquoted("raw" if body[:1] in "rR" else "string", body))
    if kind == "raw":
        text = text[1:]
    inner = text[3:-3] if text[:3] in ('"""', "'''") else text[1:-1]
    return inner if kind == "raw" else re.sub(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", _escape, inner)


def bytes_of(text: str) -> bytes:
    return text.encode()


def _escape(found: re.Match[str]) -> str:
    body = found[1]
    if body[0] in "xuU" and len(body) > 1:
        return chr(int(body[1:], 16))
    if len(body) == 3:
        return chr(int(body, 8))
    return _ESCAPES.get(body, body)
