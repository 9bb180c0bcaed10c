"""Selectors: what they match, how a query spells them, and upstream's words for what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import selectors
from reconciler.model.selectors import FieldTerm, Requirement

LABELS = {"app": "web", "tier": "3", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app", True),
        ("!app", False),
        ("absent", False),
        ("!absent", True),
        ("app=web", True),
        ("app == web", True),
        ("app!=web", False),
        ("absent!=web", True),
        ("app in (a, web)", True),
        ("app notin (a,web)", False),
        ("absent notin (a)", True),
        ("empty=", True),
        ("empty in ()", True),
        ("app=,tier", False),
        ("tier>2,tier<4", True),
        ("tier>3", False),
        ("absent>1", False),
        ("app>1", False),
        ("app=web,tier in (3),!absent", True),
        ("app in (in,notin)", False),
    ],
)
def test_a_label_selector_matches(text: str, matches: bool) -> None:
    assert selectors.parse(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!", "unable to parse requirement: found '!', expected: identifier"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,=", "found '=', expected: identifier after ','"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("app in x", "unable to parse requirement: found 'x' expected: '('"),
        ("app in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("app in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'"),
        ("app in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("app in (x,=)", "unable to parse requirement: found '=', expected: ',', or identifier"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("app=!x", "unable to parse requirement: found '!', expected: identifier"),
        ("app=bad value", "found 'value', expected: ',' or 'end of string'"),
        (
            "tier>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (f"app={'x' * 64}", f'unable to parse requirement: values[0][app]: Invalid value: "{"x" * 64}": must be no more than 63 bytes'),
    ],
)
def test_what_is_no_label_selector_says_why(text: str, message: str) -> None:
    with pytest.raises(selectors.Unparsable) as problem:
        selectors.parse(text)
    assert str(problem.value) == message


def test_requirements_are_sorted_and_values_too() -> None:
    assert selectors.parse("z,a in (c,b)").requirements == (Requirement("a", "In", ("b", "c")), Requirement("z", "Exists"))


WORDS = st.text("abc019", min_size=1, max_size=5)


@given(st.dictionaries(WORDS, WORDS, max_size=4))
def test_equalities_come_back(wanted: dict[str, str]) -> None:
    parsed = selectors.parse(",".join(f"{key}={value}" for key, value in wanted.items()))
    assert dict(parsed.equalities()) == wanted
    assert parsed.matches(wanted)


def test_selectors_in_objects() -> None:
    assert not selectors.from_label_selector(None).matches({})
    assert selectors.from_label_selector({}).matches({})
    assert not selectors.from_labels({}).matches({})
    chosen = selectors.from_label_selector({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]})
    assert chosen.matches({"a": "1"})
    assert not chosen.matches({"a": "1", "b": ""})


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("a=b", (FieldTerm("a", "b"),)),
        ("spec.b!=x,a==y,", (FieldTerm("a", "y"), FieldTerm("spec.b", "x", True))),
        (r"a=b\,c\=\\", (FieldTerm("a", r"b,c=" + "\\"),)),
        ("a=", (FieldTerm("a", ""),)),
    ],
)
def test_a_field_selector_has_terms(text: str, terms: tuple[FieldTerm, ...]) -> None:
    assert selectors.parse_fields(text) == terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "invalid selector: 'nonsense'; can't understand 'nonsense'"),
        ("a=b,nonsense", "invalid selector: 'a=b,nonsense'; can't understand 'nonsense'"),
        (r"a=b\x", r"invalid field selector: invalid escape sequence: \x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_what_is_no_field_selector_says_why(text: str, message: str) -> None:
    with pytest.raises(selectors.Unparsable) as problem:
        selectors.parse_fields(text)
    assert str(problem.value) == message
