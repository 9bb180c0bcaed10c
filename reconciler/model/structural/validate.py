"""What a structural schema refuses in a value, with the errors and in the order of kube-openapi's validator.

A schema is compiled once: `compile(raw)` gives a Check whose `run` walks a value. With a Link to the old object, what is
refused but unchanged passes (ratcheting). What a Check costs is a walk over the value; patterns are compiled once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.model import errors, govalue, regexp
from reconciler.model.errors import FieldError
from reconciler.model.structural import formats
from reconciler.model.structural.correlate import Link, same

NOWHERE = "<nil>"
Test = Callable[[Any, str, "Link | None", "Findings"], None]
INT32, INT64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)


@dataclass(slots=True)
class Findings:
    """`matches` counts what was looked at, by which the best of several alternatives is chosen."""

    root: str  # what the paths are below; "" for whole objects
    errors: list[FieldError] = field(default_factory=list)
    matches: int = 0

    def add(self, *found: FieldError) -> None:
        self.errors += [one for one in found if one not in self.errors]

    def merge(self, other: "Findings") -> None:
        self.add(*other.errors)
        self.matches += other.matches

    def at(self, path: str) -> str:
        path = path.removeprefix(".")
        return f"{self.root}.{path}" if self.root and path else self.root or path or NOWHERE

    def invalid(self, path: str, value: Any, text: str) -> None:
        self.add(errors.invalid(self.at(path), "" if value is None else value, text))

    def plain(self, text: str) -> None:
        self.add(errors.invalid(self.root or NOWHERE, "", text))


class Check:
    """A compiled schema."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.types = ("integer", "string") if raw.get("x-kubernetes-int-or-string") else tuple(filter(None, [raw.get("type", "")]))
        self.nullable = bool(raw.get("nullable"))
        self.format = formats.format_of(raw)
        self.enum: Sequence[Any] = raw.get("enum") or ()
        self.combinations = _combinations(raw)
        self.of_string = _string_tests(raw, self.format)
        self.of_number = _number_tests(raw, self.types[0] if len(self.types) == 1 else "", self.format)
        self.of_list = _list_test(raw)
        self.of_map = _map_test(raw)

    def run(self, value: Any, path: str, link: Link | None, root: str = "") -> Findings:
        """The findings on a value; those on an unchanged value are none."""
        found = self.judge(value, path, link, root)
        if found.errors and link is not None and same(value, link.old):
            return Findings(root, [], found.matches)
        return found

    def judge(self, value: Any, path: str, link: Link | None, root: str) -> Findings:
        found = Findings(root)
        if value is None:
            if self.types and not self.nullable:
                found.add(_wrong_type(found, path, ",".join(self.types), "null"))
            self._enumerate(value, path, found)
            return found
        kind = type_of(value)
        if self.types or self.format:
            self._type(value, kind, path, found)
            found.matches += 1
        for test in self.combinations:
            test(value, path, link, found)
        found.matches += 2
        if kind == "string":
            self._each(self.of_string, value, path, link, found)
        elif kind in ("integer", "number"):
            self._each(self.of_number, value, path, link, found)
            found.matches += 1
        elif kind == "array":
            self.of_list(value, path, link, found)
            found.matches += 2
        self._enumerate(value, path, found)
        found.matches += 1
        if kind == "object":
            self.of_map(value, path, link, found)
            found.matches += 1
        found.matches += 1
        return found

    def _each(self, tests: Sequence[Test], value: Any, path: str, link: Link | None, found: Findings) -> None:
        for test in tests:
            test(value, path, link, found)
        found.matches += 1

    def _type(self, value: Any, kind: str, path: str, found: Findings) -> None:
        is_float_integer = kind == "number" and float(value).is_integer() and "integer" in self.types
        is_fine = kind in self.types or is_float_integer or (kind == "integer" and "number" in self.types)
        if kind in ("string", "array") and self.format and not {"number", "integer"} & set(self.types):
            found.matches += 1
            return
        if kind not in ("string", "array") and self.format and not is_fine:
            known = {"integer": "int64", "number": "float64"}.get(kind, "")
            found.add(_wrong_type(found, path, self.format, known))
        elif not is_fine:
            found.add(_wrong_type(found, path, ",".join(self.types), kind))
        else:
            found.matches += 1

    def _enumerate(self, value: Any, path: str, found: Findings) -> None:
        if self.enum and not any(allowed is not None and same(value, allowed) for allowed in self.enum):
            values = [allowed if isinstance(allowed, str) else govalue.marshal(allowed) for allowed in self.enum]
            found.add(errors.not_supported(found.at(path), value, values))


def compile(raw: Mapping[str, Any]) -> Check:
    return Check(raw)


def type_of(value: Any) -> str:
    """A JSON value's type as schemas name it."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if INT64[0] <= value <= INT64[1] else "number"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object" if isinstance(value, dict) else "null"


def _wrong_type(found: Findings, path: str, wanted: str, got: Any) -> FieldError:
    detail = f"{path} in body must be of type {wanted}: {govalue.quoted(got)}"
    return errors.wrong_type(found.at(path), got, detail)


def _string_tests(raw: Mapping[str, Any], wanted: str) -> list[Test]:
    most, least, pattern = raw.get("maxLength"), raw.get("minLength"), raw.get("pattern")

    def limits(value: Any, path: str, _: Link | None, found: Findings) -> None:
        if most is not None and len(value) > most:
            found.add(errors.too_long(found.at(path), most))
        elif least is not None and len(value) < least:
            found.invalid(path, value, f"{path} in body should be at least {least} chars long")
        elif pattern and not regexp.matches(pattern, value):
            found.invalid(path, value, f"{path} in body should match '{pattern}'")

    def formatted(value: Any, path: str, _: Link | None, found: Findings) -> None:
        if check is not None and not check(value):
            found.add(_wrong_type(found, path, wanted, value))

    check = formats.CHECKS.get(wanted.replace("-", ""))
    has_limits = most is not None or least is not None or pattern
    return ([limits] if has_limits else []) + ([formatted] if check is not None else [])


def _number_tests(raw: Mapping[str, Any], kind: str, wanted: str) -> list[Test]:
    tests: list[Test] = [_range_test(kind, wanted)] if kind in ("integer", "") or wanted == "int32" else []
    if raw.get("multipleOf") is not None:
        tests.append(_multiple_test(raw["multipleOf"]))
    if raw.get("minimum") is not None:
        tests.append(_bound_test(raw["minimum"], bool(raw.get("exclusiveMinimum")), -1))
    if raw.get("maximum") is not None:
        tests.append(_bound_test(raw["maximum"], bool(raw.get("exclusiveMaximum")), 1))
    return tests


def _range_test(kind: str, wanted: str) -> Test:
    least, most = INT32 if wanted == "int32" else INT64

    def in_range(value: Any, path: str, _: Link | None, found: Findings) -> None:
        if kind == "integer" and (not float(value).is_integer() or not least <= value <= most):
            form = f"with format {wanted}" if wanted else "(default format)"
            found.plain(f"Checked value must be of type integer {form} in {path}")

    return in_range


def _multiple_test(factor: float) -> Test:
    def multiple(value: Any, path: str, _: Link | None, found: Findings) -> None:
        step = int(factor) if isinstance(value, int) else factor
        if step <= 0:
            found.invalid(path, step, f"factor MultipleOf declared for {path} must be positive: {govalue.plain(step)}")
        elif not (value % step == 0 if isinstance(value, int) else float(1 / step * value if step < 1 else value / step).is_integer()):
            found.invalid(path, value, f"{path} in body should be a multiple of {govalue.plain(step)}")

    return multiple


def _bound_test(bound: float, exclusive: bool, sign: int) -> Test:
    """`sign` is 1 for a maximum and -1 for a minimum."""
    word = "less" if sign > 0 else "greater"
    text = f"{word} than" if exclusive else f"{word} than or equal to"

    def bounded(value: Any, path: str, _: Link | None, found: Findings) -> None:
        limit = int(bound) if isinstance(value, int) else bound
        beyond = (value - limit) * sign
        if beyond > 0 or (exclusive and beyond == 0):
            found.invalid(path, value, f"{path} in body should be {text} {govalue.plain(limit)}")

    return bounded


def _list_test(raw: Mapping[str, Any]) -> Test:
    items = Check(raw["items"]) if isinstance(raw.get("items"), Mapping) else None
    least, most = raw.get("minItems"), raw.get("maxItems")

    def listed(value: Any, path: str, link: Link | None, found: Findings) -> None:
        if items is not None:
            for index, item in enumerate(value):
                found.merge(items.run(item, f"{path}[{index}]", link.item(item) if link is not None else None, found.root))
        if least is not None and len(value) < least:
            found.invalid(path, len(value), f"{path} in body should have at least {least} items")
        if most is not None and len(value) > most:
            found.add(errors.too_many(found.at(path), len(value), most))

    return listed


def _map_test(raw: Mapping[str, Any]) -> Test:
    properties = {name: Check(schema) for name, schema in (raw.get("properties") or {}).items()}
    additional = raw.get("additionalProperties")
    free = Check(additional) if isinstance(additional, Mapping) else None
    least, most, required = raw.get("minProperties"), raw.get("maxProperties"), raw.get("required") or ()

    def mapped(value: Any, path: str, link: Link | None, found: Findings) -> None:
        if least is not None and len(value) < least:
            found.invalid(path, len(value), f"{path} in body should have at least {least} properties")
        if most is not None and len(value) > most:
            found.add(errors.too_many(found.at(path), len(value), most))
        for key, item in value.items():
            check = properties.get(key)
            if check is None and additional is False:
                found.invalid(path, key, f"{path}.{key} in body is a forbidden property")
            elif check is None and free is not None:
                found.merge(free.run(item, f"{path}.{key}", link.key(key) if link is not None else None, found.root))
        for key, check in properties.items():
            if key in value:
                below = None if link is None or (not path and key in ("kind", "apiVersion")) else link.key(key)
                found.merge(check.run(value[key], f"{path}.{key}" if path else key, below, found.root))
        for key in required:
            if key not in value:
                found.add(errors.required(found.at(f"{path}.{key}")))

    return mapped


def _combinations(raw: Mapping[str, Any]) -> list[Test]:
    """anyOf, oneOf, allOf and not, in this order."""
    made: list[Test] = []
    for name, make in (("anyOf", _any_of), ("oneOf", _one_of), ("allOf", _all_of)):
        if raw.get(name):
            made.append(make([Check(schema) for schema in raw[name]]))
    if isinstance(raw.get("not"), Mapping):
        made.append(_not(Check(raw["not"])))
    return made


def _best(failures: list[Findings]) -> Findings:
    return max(failures, key=lambda one: one.matches)


def _any_of(checks: list[Check]) -> Test:
    def any_of(value: Any, path: str, link: Link | None, found: Findings) -> None:
        failures = []
        for check in checks:
            result = check.judge(value, path, link, found.root)
            if not result.errors:
                found.merge(result)
                return
            failures.append(result)
        found.plain(f'"{path}" must validate at least one schema (anyOf)')
        found.merge(_best(failures))

    return any_of


def _one_of(checks: list[Check]) -> Test:
    def one_of(value: Any, path: str, link: Link | None, found: Findings) -> None:
        results = [check.judge(value, path, link, found.root) for check in checks]
        passed = [result for result in results if not result.errors]
        if len(passed) == 1:
            found.merge(passed[0])
            return
        many = f"Found {len(passed)} valid alternatives" if passed else "Found none valid"
        found.plain(f'"{path}" must validate one and only one schema (oneOf). {many}')
        if not passed:
            found.merge(_best(results))

    return one_of


def _all_of(checks: list[Check]) -> Test:
    def all_of(value: Any, path: str, link: Link | None, found: Findings) -> None:
        passed = 0
        for check in checks:
            result = check.judge(value, path, link, found.root)
            passed += not result.errors
            found.merge(result)
        if passed < len(checks):
            found.plain(f'"{path}" must validate all the schemas (allOf){"" if passed else ". None validated"}')

    return all_of


def _not(check: Check) -> Test:
    def never(value: Any, path: str, link: Link | None, found: Findings) -> None:
        if not check.judge(value, path, link, found.root).errors:
            found.plain(f'"{path}" must not validate the schema (not)')

    return never
