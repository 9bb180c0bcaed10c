"""Complaints about an expression, as cel-go shows them, and the error that evaluation ends with."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    at: int
    message: str


class Refused(ValueError):
    """The expression does not compile; the text is what clients are shown after "compilation failed: "."""

    def __init__(self, source: str, issues: Sequence[Issue]) -> None:
        ordered = sorted(issues, key=lambda issue: issue.at)
        super().__init__("\n".join(_shown(source, issue) for issue in ordered))


class Failed(Exception):
    """Evaluation ended with an error; && and || may absorb it."""


def _shown(source: str, issue: Issue) -> str:
    before = source[: issue.at]
    line, start = before.count("\n") + 1, before.rfind("\n") + 1
    end = source.find("\n", issue.at)
    text = source[start : end if end >= 0 else len(source)]
    column = issue.at - start
    if not source:
        return f"ERROR: <input>:1:0: {issue.message}"
    return f"ERROR: <input>:{line}:{column + 1}: {issue.message}\n | {text}\n | {'.' * column}^"
