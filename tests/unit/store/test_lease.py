"""Bookkeeping of leases."""

import pytest

from reconciler.store.lease import Leases
from reconciler.store.types import Change, Entry


def put(key: str, lease: int, previous: Entry | None = None) -> Change:
    return Change(Entry(key, b"", 1, 1, 1, lease), previous)


def test_a_lease_expires_after_its_time_and_not_before() -> None:
    leases = Leases()
    leases.grant(7, 10.0, now=100.0)
    assert leases.next_deadline() == 110.0
    assert leases.expired(109.9) == ()
    assert leases.expired(110.0) == (7,)
    assert leases.expired(110.0) == (7,), "until it is dropped"
    leases.drop(7)
    assert leases.expired(999.0) == ()
    assert leases.next_deadline() is None


def test_keeping_alive_moves_the_deadline() -> None:
    leases = Leases()
    leases.grant(7, 10.0, now=0.0)
    leases.grant(8, 12.0, now=0.0)
    leases.keep_alive(7, now=5.0)
    assert leases.next_deadline() == 12.0
    assert leases.expired(14.0) == (8,)
    assert leases.expired(15.0) == (8, 7)


def test_a_lease_that_is_gone_cannot_be_kept_or_used() -> None:
    leases = Leases()
    with pytest.raises(KeyError):
        leases.keep_alive(7, now=0.0)
    with pytest.raises(KeyError):
        leases.ttl_seconds(7)
    assert leases.ttl_seconds(0) == 0.0


def test_a_key_belongs_to_the_lease_of_its_last_write() -> None:
    leases = Leases()
    leases.grant(7, 10.0, now=0.0)
    leases.grant(8, 10.0, now=0.0)
    first = put("a", 7)
    leases.follow(first)
    leases.follow(put("b", 7))
    assert leases.keys(7) == ("a", "b")
    leases.follow(put("a", 8, first.entry))
    assert (leases.keys(7), leases.keys(8)) == (("b",), ("a",))
    leases.follow(Change(Entry("b", None, 0, 3, 0), put("b", 7).entry))
    assert leases.keys(7) == ()


def test_many_renewals_leave_one_deadline_each() -> None:
    leases = Leases()
    for lease in range(1, 4):
        leases.grant(lease, 10.0, now=0.0)
    for now in range(1, 50):
        for lease in range(1, 4):
            leases.keep_alive(lease, float(now))
    assert leases.expired(58.9) == ()
    assert sorted(leases.expired(59.0)) == [1, 2, 3]
