"""Multi-version state in memory, against a list of all versions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.store import mvcc
from reconciler.store.types import MAX_OPERATIONS, MAX_VALUE_BYTES, Check, Durability, Entry, Put, Remove

KEYS = [f"{kind}/{name}" for kind in ("nodes/", "pods/a", "pods/b") for name in "uvwx"]
VOLATILE = Durability.VOLATILE


def write(state: mvcc.State, *operations: Put | Remove) -> tuple[mvcc.Step, ...]:
    made = mvcc.steps(mvcc.writes(operations, state.current.get), state.revision + 1, state.current.get)
    for step in made:
        state.apply(step)
    return made


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.booleans()), max_size=60),
    st.sampled_from(["", "pods/", "pods/b", "nodes//v", "zz"]),
    st.sampled_from(["", "pods/a/v", "pods/b/"]),
    st.integers(0, 5),
    st.data(),
)
def test_every_revision_in_the_window_is_answered(
    writes: list[tuple[str, bool]], prefix: str, start: str, limit: int, data: st.DataObject
) -> None:
    state = mvcc.State([], 1)
    versions: dict[int, dict[str, Entry]] = {1: {}}
    for number, (key, put) in enumerate(writes):
        before = versions[state.revision]
        write(state, Put(key, str(number).encode()) if put else Remove(key))
        now = {name: entry for name, entry in before.items() if name != key}
        if put:
            now[key] = state.current[key].entry
        versions[state.revision] = now
    floor = data.draw(st.integers(1, state.revision))
    state.forget(floor)
    revision = data.draw(st.integers(floor, state.revision))
    then = versions[revision]
    found = state.range(prefix, start, revision, limit)
    expected = [then[key] for key in sorted(then) if key.startswith(prefix) and key >= start]
    assert list(found.entries) == (expected[:limit] if limit else expected)
    assert (found.count, found.more) == (len(expected), len(found.entries) < len(expected))
    assert [state.get(key, revision) for key in KEYS] == [then.get(key) for key in KEYS]
    assert [change.revision for change in state.changes("", floor)] == list(range(floor + 1, state.revision + 1))


def test_entries_count_their_versions_and_remember_their_creation() -> None:
    state = mvcc.State([], 10)
    write(state, Put("a", b"1"))
    write(state, Put("a", b"2"))
    assert state.current["a"].entry == Entry("a", b"2", 11, 12, 2)
    (gone,) = write(state, Remove("a"))
    assert gone.change.entry == Entry("a", None, 0, 13, 0)
    assert gone.change.previous == Entry("a", b"2", 11, 12, 2)
    write(state, Put("a", b"3"))
    assert state.current["a"].entry == Entry("a", b"3", 14, 14, 1)


def test_a_status_write_keeps_the_spec_revision() -> None:
    state = mvcc.State([], 1)
    write(state, Put("a", b"1"))
    write(state, Put("a", b"2", spec_changed=False))
    assert state.current["a"].spec_revision == 2
    write(state, Put("a", b"3"))
    assert state.current["a"].spec_revision == 4


def test_durability_of_steps() -> None:
    state = mvcc.State([], 1)
    (volatile,) = write(state, Put("v", b"", durability=VOLATILE))
    assert not volatile.durable
    (removed,) = write(state, Remove("v"))
    assert not removed.durable, "nothing of it is on disk"
    write(state, Put("d", b""))
    (updated,) = write(state, Put("d", b"", durability=VOLATILE))
    assert not updated.durable
    (removed,) = write(state, Remove("d"))
    assert removed.durable, "or it would come back"
    mixed = write(state, Put("x", b"", durability=VOLATILE), Put("y", b""))
    assert all(step.durable for step in mixed), "all or none, after a crash too"


def test_removing_nothing_writes_nothing() -> None:
    assert mvcc.writes([Remove("a"), Check("b", 0)], {}.get) == ()


def test_expectations() -> None:
    state = mvcc.State([], 1)
    write(state, Put("a", b""))
    held = [Put("a", b"", expect=2), Remove("a", expect=2), Check("a", 2), Put("b", b"", expect=0), Put("a", b""), Check("b", 0)]
    assert [mvcc.conflict([operation], state.current.get) for operation in held] == [None] * len(held)
    for operation in (Put("a", b"", expect=0), Remove("a", expect=1), Check("b", 2), Remove("b", expect=2)):
        found = mvcc.conflict([operation], state.current.get)
        assert found is not None
        assert found.key == operation.key
        assert found.actual == (state.current["a"].entry if operation.key == "a" else None)


@pytest.mark.parametrize(
    "operations",
    [
        [Put("a", b""), Remove("a")],
        [Put("", b"")],
        [Put(str(number), b"") for number in range(MAX_OPERATIONS + 1)],
        [Put("a", bytes(MAX_VALUE_BYTES + 1))],
        [Put("a", bytes(MAX_VALUE_BYTES)), Put("b", b"1")],
    ],
    ids=["twice", "no key", "too many", "too large", "too large together"],
)
def test_limits(operations: list[Put | Remove]) -> None:
    with pytest.raises(ValueError, match=r"twice|empty|at most"):
        mvcc.validate(operations)


def test_the_window_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mvcc, "WINDOW_CHANGES", 10)
    state = mvcc.State([], 1)
    for number in range(25):
        write(state, Put(f"a{number}", b""))
        assert len(state.changes("", state.floor)) <= 10
    assert state.floor > 1
    monkeypatch.setattr(mvcc, "WINDOW_BYTES", 100)
    write(state, Put("b", bytes(60)), Put("c", bytes(60)))
    assert [change.entry.key for change in state.changes("", state.floor)] == ["c"]
    assert state.get("c", state.floor) is None


def test_a_draft_is_seen_by_later_drafts_only() -> None:
    state = mvcc.State([], 1)
    draft: mvcc.Draft[str] = mvcc.Draft(state)
    (first,) = mvcc.steps([Put("a", b"1")], 2, draft.lookup)
    draft.stage(first, "one")
    (second,) = mvcc.steps([Put("a", b"2")], 3, draft.lookup)
    draft.stage(second, "two")
    assert draft.owner("a") == "two"
    assert second.change.previous == first.change.entry
    assert "a" not in state.current
    draft.publish([first])
    assert draft.owner("a") == "two"
    assert state.current["a"].entry.value == b"1"
    draft.discard()
    assert draft.owner("a") is None
    found = draft.lookup("a")
    assert found is not None
    assert found.entry.value == b"1"
