"""What `make bench` measures: one module a subject, each with `rows() -> Iterable[Row]`."""

import dataclasses
import statistics
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table. `samples` in `unit`; the bar is a text such as "p50 <= 60, p99 <= 200"."""

    what: str
    unit: str
    samples: Sequence[float]
    bar: str = ""
    elsewhere: str = ""  # what another program did at another time, on a machine such as this one
    peer: str = ""  # what another program did in this run

    @property
    def p50(self) -> float:
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        return sorted(self.samples)[max(0, -(-99 * len(self.samples) // 100) - 1)]

    @property
    def spread(self) -> str:
        return f"{min(self.samples):.4g}-{max(self.samples):.4g}"
