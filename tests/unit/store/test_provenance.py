"""Which records stay."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.store import provenance
from reconciler.store.provenance import Ledger, Record, retained
from reconciler.store.types import Provenance


def record(revision: int, cause: int = 0) -> Record:
    return Record(revision, f"key-{revision}", Provenance("actor", "why", cause))


def walk(causes: dict[int, int], revision: int) -> list[int]:
    path = []
    while revision in causes:
        path.append(revision)
        revision = causes[revision]
    return path


def test_a_short_chain_stays_whole_and_what_nobody_needs_goes() -> None:
    causes = {1: 0, 2: 1, 3: 2, 4: 0, 5: 4}
    assert retained(causes, [3]) == {1: 0, 2: 1, 3: 2}


def test_a_cause_that_is_gone_already_stays_named() -> None:
    assert retained({5: 3}, [5]) == {5: 3}


def test_a_long_chain_keeps_both_ends() -> None:
    length = 1000
    causes = {revision: revision - 1 for revision in range(1, length + 1)}
    kept = retained(causes, [length])
    path = walk(kept, length)
    assert path[: provenance.NEAR] == list(range(length, length - provenance.NEAR, -1))
    assert path[-provenance.ORIGIN :] == list(range(provenance.ORIGIN, 0, -1))
    assert len(kept) == provenance.NEAR + provenance.ORIGIN


@given(st.lists(st.integers(0, 60), max_size=120), st.data())
def test_every_root_still_reaches_its_first_cause(parents: list[int], data: st.DataObject) -> None:
    causes = {revision: min(parent, revision - 1) for revision, parent in enumerate(parents, start=1)}
    roots = data.draw(st.lists(st.sampled_from(sorted(causes)), max_size=5)) if causes else []
    kept = retained(causes, roots)
    for root in roots:
        before, after = walk(causes, root), walk(kept, root)
        assert after[0] == root
        assert after[-1] == before[-1]
        assert set(after) <= set(before)
        assert after == sorted(after, reverse=True)
    assert set(kept) <= {revision for root in roots for revision in walk(causes, root)}


def test_a_volatile_cause_is_carried_to_disk_once() -> None:
    ledger = Ledger()
    for made in (record(3), record(5, cause=3), record(9, cause=4)):
        ledger.add(made)
    assert [made.revision for made in ledger.carry([5])] == [5, 3]
    assert ledger.carry([5]) == ()
    assert [made.revision for made in ledger.carry([9])] == [9], "revision 4 is durable and carries its own"
    ledger.stranded()
    carried = ledger.carry([5])
    assert [made.revision for made in carried] == [5, 3]
    ledger.landed(carried)
    assert ledger.get(5) is None
    assert ledger.get(9) is not None


def test_a_sweep_keeps_the_newest_and_the_roots() -> None:
    ledger = Ledger()
    ledger.add(record(1))
    ledger.add(record(2, cause=1))
    for revision in range(3, 2 * provenance.VOLATILE_RECORDS + 4):
        ledger.add(record(revision))
    assert ledger.overflowing
    ledger.sweep([2])
    assert not ledger.overflowing
    assert ledger.get(1) is not None
    assert ledger.get(2) is not None
    assert ledger.get(3) is None
    assert ledger.get(2 * provenance.VOLATILE_RECORDS) is not None
