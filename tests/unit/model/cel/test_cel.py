"""Expressions: values, errors, types and costs."""

import pytest

from reconciler.model.cel import program, rules, types
from reconciler.model.cel.check import Environment
from reconciler.model.cel.errors import Failed, Refused
from reconciler.model.cel.kubernetes import FUNCTIONS
from reconciler.model.structural import schema
from reconciler.model.structural.correlate import Link

SELF = types.object_of(
    "object",
    {"x": types.INT, "s": types.STRING, "l": types.list_of(types.STRING, 5), "m": types.map_of(types.STRING, types.INT)},
)
ENVIRONMENT = Environment({"self": SELF, "any": types.DYN}, FUNCTIONS)
VARIABLES = {"self": {"x": 5, "s": "abc", "l": ["a", "b"], "m": {"k": 1}}, "any": {"a": [1, {"b": 3}]}}


def value(text):
    return program.compile(text, ENVIRONMENT).evaluate(VARIABLES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("self.x + 2 * 3", 11),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("self.x > 3 ? 'big' : 'small'", "big"),
        ("self.l.all(e, e.size() == 1) && self.m.k == 1", True),
        ("self.l.map(e, e != 'a', e + '!')", ["b!"]),
        ("self.l.exists_one(e, e == 'a')", True),
        ("has(self.x) && !has(any.zz)", True),
        ("any.?zz.orValue(7)", 7),
        ("any.?a.optMap(a, size(a)).orValue(7)", 2),
        ("any.?zz.optMap(a, size(a)).orValue(7)", 7),
        ("any.?a.optFlatMap(a, a[?1]).hasValue()", True),
        ("any.a[1].b == 3.0", True),
        ("'k' in self.m", True),
        ("type(self.x) == int", True),
        ("true || any.zz", True),
        ("sets.contains(self.l, ['a'])", True),
        ("'%s is %d'.format([self.s, self.x])", "abc is 5"),
        ("quantity('2Gi').isGreaterThan(quantity('1Gi'))", True),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", True),
        ("semver('1.2.3').isLessThan(semver('1.10.0'))", True),
        ("timestamp('2020-02-03T04:05:06Z').getDate()", 3),
        ("duration('90m').getHours()", 1),
        ("format.dns1123Label().validate('A_').hasValue()", True),
        ("[3, 1, 2].max() + [1, 2].sum()", 6),
        ("'a,b'.split(',').join('-')", "a-b"),
    ],
)
def test_values(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("any.zz", "no such key: zz"),
        ("self.l[2]", "index out of bounds: 2"),
        ("1 / (self.x - 5)", "division by zero"),
        ("9223372036854775807 + self.x", "integer overflow"),
        ("any.a + 1", "no such overload"),
    ],
)
def test_failures(text, message):
    with pytest.raises(Failed) as failure:
        value(text)
    assert str(failure.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo == 1", "<input>:1:1: undeclared reference to 'foo' (in container '')"),
        ("self.nope", "<input>:1:5: undefined field 'nope'"),
        ("self.x == 'a'", "<input>:1:8: found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.x.startsWith('a')", "<input>:1:18: found no matching overload for 'startsWith' applied to 'int.(string)'"),
        ("self.x +", "<input>:1:9: Syntax error: mismatched input '<EOF>' expecting"),
        ("self.s.matches('(')", "<input>:1:16: invalid matches argument"),
    ],
)
def test_refusals_point_at_the_place(text, message):
    with pytest.raises(Refused) as refusal:
        program.compile(text, ENVIRONMENT)
    assert f"ERROR: {message}" in str(refusal.value)


def test_deep_nesting_is_refused_not_crashed_on():
    with pytest.raises(Refused):
        program.compile("(" * 5000 + "1" + ")" * 5000, ENVIRONMENT)


def test_loops_cost_their_range():
    assert program.compile("self.l.all(a, self.l.all(b, a == b))", ENVIRONMENT).most_cost > 25


def test_transition_rules_run_where_there_is_an_old_value():
    raw = {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "may not go down"}]}
    parsed = schema.parse(raw)
    judged = rules.Rules(parsed)
    report = rules.Report()
    judged.judge(3, "spec.a", None, report)
    assert not report.errors
    judged.judge(3, "spec.a", Link(parsed, 5), report)
    assert [str(error) for error in report.errors] == ["spec.a: Invalid value: 3: may not go down"]


def test_an_unchanged_value_is_only_warned_of():
    parsed = schema.parse({"type": "string", "x-kubernetes-validations": [{"rule": "self == 'x'"}]})
    report = rules.Report()
    rules.Rules(parsed).judge("old", "spec.a", Link(parsed, "old"), report)
    assert not report.errors
    assert report.warnings == ["spec.a: Invalid value: \"old\": failed rule: self == 'x'"]
