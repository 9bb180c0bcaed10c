"""Vectors over the rows of the scheduler's table: plain numbers, label values, counts of pods.

A row is a node. Vectors are longer than there are nodes; rows without one hold zeros. They grow together.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]
Rows = slice | Indices  # all rows as a slice, which costs no copy, or some by index

MISSING = 0  # the code of a node without the label


def grown(values: npt.NDArray[Any], capacity: int) -> npt.NDArray[Any]:
    """A copy of `values` whose last axis has `capacity` places, the new ones zero."""
    more = np.zeros((*values.shape[:-1], capacity), dtype=values.dtype)
    more[..., : values.shape[-1]] = values
    return more


class LabelColumn:
    """One label key over all nodes: a small number per distinct value, 0 where the label is missing."""

    __slots__ = ("_code_of", "codes", "values")

    def __init__(self, capacity: int) -> None:
        self.codes: Codes = np.zeros(capacity, dtype=np.int32)
        self.values: list[str | None] = [None]
        self._code_of: dict[str, int] = {}

    def set(self, row: int, value: str | None) -> None:
        self.codes[row] = MISSING if value is None else self._intern(value)

    def code(self, value: str) -> int:
        """The code of `value`; -1 if no node ever had it."""
        return self._code_of.get(value, -1)

    def among(self, values: Iterable[str]) -> Mask:
        """Which nodes have one of `values`."""
        codes = [code for value in values if (code := self._code_of.get(value)) is not None]
        if len(codes) == 1:
            found: Mask = self.codes == codes[0]
            return found
        return self.where([False] + [False] * (len(self.values) - 1), codes)

    def where(self, verdicts: list[bool], also: Iterable[int] = ()) -> Mask:
        """The verdict of each node's own value, given one verdict per code."""
        table = np.array(verdicts, dtype=np.bool_)
        for code in also:
            table[code] = True
        found: Mask = table[self.codes]
        return found

    def sums(self, counts: npt.NDArray[Any]) -> Floats:
        """`counts` of rows summed per code; nodes without the label do not count."""
        found = np.bincount(self.codes[: len(counts)], weights=counts, minlength=len(self.values)).astype(np.float64, copy=False)
        found[MISSING] = 0
        return found

    def _intern(self, value: str) -> int:
        code = self._code_of.get(value)
        if code is None:
            code = self._code_of[value] = len(self.values)
            self.values.append(value)
        return code
