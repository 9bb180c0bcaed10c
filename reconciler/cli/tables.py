"""Server-side Tables, printed as kubectl prints them: columns as wide as their widest cell, three spaces between."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def columns(table: Mapping[str, Any], *, wide: bool) -> list[int]:
    """Indexes of the columns to print."""
    return [i for i, column in enumerate(table["columnDefinitions"]) if wide or not column.get("priority")]


def headers(table: Mapping[str, Any], chosen: Sequence[int]) -> list[str]:
    return [table["columnDefinitions"][i]["name"].upper() for i in chosen]


def cells(table: Mapping[str, Any], chosen: Sequence[int]) -> list[list[str]]:
    return [["<none>" if row["cells"][i] is None else str(row["cells"][i]) for i in chosen] for row in table.get("rows") or ()]


def render(rows: Iterable[Sequence[str]]) -> str:
    grid = [list(row) for row in rows]
    widths = [max(len(row[i]) for row in grid) for i in range(len(grid[0]))] if grid else []
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in grid)
    return "".join(line + "\n" for line in lines)
