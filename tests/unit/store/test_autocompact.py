"""Policy of forgetting."""

from reconciler.kit.clock import VirtualClock
from reconciler.store import autocompact
from reconciler.store.types import Full

POLICY = autocompact.Policy(keep_seconds=100.0, keep_bytes=1000, worth_bytes=10, check_seconds=10.0)


def test_nothing_is_due_while_history_is_young_and_small() -> None:
    samples = [(float(t), t + 1) for t in range(0, 100, 10)]
    assert autocompact.due(samples, 90.0, 500, POLICY) == 0


def test_history_older_than_the_limit_goes() -> None:
    samples = [(float(t), t + 1) for t in range(0, 160, 10)]
    assert autocompact.due(samples, 150.0, 500, POLICY) == 51


def test_little_history_is_not_worth_a_write() -> None:
    samples = [(float(t), t + 1) for t in range(0, 1000, 10)]
    assert autocompact.due(samples, 1000.0, 9, POLICY) == 0


def test_too_much_history_loses_its_older_half() -> None:
    samples = [(0.0, 1), (10.0, 11), (20.0, 21), (30.0, 31)]
    assert autocompact.due(samples, 30.0, 1001, POLICY) == 11


def test_the_last_two_samples_stay_whatever_their_age() -> None:
    samples = [(0.0, 1), (10.0, 11), (900.0, 21)]
    assert autocompact.due(samples, 1000.0, 5000, POLICY) == 1


class Journal:
    def __init__(self) -> None:
        self.revision = 1
        self.history_bytes = 0
        self.compacted: list[int] = []
        self.full = False

    async def compact(self, revision: int) -> None:
        if self.full:
            raise Full("no space")
        self.compacted.append(revision)


async def test_checks_follow_the_policy_and_survive_a_full_disk() -> None:
    clock, journal = VirtualClock(), Journal()
    subject = autocompact.Autocompact(journal, clock, POLICY)

    async def checks(count: int) -> None:
        for _ in range(count):
            journal.revision += 1
            clock.advance(POLICY.check_seconds)
            await subject.check()

    await checks(20)
    assert journal.compacted == []
    journal.history_bytes = 500
    journal.full = True
    await checks(1)
    assert journal.compacted == []
    journal.full = False
    await checks(2)
    assert journal.compacted == [13, 14]
