"""A compiled expression."""

from dataclasses import dataclass
from typing import Any

from reconciler.model.cel import check, cost, evaluate, parse
from reconciler.model.cel.check import Environment
from reconciler.model.cel.errors import Failed
from reconciler.model.cel.types import Type, shown


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """`names` are the variables it uses, `most_cost` what one evaluation may cost."""

    text: str
    result: Type
    names: frozenset[str]
    most_cost: int
    run: evaluate.Run

    def evaluate(self, variables: evaluate.Variables) -> Any:
        """The value. A variable that is a function is asked when it is needed. Raises Failed."""
        try:
            return self.run({**variables, evaluate.BUDGET: [evaluate.TURNS_MOST]})
        except (RecursionError, OverflowError, AttributeError, TypeError):
            raise Failed("no such overload") from None

    @property
    def shown_result(self) -> str:
        return shown(self.result)


def compile(text: str, environment: Environment) -> Program:
    """Raises errors.Refused."""
    checked = check.check(text, parse.parse(text), environment)
    run = evaluate.build(checked.root, environment)
    return Program(text, checked.result, checked.names, cost.most(checked), run)
