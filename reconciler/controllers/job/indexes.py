"""Sets of completion indexes as Jobs write them: "0-2,5"."""

from collections.abc import Iterable


def parsed(text: str) -> set[int]:
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def shown(indexes: Iterable[int]) -> str:
    """Intervals of three and more with a dash, two neighbours with a comma."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(part for run in runs for part in ([f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run)))
