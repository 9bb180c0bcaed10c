"""Namespaces: the finalizers that hold them."""

import pytest

from reconciler.kinds import namespace
from reconciler.model import meta


def with_finalizers(*finalizers: str) -> meta.Obj:
    return {"metadata": {"name": "n"}, "spec": {"finalizers": list(finalizers)}}


@pytest.mark.parametrize("finalizer", ["kubernetes", "orphan", "example.com/hold"])
def test_finalizers_are_known_or_have_a_domain(finalizer: str) -> None:
    assert not list(namespace.validate_finalize(with_finalizers(finalizer), None))


def test_others_are_refused_where_they_stand() -> None:
    (error,) = namespace.validate_finalize(with_finalizers("kubernetes", "x"), None)
    assert (error.path, error.message) == (
        "spec.finalizers[1]",
        'Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified',
    )
