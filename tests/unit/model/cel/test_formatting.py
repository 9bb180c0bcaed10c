"""Formatting strings, as cel-go does."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.model.cel import formatting, types
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.values import UInt


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("no clause, 100%%", [], "no clause, 100%"),
        ("%s, %s and %s", ["a", True, 7], "a, true and 7"),
        (
            "%s",
            [["abc", 3.14, None, [9, 8], datetime(2023, 2, 3, 23, 31, 20, tzinfo=UTC)]],
            "[abc, 3.14, null, [9, 8], 2023-02-03T23:31:20Z]",
        ),
        ("%s", [{"b": [1], "a": timedelta(seconds=90)}], "{a: 90s, b: [1]}"),
        ("%s %s", [types.INT, float("nan")], "int NaN"),
        ("%d %b %b %o", [-5, 5, True, UInt(9)], "-5 101 1 11"),
        ("%x %X %x %X", [-255, 255, "Hi", b"\xfe"], "-ff FF 4869 FE"),
        ("%f %.2f %e %.1e", [1.5, 1.005, 1052.032911275, float("-inf")], "1.500000 1.00 1.052033e+03 -Infinity"),
        ("left over", [1], "left over"),
    ],
)
def test_clauses(template: str, values: list[object], expected: str) -> None:
    assert formatting.formatted(template, values) == expected


@pytest.mark.parametrize(
    ("template", "values", "words"),
    [
        ("%s %s", ["a"], "index 1 out of range"),
        ("%z", ["a"], 'unrecognized formatting clause "z"'),
        ("50%", ["a"], "unexpected end of string"),
        ("%d", ["a"], "decimal clause can only be used on integers, was given string"),
        ("%b", [1.0], "only integers and bools can be formatted as binary, was given double"),
        ("%o", [True], "octal clause can only be used on integers, was given bool"),
        ("%x", [True], "only integers, byte buffers, and strings can be formatted as hex, was given bool"),
        ("%f", [1], "fixed-point clause can only be used on doubles, was given int"),
        ("%.1e", ["x"], "scientific clause can only be used on doubles, was given string"),
        ("%.999999999f", [1.0], "precision"),
    ],
)
def test_what_cannot_be_formatted(template: str, values: list[object], words: str) -> None:
    with pytest.raises(Failed, match=words):
        formatting.formatted(template, values)


def test_quotes() -> None:
    assert formatting.quoted('a "b"\n\\') == '"a \\"b\\"\\n\\\\"'
