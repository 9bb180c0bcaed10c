"""What compaction keeps, against brute force."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.store import compaction, disk
from reconciler.store.types import Entry, Provenance


def row(revision: int, key: str, value: bytes | None, cause: int) -> disk.Row:
    form = disk.Form.DELETE if value is None else disk.Form.PUT
    return disk.row(revision, form, key, revision, 1, revision, 0, 0.0, Provenance("", "", cause, ""), value)


def states(rows: list[disk.Row]) -> dict[int, dict[str, int]]:
    """Per revision, the live keys and the revision of each."""
    state: dict[str, int] = {}
    found = {0: state}
    for made in rows:
        state = {key: revision for key, revision in state.items() if key != made[2]}
        if made[-1] is not None:
            state[made[2]] = made[0]
        found[made[0]] = state
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 30)), min_size=1, max_size=30),
    st.lists(st.integers(1, 30), max_size=4),
    st.integers(1, 5),
    st.data(),
)
def test_history_from_the_compacted_revision_on_stays(
    tmp_path_factory: pytest.TempPathFactory,
    writes: list[tuple[str, bool, int]],
    compactions: list[int],
    chunk_rows: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    rows = [row(made, key, b"v" if put else None, min(cause, made - 1)) for made, (key, put, cause) in enumerate(writes, start=1)]
    connection = disk.open_file(folder)
    disk.append(connection, rows)
    before = states(rows)
    roots = sorted(before[len(rows)].values())
    chains = {root: [made for made, _, _ in disk.read_chain(folder, root, 99)] for root in roots}
    compaction.CHUNK_ROWS, kept_chunk = chunk_rows, compaction.CHUNK_ROWS
    oldest = 1
    try:
        for revision in sorted(min(made, len(rows)) for made in compactions):
            oldest = revision
            chunks = list(compaction.chunks(compaction.plan(folder, revision, roots)))
            crash_after = data.draw(st.integers(0, len(chunks)))
            for chunk in chunks[:crash_after]:
                disk.prune(connection, revision, chunk)
    finally:
        compaction.CHUNK_ROWS = kept_chunk
    for revision in range(oldest, len(rows) + 1):
        entries = disk.read_range(folder, "", "", revision)
        assert {entry.key: entry.mod_revision for entry in entries} == before[revision]
    assert {root: [made for made, _, _ in disk.read_chain(folder, root, 99)] for root in roots} == chains
    assert {live.entry.key: live.entry.mod_revision for live in disk.load(connection).lives} == before[len(rows)]
    connection.close()


def test_a_finished_compaction_leaves_nothing_superfluous(tmp_path: Path) -> None:
    connection = disk.open_file(tmp_path)
    rows = [
        row(1, "a", b"1", 0),
        row(2, "b", b"22", 1),
        row(3, "b", None, 0),
        row(4, "a", b"2", 2),
        row(5, "a", b"3", 4),
        row(6, "c", b"", 0),
    ]
    disk.append(connection, rows)
    pruning = compaction.plan(tmp_path, 5, [1, 5, 6])
    assert pruning == disk.Pruning((3,), (1, 2, 4), (), 4)
    for chunk in compaction.chunks(pruning):
        disk.prune(connection, 5, chunk)
    assert list(connection.execute("SELECT revision, form FROM revision")) == [(1, 2), (2, 2), (4, 2), (5, 0), (6, 0)]
    assert disk.read(tmp_path, "a", 5) == Entry("a", b"3", 5, 5, 1)
    assert compaction.plan(tmp_path, 5, [5, 6]) == disk.Pruning((), (), (), 0)
    connection.close()


def test_what_made_an_object_as_the_file_has_it_stays_while_a_volatile_write_hides_it(tmp_path: Path) -> None:
    connection = disk.open_file(tmp_path)
    status = disk.row(4, disk.Form.PUT, "a", 2, 3, 3, 0, 0.0, Provenance("", "", 0, ""), b"")
    disk.append(connection, [row(1, "a", b"", 0), row(2, "a", b"", 0), row(3, "a", b"", 0), status])
    assert compaction.plan(tmp_path, 4, [5]) == disk.Pruning((1,), (2, 3), (), 0)
    connection.close()


def test_long_chains_lose_their_middle(tmp_path: Path) -> None:
    connection = disk.open_file(tmp_path)
    for start in range(1, 1001, 250):
        disk.append(connection, [row(made, "a", b"", made - 1) for made in range(start, start + 250)])
    for chunk in compaction.chunks(compaction.plan(tmp_path, 1000, [1000])):
        disk.prune(connection, 1000, chunk)
    chain = [made for made, _, _ in disk.read_chain(tmp_path, 1000, 999)]
    assert len(chain) == 64
    assert (chain[0], chain[-1]) == (1000, 1)
    assert list(connection.execute("SELECT count(*) FROM revision")) == [(64,)]
    connection.close()
