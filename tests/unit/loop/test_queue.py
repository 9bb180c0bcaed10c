from reconciler.kit.clock import VirtualClock
from reconciler.loop.queue import Queue

A, B = ("ns", "a"), ("ns", "b")


def test_a_key_is_queued_once() -> None:
    queue = Queue("test", VirtualClock())
    queue.add(A)
    queue.add(A)
    queue.add(B)
    assert [queue.take(), queue.take(), queue.take()] == [A, B, None]


def test_a_key_added_while_worked_on_comes_again_afterwards() -> None:
    queue = Queue("test", VirtualClock())
    queue.add(A)
    queue.take()
    queue.add(A)
    assert queue.take() is None
    queue.done(A)
    assert queue.take() == A


def test_back_off_doubles_up_to_its_limit() -> None:
    clock = VirtualClock()
    queue = Queue("test", clock)
    delays = [queue.back_off(A) for _ in range(20)]
    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[-1] == 1000.0
    queue.forgive(A)
    assert queue.back_off(A) == 0.005


def test_the_earliest_deadline_counts() -> None:
    clock = VirtualClock()
    queue = Queue("test", clock)
    queue.add_at(A, 5)
    queue.add_at(A, 2)
    queue.add_at(A, 9)
    assert queue.next_deadline() == 2
    clock.advance(3)
    queue.promote()
    assert queue.take() == A
    assert queue.next_deadline() is None


def test_a_cancelled_deadline_does_not_wake() -> None:
    clock = VirtualClock()
    queue = Queue("test", clock)
    queue.add_at(A, 1)
    queue.cancel(A)
    clock.advance(2)
    queue.promote()
    assert queue.take() is None


def test_many_rescheduled_deadlines_do_not_pile_up() -> None:
    queue = Queue("test", VirtualClock())
    for attempt in range(10_000):
        queue.cancel(A)
        queue.add_at(A, 1000 + attempt)
    assert len(queue._heap) < 100
