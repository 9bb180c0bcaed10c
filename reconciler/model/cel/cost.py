"""What an expression costs at most, before it ever runs: the estimate that definitions are held to.

After cel-go's checker cost with Kubernetes' sizes: reading a name or field is 1, a call 1 and what its arguments cost,
scanning a string a tenth of its length, a loop its body times the most elements that its range can have.
"""

from collections.abc import Mapping

from reconciler.model.cel import ast
from reconciler.model.cel.check import Checked
from reconciler.model.cel.types import Type

MOST = 2**64 - 1
STRING_FACTOR = 0.1
LIST_BASE, MAP_BASE, STRUCT_BASE = 10, 30, 40
_SCANS = frozenset(
    {
        "contains", "startsWith", "endsWith", "indexOf", "lastIndexOf", "lowerAscii", "upperAscii", "replace", "split",
        "substring", "trim", "join", "find", "findAll", "url", "isURL", "quantity", "isQuantity", "ip", "isIP", "cidr",
        "isCIDR", "sum", "min", "max", "isSorted", "bytes", "string", "reverse", "semver", "isSemver", "validate", "format",
        "strings.quote",
    }
)  # fmt: skip


def most(checked: Checked) -> int:
    """The most an evaluation can cost."""
    return _Estimate(checked.types).of(checked.root, {})


class _Estimate:
    def __init__(self, types: Mapping[ast.Node, Type]) -> None:
        self.types = types

    def size(self, node: ast.Node, sizes: Mapping[str, int]) -> int:
        """The most elements or characters of a node's value."""
        if isinstance(node, ast.Literal):
            return len(node.value) if isinstance(node.value, str | bytes) else 1
        if isinstance(node, ast.Ident) and node.name in sizes:
            return sizes[node.name]
        if isinstance(node, ast.Call) and node.function == "_+_":
            return min(MOST, sum(self.size(one, sizes) for one in node.arguments))
        if isinstance(node, ast.Comprehension):
            return self.size(node.range, sizes)
        found = self.types[node].size
        return 1 if found is None else found

    def of(self, node: ast.Node, sizes: Mapping[str, int]) -> int:
        match node:
            case ast.Ident():
                return 1
            case ast.Select():
                return min(MOST, self.of(node.operand, sizes) + 1)
            case ast.Call():
                return min(MOST, self._call(node, sizes))
            case ast.ListOf():
                return LIST_BASE + sum(self.of(item, sizes) for item in node.items)
            case ast.MapOf():
                return MAP_BASE + sum(self.of(key, sizes) + self.of(value, sizes) for key, value in node.entries)
            case ast.Struct():
                return STRUCT_BASE + sum(self.of(value, sizes) for _, value in node.entries)
            case ast.Comprehension():
                return min(MOST, self._loop(node, sizes))
            case ast.Bind():
                return self.of(node.value, sizes) + self.of(node.body, sizes)
        return 0

    def _call(self, node: ast.Call, sizes: Mapping[str, int]) -> int:
        costs = [self.of(one, sizes) for one in node.all_arguments]
        if node.function == "_?_:_":
            return costs[0] + max(costs[1], costs[2])
        if node.function in ("_&&_", "_||_"):
            return sum(costs)
        return sum(costs) + self._own(node, sizes)

    def _own(self, node: ast.Call, sizes: Mapping[str, int]) -> int:
        given = [self.size(one, sizes) for one in node.all_arguments]
        if node.function == "matches" and len(given) == 2:
            return max(1, _part(given[0] + 1)) * max(1, -(-given[1] // 4))
        if node.function in ("_==_", "_!=_"):
            return max(1, _part(min(given)))
        if node.function == "@in" and self.types[node.all_arguments[1]].name == "list":
            return max(1, given[1])
        if node.function.startswith("sets.") or node.function in ("intersects", "equivalent"):
            return max(1, given[-1] * given[-2])
        if node.function in ("_<_", "_<=_", "_>_", "_>=_"):
            return max(1, _part(min(given)))
        if node.function == "_+_" and self.types[node].name in ("string", "bytes", "list"):
            return max(1, _part(sum(given)))
        if node.function == "contains" and len(given) == 2:
            return max(1, _part(given[0]) * max(1, _part(given[1])))
        return max(1, _part(given[0])) if node.function in _SCANS and given else 1

    def _loop(self, node: ast.Comprehension, sizes: Mapping[str, int]) -> int:
        turns = self.size(node.range, sizes)
        inside = dict(sizes)
        over = self.types[node.range]
        if over.parameters:
            inside[node.variable] = over.parameters[0].size or 1
            if node.second:
                inside[node.second] = over.parameters[-1].size or 1
        body = sum(self.of(one, inside) for one in (node.test, node.make) if one is not None)
        own = {"all": 2, "exists": 3, "exists_one": 2}.get(node.macro, LIST_BASE + 2)
        return self.of(node.range, sizes) + 1 + min(MOST, turns * (body + own))


def _part(length: int) -> int:
    """The cost of going through so many characters."""
    return -(-length // 10) if length < MOST else MOST
