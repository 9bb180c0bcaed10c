"""The local journal put together: opening, reading, leases, full and broken disks."""

import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from reconciler.kit.clock import VirtualClock
from reconciler.metrics import registry
from reconciler.store import checkpoint, disk, local, mvcc, reserve
from reconciler.store import watch as watching
from reconciler.store.local import LocalJournal
from reconciler.store.types import (
    Compacted,
    Corrupt,
    Durability,
    FsyncFailed,
    Full,
    JournalError,
    Locked,
    Provenance,
    Put,
    Remove,
    key_of,
)

WHY = Provenance("test", "because")
VOLATILE = Durability.VOLATILE


async def put(journal: LocalJournal, key: str, value: bytes = b"", **more: Any) -> int:
    (entry,) = await journal.commit([Put(key, value, **more)], WHY)
    return entry.mod_revision


async def relieved(journal: LocalJournal, clock: VirtualClock) -> None:
    """Let a full journal look for space until it found some."""
    for _ in range(100):
        clock.advance(local.RESTOCK_SECONDS)
        await journal._writer.call(lambda connection: None)
        await turns()
        if not journal.full:
            return
    raise AssertionError("the journal stays full")


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_restart_brings_back_the_durable_and_starts_above_everything(tmp_path: Path, clock: VirtualClock) -> None:
    journal = await LocalJournal.open(tmp_path, clock)
    await put(journal, "d", b"1")
    last = await put(journal, "v", b"2", durability=VOLATILE)
    await journal.close()
    journal = await LocalJournal.open(tmp_path, clock)
    assert [entry.key for entry in (await journal.range("")).entries] == ["d"]
    assert journal.revision > last
    with pytest.raises(Compacted):
        journal.watch("", last)
    assert journal.revision < last + 10, "a clean stop gives unused revisions back"
    await journal.close()


async def test_a_crash_starts_above_the_reserved_block(tmp_path: Path, clock: VirtualClock) -> None:
    journal = await LocalJournal.open(tmp_path / "a", clock)
    for _ in range(50):
        last = await put(journal, "v", b"", durability=VOLATILE)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    await journal.close()
    journal = await LocalJournal.open(tmp_path / "b", clock)
    assert journal.revision > last
    assert await put(journal, "x") > last
    await journal.close()


async def test_the_second_opener_is_refused_and_the_first_goes_on(tmp_path: Path, journal: LocalJournal, clock: VirtualClock) -> None:
    with pytest.raises(Locked, match="in use by process"):
        await LocalJournal.open(tmp_path / "journal", clock)
    await put(journal, "a")


async def test_damage_is_reported_and_the_lock_given_back(tmp_path: Path, clock: VirtualClock) -> None:
    journal = await LocalJournal.open(tmp_path, clock)
    await put(journal, "a", b"needle" * 1000)
    await journal.close()
    path = tmp_path / disk.FILE
    good = path.read_bytes()
    path.write_bytes(good.replace(b"needleneedle", b"needleNeedle"))
    with pytest.raises(Corrupt, match="restore a good snapshot"):
        await LocalJournal.open(tmp_path, clock)
    path.write_bytes(good)
    journal = await LocalJournal.open(tmp_path, clock)
    await journal.close()


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, clock: VirtualClock) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="make it writable or choose another"):
        await LocalJournal.open(tmp_path / "file" / "journal", clock)


async def test_an_older_past_comes_from_disk(journal: LocalJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mvcc, "WINDOW_CHANGES", 4)
    revisions = [await put(journal, "a", b"%d" % number) for number in range(10)]
    await journal.commit([Remove("a")], WHY)
    assert revisions[0] < journal._state.floor
    for number, revision in enumerate(revisions):
        entry = await journal.get("a", revision)
        assert entry is not None
        assert entry.value == b"%d" % number
        found = await journal.range("", revision=revision)
        assert [entry.value for entry in found.entries] == [b"%d" % number]
    with pytest.raises(Compacted) as caught:
        journal.watch("", revisions[0])
    journal.watch("", caught.value.oldest).close()


async def test_objects_are_handed_on_until_a_restart(tmp_path: Path, clock: VirtualClock) -> None:
    journal = await LocalJournal.open(tmp_path, clock)
    obj = {"kind": "Pod"}
    await put(journal, "a", b"{}", obj=obj)
    entry = await journal.get("a")
    assert entry is not None
    assert entry.obj is obj
    await journal.close()
    journal = await LocalJournal.open(tmp_path, clock)
    entry = await journal.get("a")
    assert entry is not None
    assert entry.obj is None
    assert entry.value == b"{}"
    await journal.close()


async def test_a_lease_removes_its_keys(journal: LocalJournal, clock: VirtualClock) -> None:
    lease = await journal.grant(10.0)
    for number in range(200):
        await put(journal, f"k{number}", lease=lease)
    await put(journal, "other")
    clock.advance(9.0)
    await journal.keep_alive(lease)
    clock.advance(9.0)
    await turns()
    assert (await journal.range("")).count == 201
    watch = journal.watch("", journal.revision)
    clock.advance(1.5)
    removed = 0
    while removed < 200:
        removed += len((await anext(watch)).changes)
    assert [entry.key for entry in (await journal.range("")).entries] == ["other"]
    with pytest.raises(KeyError):
        await journal.keep_alive(lease)
    with pytest.raises(KeyError):
        await put(journal, "late", lease=lease)


async def test_a_write_in_flight_goes_with_its_revoked_lease(journal: LocalJournal) -> None:
    lease = await journal.grant(10.0)
    await asyncio.gather(put(journal, "a", lease=lease), journal.revoke(lease))
    assert await journal.get("a") is None
    with pytest.raises(KeyError):
        await journal.revoke(lease)


async def test_leases_start_anew_after_a_restart(tmp_path: Path, clock: VirtualClock) -> None:
    journal = await LocalJournal.open(tmp_path, clock)
    lease = await journal.grant(10.0)
    empty = await journal.grant(10.0)
    assert lease != empty
    await put(journal, "a", lease=lease)
    clock.advance(9.0)
    await journal.close()
    journal = await LocalJournal.open(tmp_path, clock)
    watch = journal.watch("", journal.revision)
    clock.advance(9.0)
    await turns()
    assert await journal.get("a") is not None
    await journal.keep_alive(lease)
    with pytest.raises(KeyError):
        await journal.keep_alive(empty)
    clock.advance(10.5)
    assert (await anext(watch)).changes[0].entry.value is None
    assert await journal.grant(10.0) > empty
    await journal.close()


async def test_idle_watchers_get_bookmarks(journal: LocalJournal, clock: VirtualClock) -> None:
    watch = journal.watch("pods/", journal.revision)
    revision = await put(journal, "nodes//a")
    waiting = asyncio.create_task(anext(watch))
    await turns()
    assert not waiting.done()
    clock.advance(watching.BOOKMARK_SECONDS)
    batch = await waiting
    assert (batch.changes, batch.revision) == ((), revision)


async def test_an_idle_journal_writes_nothing(tmp_path: Path, faults: Any, clock: VirtualClock) -> None:
    journal = await LocalJournal.open(tmp_path, clock)
    await put(journal, "lease", durability=VOLATILE)
    before = faults.syncs
    for _ in range(100):
        clock.advance(60.0)
        await put(journal, "lease", durability=VOLATILE)
    assert faults.syncs == before
    await journal.close()


async def test_why_outlives_compaction_and_restarts(tmp_path: Path, clock: VirtualClock) -> None:
    journal = await LocalJournal.open(tmp_path, clock)
    key = key_of("deployments.apps", "default", "web")
    ours = Provenance("gitops/default", "apply", 0, "apps/web.yaml:12 (commit 1a2b3c4)")
    (deployment,) = await journal.commit([Put(key, b"1")], ours)
    measured = Provenance("node/worker", "measured", deployment.mod_revision)
    (measurement,) = await journal.commit([Put("m", b"", durability=VOLATILE)], measured)
    scaled = Provenance("controller/horizontal-pod-autoscaling", "scale up", measurement.mod_revision)
    (pod,) = await journal.commit([Put("pods/default/web-1", b"")], scaled)
    for number in range(20):
        await journal.commit([Put(key, b"%d" % number, spec_changed=False), Put("m", b"", durability=VOLATILE)], WHY)
    await journal.compact(journal.revision)
    for _ in range(2):
        assert await journal.chain(pod.mod_revision) == (
            (pod.mod_revision, "pods/default/web-1", scaled),
            (measurement.mod_revision, "m", measured),
            (deployment.mod_revision, key, ours),
        )
        assert await journal.provenance(key) == ((deployment.mod_revision, ours),)
        assert await journal.provenance("nobody") == ()
        await journal.close()
        journal = await LocalJournal.open(tmp_path, clock)
    await journal.close()


async def test_history_is_measured_and_freed(journal: LocalJournal) -> None:
    for _ in range(10):
        await put(journal, "a", bytes(1000))
    assert journal.history_bytes == 9000
    await journal.compact(journal.revision)
    assert journal.history_bytes == 0


async def test_a_full_quota_refuses_puts_until_compaction_made_room(tmp_path: Path, clock: VirtualClock) -> None:
    journal = await LocalJournal.open(tmp_path, clock, quota_bytes=2 << 20)
    written = 0
    with contextlib.suppress(Full):
        for written in range(1000):
            await put(journal, f"k{written}", bytes(20_000))
    assert 80 < written < 200
    assert (await journal.range("")).count == written
    with pytest.raises(Full, match="only removals and compaction work"):
        await put(journal, "more", bytes(20_000))
    assert journal.full
    await put(journal, "volatile", durability=VOLATILE)
    for number in range(written):
        await journal.commit([Remove(f"k{number}")], WHY)
    await journal.compact(journal.revision)
    await relieved(journal, clock)
    await put(journal, "more", bytes(20_000))
    await journal.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that can really be full."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


async def test_a_full_disk_keeps_reads_removals_and_compaction(small_disk: Path, clock: VirtualClock) -> None:
    folder = small_disk / "journal"
    journal = await LocalJournal.open(folder, clock)
    keys: list[str] = []
    hog = os.open(small_disk / "hog", os.O_CREAT | os.O_RDWR)
    os.posix_fallocate(hog, 0, 20 << 20)

    async def fill(writer: int) -> None:
        for number in range(1000):
            key = f"k{writer}-{number}"
            await put(journal, key, bytes(10_000))
            keys.append(key)

    results = await asyncio.gather(*(fill(writer) for writer in range(8)), return_exceptions=True)
    assert all(isinstance(result, Full) for result in results)
    assert journal.full
    assert {entry.key for entry in (await journal.range("")).entries} == set(keys), "what was acknowledged, and nothing else"
    await put(journal, "volatile", durability=VOLATILE)
    for key in keys[: len(keys) // 2]:
        await journal.commit([Remove(key)], WHY)
    await journal.compact(journal.revision)
    await journal.close()

    journal = await LocalJournal.open(folder, clock)
    assert {entry.key for entry in (await journal.range("")).entries} == set(keys[len(keys) // 2 :])
    os.ftruncate(hog, 0)
    os.close(hog)
    await relieved(journal, clock)
    await put(journal, "more", bytes(10_000))
    await journal.close()


async def test_a_journal_opens_on_a_full_disk(small_disk: Path, clock: VirtualClock) -> None:
    journal = await LocalJournal.open(small_disk / "journal", clock)
    await put(journal, "a", b"1")
    await journal.close()
    with (small_disk / "hog").open("wb", buffering=0) as hog:
        try:
            while True:
                hog.write(bytes(4096))
        except OSError:
            pass
    journal = await LocalJournal.open(small_disk / "journal", clock)
    assert await journal.get("a") is not None
    await journal.commit([Remove("a")], WHY)
    assert await journal.get("a") is None
    await journal.close()


async def test_whatever_is_acknowledged_survives_a_power_failure(
    tmp_path: Path, faults: Any, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "NUDGE_BYTES", 20_000)
    monkeypatch.setattr(checkpoint, "LIMIT_FRAMES", 20)
    journal = await LocalJournal.open(tmp_path / "journal", clock)
    acknowledged: dict[str, bytes] = {}
    images: list[tuple[dict[str, bytes], dict[str, bytes]]] = []

    async def write(writer: int) -> None:
        for number in range(40):
            key, value = f"{writer}/{number % 7}", bytes([number]) * 500
            await put(journal, key, value)
            acknowledged[key] = value
            if number % 8 == writer:
                images.append((dict(faults.synced), dict(acknowledged)))
            if number % 20 == 19:
                await journal.compact(journal.revision)

    await asyncio.gather(*(write(writer) for writer in range(6)))
    await journal.close()
    for number, (files, expected) in enumerate(images):
        folder = tmp_path / f"image-{number}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        journal = await LocalJournal.open(folder, clock)
        found = {entry.key: entry.value or b"" for entry in (await journal.range("")).entries}
        assert found.keys() >= expected.keys()
        assert all(found[key][0] >= value[0] for key, value in expected.items())
        await journal.close()


async def test_a_failed_fsync_ends_the_process_and_acknowledges_nothing(tmp_path: Path, faults: Any, clock: VirtualClock) -> None:
    deaths: list[str] = []
    journal = await LocalJournal.open(tmp_path, clock, die=deaths.append)
    await put(journal, "a")
    watch = journal.watch("", journal.revision)
    assert _gauge("etcd_server_has_leader") == 1
    faults.on_sync = apsw.SQLITE_IOERR_FSYNC
    results = await asyncio.gather(*(put(journal, f"k{number}") for number in range(5)), return_exceptions=True)
    assert all(isinstance(result, FsyncFailed) for result in results)
    assert len(deaths) == 1
    assert (await journal.range("")).count == 1
    with pytest.raises(FsyncFailed):
        await anext(watch)
    with pytest.raises(FsyncFailed):
        await put(journal, "after")
    with pytest.raises(FsyncFailed):
        await journal.grant(1.0)
    assert _gauge("etcd_server_has_leader") == 0
    faults.on_sync = None
    await journal.close()


def test_to_die_is_to_exit_at_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with caplog.at_level(logging.CRITICAL, "reconciler.store.local"):
        local.die("the journal cannot write")
    assert codes == [os.EX_IOERR]
    assert "the journal cannot write" in caplog.text


async def test_closing_ends_watches_and_refuses_writes(tmp_path: Path, clock: VirtualClock) -> None:
    journal = await LocalJournal.open(tmp_path, clock)
    watch = journal.watch("", journal.revision)
    flying = [asyncio.create_task(put(journal, f"k{number}")) for number in range(10)]
    await asyncio.sleep(0)
    await journal.close()
    assert len({await task for task in flying}) == 10
    assert len([batch async for batch in watch]) <= 10
    with pytest.raises(JournalError, match="closed"):
        await put(journal, "late")
    journal = await LocalJournal.open(tmp_path, clock)
    assert (await journal.range("")).count == 10
    await journal.close()


async def test_metrics_have_their_usual_names(journal: LocalJournal) -> None:
    before = _gauge("etcd_disk_wal_fsync_duration_seconds_count")
    await put(journal, "a", bytes(100))
    assert _gauge("etcd_disk_wal_fsync_duration_seconds_count") > before
    assert _gauge("etcd_mvcc_db_total_size_in_bytes") >= _gauge("etcd_mvcc_db_total_size_in_use_in_bytes") > 0
    assert _gauge("etcd_disk_backend_commit_duration_seconds_count") >= 0


def _gauge(name: str) -> float:
    value = registry.of("journal").get_sample_value(name)
    assert value is not None
    return value


async def test_the_reserve_is_on_disk_from_the_start(tmp_path: Path, journal: LocalJournal) -> None:
    assert (tmp_path / "journal" / reserve.FILE).stat().st_size == reserve.BYTES
