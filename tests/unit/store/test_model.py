"""The local journal against a trivial model, with crashes, restarts, compactions and restored snapshots.

A crash is simulated by opening a copy of the files while the journal is still running.
"""

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reconciler.kit.clock import VirtualClock
from reconciler.store import mvcc, snapshot
from reconciler.store.local import LocalJournal
from reconciler.store.types import Batch, Compacted, Conflict, Durability, Entry, Operation, Provenance, Put, Remove, Watch

KEYS = ["a/x/1", "a/x/2", "a/y/1", "b//1"]
VALUES = st.binary(max_size=6)
WINDOW = 8


@dataclass
class Model:
    """What the journal should answer, by brute force."""

    now: dict[str, Entry] = field(default_factory=dict)
    durable: dict[str, Entry] = field(default_factory=dict)
    versions: list[tuple[int, dict[str, Entry], dict[str, Entry]]] = field(default_factory=list)  # revision, all, durable only
    records: dict[int, Provenance] = field(default_factory=dict)
    chains: dict[int, list[tuple[int, Provenance]]] = field(default_factory=dict)  # what was known behind a write when it was made
    spec: dict[str, int] = field(default_factory=dict)
    durable_spec: dict[str, int] = field(default_factory=dict)
    highest: int = 0

    def write(self, entry: Entry, durable: bool, spec_changed: bool, record: Provenance) -> None:
        assert entry.mod_revision > self.highest, "a revision was used twice or went back"
        self.highest = entry.mod_revision
        if entry.value is None:
            durable = entry.key in self.durable
            self.now = {key: found for key, found in self.now.items() if key != entry.key}
            self.durable = {key: found for key, found in self.durable.items() if key != entry.key}
        else:
            if entry.key not in self.now or spec_changed:
                self.spec[entry.key] = entry.mod_revision
            self.now = {**self.now, entry.key: entry}
            if durable:
                self.durable = {**self.durable, entry.key: entry}
                self.durable_spec[entry.key] = self.spec[entry.key]
        self.records[entry.mod_revision] = record
        self.versions.append((entry.mod_revision, self.now, self.durable))

    def at(self, revision: int, durable_only: bool) -> dict[str, Entry]:
        state: dict[str, Entry] = {}
        for made, everything, durable in self.versions:
            if made <= revision:
                state = durable if durable_only else everything
        return state

    def crash(self) -> None:
        self.now = self.durable
        self.spec = {key: self.durable_spec[key] for key in self.durable}
        self.versions = [(made, durable, durable) for made, _, durable in self.versions]


class Journals(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="journal-model-"))
        self.window, mvcc.WINDOW_CHANGES = mvcc.WINDOW_CHANGES, WINDOW
        self.copies = 0
        self.model = Model()
        self.runner = asyncio.Runner()
        self.watching: tuple[Watch, int, list[Batch]] | None = None
        self.open(self.root / "first")

    def open(self, folder: Path) -> None:
        self.folder = folder
        self.journal = self.runner.run(LocalJournal.open(folder, VirtualClock()))
        assert self.journal.revision >= self.model.highest
        self.model.highest = max(self.model.highest, self.journal.revision)
        self.rewatch()

    def rewatch(self) -> None:
        self.watching = (self.journal.watch("a/", self.journal.revision), self.journal.revision, [])

    @rule(
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True),
        value=VALUES,
        durability=st.sampled_from(Durability),
        remove=st.booleans(),
        expect=st.sampled_from(["none", "right", "wrong"]),
        spec_changed=st.booleans(),
        cause=st.integers(0, 5),
    )
    def commit(
        self, keys: list[str], value: bytes, durability: Durability, remove: bool, expect: str, spec_changed: bool, cause: int
    ) -> None:
        actual = {key: self.model.now[key].mod_revision if key in self.model.now else 0 for key in keys}
        expected = {key: None if expect == "none" else actual[key] + (expect == "wrong") for key in keys}
        operations: list[Operation] = [
            Remove(key, expected[key])
            if remove
            else Put(key, value, expected[key], durability=durability, spec_changed=spec_changed, obj={"of": value})
            for key in keys
        ]
        recent = sorted(self.model.records)[-cause:] if cause else [0]
        record = Provenance("actor", f"why {len(self.model.records)}", recent[0] if recent else 0)
        known = [(made, found) for made, _, found in self.runner.run(self.journal.chain(record.cause))]
        if expect == "wrong":
            with pytest.raises(Conflict) as caught:
                self.runner.run(self.journal.commit(operations, record))
            assert caught.value.actual == self.model.now.get(caught.value.key)
            return
        entries = self.runner.run(self.journal.commit(operations, record))
        written = [op.key for op in operations if isinstance(op, Put) or op.key in self.model.now]
        assert [entry.key for entry in entries] == written
        for entry in entries:
            old = self.model.now.get(entry.key)
            if entry.value is not None:
                assert entry.create_revision == (old.create_revision if old else entry.mod_revision)
                assert entry.version == (old.version + 1 if old else 1)
                assert entry.obj == {"of": entry.value}
            self.model.write(entry, durability is Durability.DURABLE, spec_changed, record)
            self.model.chains[entry.mod_revision] = [(entry.mod_revision, record), *known]

    @rule(count=st.integers(2, 12), key=st.sampled_from(KEYS), data=st.data())
    def race(self, count: int, key: str, data: st.DataObject) -> None:
        """Writers that all expect the same: the durable ones overlap, and exactly one wins."""
        revision = self.model.now[key].mod_revision if key in self.model.now else 0
        durabilities = [data.draw(st.sampled_from(Durability)) for _ in range(count)]
        record = Provenance("racer")

        async def run() -> list[tuple[Entry, ...] | BaseException]:
            puts = [Put(key, b"%d" % number, revision, durability=durability) for number, durability in enumerate(durabilities)]
            return await asyncio.gather(*(self.journal.commit([put], record) for put in puts), return_exceptions=True)

        results = self.runner.run(run())
        won = [(number, result[0]) for number, result in enumerate(results) if isinstance(result, tuple)]
        assert len(won) == 1
        assert all(isinstance(result, Conflict) and result.actual == won[0][1] for result in results if not isinstance(result, tuple))
        self.model.write(won[0][1], durabilities[won[0][0]] is Durability.DURABLE, True, record)

    @precondition(lambda self: self.model.versions)
    @rule(data=st.data(), prefix=st.sampled_from(["", "a/", "a/x/", "b"]), start=st.sampled_from(["", "a/x/2"]), limit=st.integers(0, 3))
    def read_the_past(self, data: st.DataObject, prefix: str, start: str, limit: int) -> None:
        revision = data.draw(st.sampled_from([made for made, _, _ in self.model.versions]))
        if revision < self.journal.oldest_revision:
            with pytest.raises(Compacted) as caught:
                self.runner.run(self.journal.range(prefix, revision=revision))
            assert caught.value.oldest == self.journal.oldest_revision
            return
        then = self.model.at(revision, durable_only=revision < self.journal._state.floor)
        expected = [then[key] for key in sorted(then) if key.startswith(prefix) and key >= start]
        found = self.runner.run(self.journal.range(prefix, start=start, revision=revision, limit=limit))
        assert list(found.entries) == (expected[:limit] if limit else expected)
        assert found.count == len(expected)
        for key in KEYS:
            assert self.runner.run(self.journal.get(key, revision)) == then.get(key)

    @precondition(lambda self: self.model.versions)
    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        revision = data.draw(st.sampled_from([made for made, _, _ in self.model.versions]))
        self.runner.run(self.journal.compact(revision))
        assert self.journal.oldest_revision >= revision
        self.live_objects_remember_who_made_them()

    @rule()
    def watched(self) -> None:
        """The watch has told exactly what happened under its prefix."""
        assert self.watching is not None
        watch, since, _ = self.watching
        if self.journal.revision > since:
            self.runner.run(self._drain(watch, since))
        watch.close()
        self.rewatch()

    async def _drain(self, watch: Watch, since: int) -> None:
        self.journal._hub.bookmark(self.journal.revision)
        seen: list[Entry] = []
        async for batch in watch:
            seen += [change.entry for change in batch.changes]
            if batch.revision >= self.journal.revision or (not batch.changes):
                break
            self.journal._hub.bookmark(self.journal.revision)
        state = {key: entry for key, entry in self.model.at(since, durable_only=False).items() if key.startswith("a/")}
        assert [entry.mod_revision for entry in seen] == sorted({entry.mod_revision for entry in seen})
        for entry in seen:
            if entry.value is None:
                state.pop(entry.key)
            else:
                state[entry.key] = entry
        assert state == {key: entry for key, entry in self.model.now.items() if key.startswith("a/")}

    @rule()
    def crash(self) -> None:
        self.copies += 1
        copy = self.root / f"copy-{self.copies}"
        shutil.copytree(self.folder, copy)
        self.runner.run(self.journal.close())
        self.model.crash()
        self.open(copy)
        self.live_objects_remember_who_made_them()

    @rule()
    def restart(self) -> None:
        self.runner.run(self.journal.close())
        self.model.crash()
        self.open(self.folder)

    @rule()
    def restore_a_snapshot(self) -> None:
        self.copies += 1
        self.runner.run(self.journal.snapshot(self.root / f"snapshot-{self.copies}"))
        self.runner.run(self.journal.close())
        snapshot.restore(self.root / f"snapshot-{self.copies}", self.root / f"copy-{self.copies}")
        self.model.crash()
        self.open(self.root / f"copy-{self.copies}")
        self.live_objects_remember_who_made_them()

    @invariant()
    def the_present_is_right(self) -> None:
        if not hasattr(self, "journal"):
            return
        found = self.runner.run(self.journal.range(""))
        assert {entry.key: entry for entry in found.entries} == self.model.now
        assert found.revision == self.journal.revision

    @rule()
    def live_objects_remember_who_made_them(self) -> None:
        for key, entry in self.model.now.items():
            made = sorted({entry.create_revision, self.model.spec[key]})
            assert self.runner.run(self.journal.provenance(key)) == tuple((made_at, self.model.records[made_at]) for made_at in made)
            for revision in made:
                chain = self.runner.run(self.journal.chain(revision))
                assert [(made_at, record) for made_at, _, record in chain] == self.model.chains.get(revision, [(revision, chain[0][2])])

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.runner.run(self.journal.close())
            self.runner.close()
            mvcc.WINDOW_CHANGES = self.window
            shutil.rmtree(self.root)


TestJournals = Journals.TestCase
TestJournals.settings = settings(
    max_examples=int(os.environ.get("JOURNAL_MODEL_EXAMPLES", "15")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
