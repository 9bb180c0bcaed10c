"""Kubernetes' hashes and their spelling."""

import pytest

from reconciler.kit import ids


@pytest.mark.parametrize(("data", "expected"), [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968)])
def test_fnv_1a(data: bytes, expected: int) -> None:
    assert ids.fnv32a(data) == expected  # the vectors of its authors


@pytest.mark.parametrize(("data", "expected"), [(b"", 0x811C9DC5), (b"a", 0x050C5D7E), (b"foobar", 0x31F0B262)])
def test_fnv_1(data: bytes, expected: int) -> None:
    assert ids.fnv32(data) == expected


def test_each_digit_has_its_letter() -> None:
    assert ids.encoded(1234567890) == "56789bcdf4"
