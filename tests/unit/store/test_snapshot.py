"""Copies of a journal."""

from pathlib import Path

import pytest

from reconciler.kit.clock import VirtualClock
from reconciler.store import snapshot
from reconciler.store.local import LocalJournal
from reconciler.store.types import Corrupt, Durability, JournalError, Locked, Provenance, Put

WHY = Provenance("test", "why", 0, "apps/web.yaml:12")


async def test_a_snapshot_has_the_durable_writes_and_where_they_came_from(tmp_path: Path, journal: LocalJournal) -> None:
    (first,) = await journal.commit([Put("a", b"1")], WHY)
    await journal.commit([Put("a", b"2", spec_changed=False)], Provenance("other"))
    await journal.commit([Put("v", b"", durability=Durability.VOLATILE)], WHY)
    await journal.compact(journal.revision)
    await journal.snapshot(tmp_path / "snapshot")
    await journal.commit([Put("b", b"")], WHY)
    assert (tmp_path / "snapshot").stat().st_mode & 0o077 == 0
    newest = snapshot.restore(tmp_path / "snapshot", tmp_path / "restored")
    copy = await LocalJournal.open(tmp_path / "restored", VirtualClock())
    assert [(entry.key, entry.value) for entry in (await copy.range("")).entries] == [("a", b"2")]
    assert await copy.provenance("a") == ((first.mod_revision, WHY),)
    assert copy.revision > newest > journal.revision + snapshot.SKIPPED_REVISIONS // 2, "no revision of the original is used again"
    await copy.close()


async def test_nothing_is_overwritten(tmp_path: Path, journal: LocalJournal) -> None:
    await journal.snapshot(tmp_path / "snapshot")
    with pytest.raises(Locked):
        snapshot.restore(tmp_path / "snapshot", tmp_path / "journal")
    snapshot.restore(tmp_path / "snapshot", tmp_path / "other")
    with pytest.raises(JournalError, match="has a journal already"):
        snapshot.restore(tmp_path / "snapshot", tmp_path / "other")


async def test_a_damaged_or_missing_snapshot_is_refused(tmp_path: Path, journal: LocalJournal) -> None:
    await journal.commit([Put("a", b"needle" * 1000)], WHY)
    await journal.snapshot(tmp_path / "snapshot")
    data = (tmp_path / "snapshot").read_bytes()
    (tmp_path / "snapshot").write_bytes(data.replace(b"needleneedle", b"needleneedlf"))
    with pytest.raises(Corrupt, match="checksum of revision"):
        snapshot.restore(tmp_path / "snapshot", tmp_path / "restored")
    (tmp_path / "snapshot").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(Corrupt):
        snapshot.restore(tmp_path / "snapshot", tmp_path / "restored")
    with pytest.raises(JournalError, match="is not a file"):
        snapshot.restore(tmp_path / "nothing", tmp_path / "restored")
    assert not (tmp_path / "restored" / "journal.db").exists()


async def test_a_newer_snapshot_replaces_an_older_one(tmp_path: Path, journal: LocalJournal) -> None:
    await journal.snapshot(tmp_path / "snapshot")
    await journal.commit([Put("a", b"")], WHY)
    await journal.snapshot(tmp_path / "snapshot")
    snapshot.restore(tmp_path / "snapshot", tmp_path / "restored")
    copy = await LocalJournal.open(tmp_path / "restored", VirtualClock())
    assert await copy.get("a") is not None
    await copy.close()
