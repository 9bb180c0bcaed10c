"""x-kubernetes-validations: the rules of a schema, compiled once and asked of every object.

A rule that uses oldSelf runs where the value follows on an old one (correlate.py), or always with `optionalOldSelf`.
What an unchanged value breaks is a warning, not an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.model import errors
from reconciler.model.cel import declare, program
from reconciler.model.cel.check import Environment
from reconciler.model.cel.errors import Failed, Refused
from reconciler.model.cel.kubernetes import FUNCTIONS
from reconciler.model.cel.program import Program
from reconciler.model.cel.types import Type, optional_of
from reconciler.model.cel.values import NONE, Optional
from reconciler.model.errors import FieldError
from reconciler.model.structural import fieldpath, validate
from reconciler.model.structural.correlate import Link, same
from reconciler.model.structural.schema import Structural

MESSAGE_MOST = 5120
NOWHERE = "<nil>"
MISMATCH = "call arguments did not match a supported operator, function or macro signature for rule"


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled rule; `problem` says why it does not compile, `message_problem` why its messageExpression does not."""

    raw: Mapping[str, Any]
    program: Program | None
    message: Program | None = None
    problem: str = ""
    message_problem: str = ""

    @property
    def text(self) -> str:
        return str(self.raw["rule"]).strip()

    @property
    def uses_old(self) -> bool:
        return any(one is not None and "oldSelf" in one.names for one in (self.program, self.message))


@dataclass(slots=True)
class Report:
    errors: list[FieldError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def compiled(schema: Structural, *, is_root: bool = False) -> list[Rule]:
    """The rules of one schema; those below are its own."""
    declared = declare.declare(schema, is_whole=is_root or schema.is_embedded)
    return [_compiled(raw, declared.type if declared else Type("dyn")) for raw in schema.raw.get("x-kubernetes-validations") or ()]


def _compiled(raw: Mapping[str, Any], self_type: Type) -> Rule:
    old = optional_of(self_type) if raw.get("optionalOldSelf") else self_type
    environment = Environment({"self": self_type, "oldSelf": old}, FUNCTIONS)
    rule, problem = _program(str(raw["rule"]), environment, "bool", "cel expression must evaluate to a bool")
    message, message_problem = None, ""
    if raw.get("messageExpression"):
        wrong = "messageExpression must evaluate to a string"
        message, message_problem = _program(str(raw["messageExpression"]), environment, "string", wrong)
    return Rule(raw, rule, message, problem, message_problem)


def _program(text: str, environment: Environment, wanted: str, wrong: str) -> tuple[Program | None, str]:
    try:
        made = program.compile(text, environment)
    except Refused as refused:
        return None, f"compilation failed: {refused}"
    return (made, "") if made.result.name == wanted else (None, wrong)


def has_rules(schema: Structural) -> bool:
    below = [*schema.properties.values(), *(one for one in (schema.items, schema.additional) if one is not None)]
    return bool(schema.raw.get("x-kubernetes-validations")) or any(map(has_rules, below))


class Rules:
    """The rules of a schema and all below it."""

    def __init__(self, schema: Structural, *, is_root: bool = False) -> None:
        self.own = [rule for rule in compiled(schema, is_root=is_root) if rule.program is not None]
        self.schema = schema
        self.convert = declare.converter(schema)
        self.properties = {name: Rules(one) for name, one in schema.properties.items() if has_rules(one)}
        self.items = Rules(schema.items) if schema.items is not None and has_rules(schema.items) else None
        self.additional = Rules(schema.additional) if schema.additional is not None and has_rules(schema.additional) else None

    def judge(self, value: Any, path: str, link: Link | None, report: Report) -> None:
        """Add what the rules refuse in a value. `link` leads to its old value, None where there is none."""
        if value is None:
            return
        if self.own:
            self._judge_own(value, path, link, report)
        if isinstance(value, dict):
            for key, item in value.items():
                if (rules := self.properties.get(key)) is not None:
                    rules.judge(item, f"{path}.{key}" if path else key, link.key(key) if link else None, report)
                elif self.additional is not None:
                    self.additional.judge(item, f"{path}[{key}]", link.key(key) if link else None, report)
        elif isinstance(value, list) and self.items is not None:
            for index, item in enumerate(value):
                self.items.judge(item, f"{path}[{index}]", link.item(item) if link else None, report)

    def _judge_own(self, value: Any, path: str, link: Link | None, report: Report) -> None:
        variables: dict[str, Any] = {"self": self._converted(value)}
        is_same = link is not None and same(value, link.old)
        for rule in self.own:
            is_optional = bool(rule.raw.get("optionalOldSelf"))
            if rule.uses_old and link is None and not is_optional:
                continue
            if rule.uses_old:
                old = self._converted(link.old) if link is not None else None
                variables["oldSelf"] = (Optional(old, True) if link is not None else NONE) if is_optional else old
            refused = self._refused(rule, value, path, variables)
            if refused is None:
                continue
            if is_same and not rule.uses_old:
                report.warnings.append(str(refused))
            else:
                report.errors.append(refused)

    def _converted(self, value: Any) -> Any:
        return value if self.convert is None else self.convert(value)

    def _refused(self, rule: Rule, value: Any, path: str, variables: dict[str, Any]) -> FieldError | None:
        assert rule.program is not None
        at = path or NOWHERE
        try:
            if rule.program.evaluate(variables) is True:
                return None
        except Failed as failure:
            if str(failure) == "no such overload":
                return errors.invalid(at, validate.type_of(value), f"'{failure}': {MISMATCH}: {rule.text}")
            return errors.invalid(at, validate.type_of(value), f"{failure} evaluating rule: {rule.text}")
        return _error(rule, value, self._at(rule, path), _message(rule, variables))

    def _at(self, rule: Rule, path: str) -> str:
        given = rule.raw.get("fieldPath")
        if not given:
            return path or NOWHERE
        below, _ = fieldpath.resolve(given, self.schema)
        return f"{path}{below}" if below.startswith("[") or not path else f"{path}.{below}"


def _message(rule: Rule, variables: dict[str, Any]) -> str:
    fallback = str(rule.raw.get("message") or "").strip() or f"failed rule: {rule.text}"
    if rule.message is None:
        return fallback
    try:
        made = str(rule.message.evaluate(variables)).strip()
    except Failed:
        return fallback
    return made if made and "\n" not in made and len(made) <= MESSAGE_MOST else fallback


def _error(rule: Rule, value: Any, path: str, message: str) -> FieldError:
    """The refusal in the form that the rule's reason asks for; structures are not quoted."""
    is_plain = not isinstance(value, dict | list)
    reason: str = rule.raw.get("reason") or "FieldValueInvalid"
    if reason == "FieldValueForbidden":
        return errors.forbidden(path, message)
    if reason == "FieldValueRequired":
        return errors.required(path, message)
    if reason == "FieldValueDuplicate":
        return errors.duplicate(path, value) if is_plain else FieldError(path, reason, "Duplicate value")
    return errors.invalid(path, value, message) if is_plain else errors.invalid_whole(path, message)


def most_costs(rule: Rule) -> Sequence[tuple[str, int]]:
    """What the rule and its message may cost, by the field that they are written in."""
    found = [("rule", rule.program)] if rule.program is not None else []
    if rule.message is not None:
        found.append(("messageExpression", rule.message))
    return [(name, one.most_cost) for name, one in found if one is not None]
