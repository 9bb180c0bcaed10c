"""Quantities: exact values, canonical texts, arithmetic, and what is refused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0.000", "0"),
        ("1000m", "1"),
        ("1.5", "1500m"),
        ("100m", "100m"),
        ("0.1n", "1n"),
        ("1024", "1024"),
        ("1000", "1k"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("512Ki", "512Ki"),
        ("1e3", "1e3"),
        ("12E3", "12e3"),
        ("1E", "1E"),
        ("-1", "-1"),
        ("+5", "5"),
        (".5", "500m"),
        ("5.", "5"),
        ("1000Mi", "1000Mi"),
        ("123456789012345678", "123456789012345678"),
    ],
)
def test_canonical_texts(text: str, canonical: str) -> None:
    assert quantity.canonical(text) == canonical
    assert quantity.canonical(canonical) == canonical


@pytest.mark.parametrize("text", ["", "a", "1x", "1 Gi", "1..5", "--1", "1Kii", "Ki", "1e", "1e1.5", "٣"])
def test_refused_texts(text: str) -> None:
    assert not quantity.is_valid(text)
    with pytest.raises(ValueError, match=r"quantit|unable"):
        quantity.parse(text)


def test_values_round_up() -> None:
    assert quantity.milli("0.0001") == 1
    assert quantity.value("1.1") == 2
    assert quantity.value("1Gi") == 2**30
    assert quantity.milli("2") == 2000


def test_comparison_ignores_the_form() -> None:
    assert quantity.compare("1024Mi", "1Gi") == 0
    assert quantity.compare("1G", "1Gi") < 0
    assert quantity.compare("0.5", "499m") > 0


def test_sums_keep_the_form_of_the_first() -> None:
    assert quantity.add("1Gi", "512Mi") == "1536Mi"
    assert quantity.add("100m", "0.9") == "1"
    assert quantity.subtract("1", "250m") == "750m"


@given(st.integers(-(10**9), 10**9), st.sampled_from(sorted(quantity.DECIMAL)))
def test_a_canonical_text_has_the_same_value(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    exact = number * Fraction(10) ** quantity.DECIMAL[suffix]
    exact = max(min(exact, Fraction(quantity.MAX)), Fraction(-quantity.MAX))  # what is larger counts as that much
    assert Fraction(quantity.parse(quantity.canonical(text)).nano, 10**9) == exact


@given(st.integers(0, 2**53))
def test_amounts_made_here_can_be_read_again(units: int) -> None:
    assert quantity.value(quantity.from_value(units)) == units
    assert quantity.milli(quantity.from_milli(units)) == units
