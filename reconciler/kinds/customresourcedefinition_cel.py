"""What is refused in a definition's CEL rules: that they do not compile, cost too much, or look at an old value where
none can be told.

Costs are what the rule may cost on one value times the most values that the schema allows there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler.model import errors, govalue
from reconciler.model.cel import declare, rules
from reconciler.model.errors import FieldError
from reconciler.model.structural.schema import Structural

RULE_MOST, SCHEMA_MOST = 10_000_000, 100_000_000
ADVICE = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"


def refused(schema: Structural, path: str) -> Iterator[FieldError]:
    """The errors of all rules in a schema that is structural."""
    costs: list[tuple[str, int]] = []
    yield from _Place(costs).of(schema, path, is_root=True)
    total = sum(cost for _, cost in costs)
    if total > SCHEMA_MOST:
        for at, _ in sorted(costs, key=lambda one: -one[1])[:4]:
            yield errors.forbidden(at, "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema")
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield errors.forbidden(path, _too_costly(name, total, SCHEMA_MOST))


@dataclass(frozen=True, slots=True)
class _Place:
    """A place in the schema: how many values there can be (None: no limit), and what keeps old values from being found."""

    costs: list[tuple[str, int]]
    most_values: int | None = 1
    uncorrelated: str = ""

    def of(self, schema: Structural, path: str, *, is_root: bool = False) -> Iterator[FieldError]:
        if schema.additional is not None:
            yield from self._times(schema.raw.get("maxProperties")).of(schema.additional, f"{path}.additionalProperties")
        for name, one in schema.properties.items():
            place = self._without_old(path) if schema.map_type == "atomic" else self
            yield from place.of(one, f"{path}.properties[{name}]")
        if schema.items is not None:
            place = self._times(schema.raw.get("maxItems"))
            yield from (place if schema.list_type == "map" else place._without_old(path)).of(schema.items, f"{path}.items")
        for index, rule in enumerate(rules.compiled(schema, is_root=is_root)):
            yield from self._rule(rule, schema, f"{path}.x-kubernetes-validations[{index}]")

    def _times(self, most: int | None) -> "_Place":
        return replace(self, most_values=None if self.most_values is None or most is None else self.most_values * max(0, most))

    def _without_old(self, path: str) -> "_Place":
        return self if self.uncorrelated else replace(self, uncorrelated=path)

    def _rule(self, rule: rules.Rule, schema: Structural, path: str) -> Iterator[FieldError]:
        for name, cost in rules.most_costs(rule):
            cost *= self._values(schema) if name == "rule" else 1
            if cost > RULE_MOST:
                text = "estimated rule cost" if name == "rule" else "estimated messageExpression cost"
                yield errors.forbidden(f"{path}.{name}", _too_costly(text, cost, RULE_MOST))
            self.costs.append((f"{path}.{name}", cost))
        if rule.problem:
            yield _invalid(f"{path}.rule", rule.raw, rule.problem)
        if rule.message_problem:
            yield _invalid(f"{path}.messageExpression", rule.raw, rule.message_problem)
        if rule.uses_old:
            if self.uncorrelated:
                detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {self.uncorrelated}"
                yield errors.invalid(f"{path}.rule", rule.raw["rule"], detail)
        elif rule.raw.get("optionalOldSelf") is not None:
            yield errors.invalid(f"{path}.optionalOldSelf", rule.raw["optionalOldSelf"], "may not be set if oldSelf is not used in rule")

    def _values(self, schema: Structural) -> int:
        if self.most_values is not None:
            return self.most_values
        declared = declare.declare(schema)
        return declare.REQUEST_MOST_BYTES // ((declared.least_bytes if declared else 1) + 1)


def _invalid(path: str, rule: Mapping[str, Any], detail: str) -> FieldError:
    """A refusal that quotes a rule as Kubernetes does."""
    quoted = {
        "Rule": rule.get("rule", ""),
        "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""),
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""),
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
    return errors.invalid_whole(path, f"{govalue.escaped(errors.shown(quoted))}: {detail}")


def _too_costly(name: str, cost: int, most: int) -> str:
    factor = cost / most
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return f"{name} exceeds budget by factor of {shown} {ADVICE}"
