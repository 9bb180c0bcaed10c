"""Who is told what: selectors, transitions, triggers."""

from typing import Any

from reconciler import kinds
from reconciler.api import selecting, watch
from reconciler.api.cache import Cache, Item, Step
from tests.unit.api.memory import MemoryJournal

POD = kinds.builtin()["pods"]


def item(revision: int, node: str = "", **labels: str) -> Item:
    obj = {"metadata": {"name": "p", "namespace": "default", "labels": labels}, "spec": {"nodeName": node}, "status": {}}
    return Item(obj, revision, b"")


def step(before: Item | None, after: Item | None) -> Step:
    return Step("pods", "default/p", before, after, 9)


def interest(labels: str = "", fields: str = "", namespace: str | None = None) -> watch.Interest:
    return watch.Interest(kind="pods", namespace=namespace, labels=selecting.labels(labels), fields=selecting.fields(POD, fields))


def told(wanted: watch.Interest, one: Step) -> str:
    event = watch.Watcher(wanted, lambda _: None, lambda: None).event(one)
    return event.type if event is not None else ""


def test_what_begins_or_ceases_to_match_is_added_or_deleted() -> None:
    wanted = interest("app=web")
    assert told(wanted, step(item(1), item(2, app="web"))) == "ADDED"
    assert told(wanted, step(item(1, app="web"), item(2, app="web"))) == "MODIFIED"
    assert told(wanted, step(item(1, app="web"), item(2, app="db"))) == "DELETED"
    assert told(wanted, step(item(1), item(2))) == ""
    assert told(wanted, step(item(1, app="web"), None)) == "DELETED"


def test_a_deleted_match_shows_the_last_state_that_matched() -> None:
    event = watch.Watcher(interest("app=web"), lambda _: None, lambda: None).event(step(item(1, app="web"), item(2)))
    assert event is not None
    assert event.item.obj["metadata"]["labels"] == {"app": "web"}
    assert event.item.revision == 9


def test_watchers_of_one_value_are_found_by_it() -> None:
    watches = watch.Watches(Cache(MemoryJournal()))
    seen: dict[str, list[str]] = {}

    def watcher(name: str, wanted: watch.Interest) -> watch.Watcher:
        made = watch.Watcher(wanted, lambda events: seen.setdefault(name, []).extend(event.type for event in events), lambda: None)
        watches.start_now(made)
        return made

    mine = watcher("mine", interest(fields="spec.nodeName=n1"))
    watcher("other", interest(fields="spec.nodeName=n2"))
    watcher("all", interest())
    watcher("elsewhere", interest(namespace="kube-system"))
    watches._dispatch(9, [step(item(1), item(2, node="n1"))])
    assert seen == {"mine": ["ADDED"], "all": ["MODIFIED"]}
    watches.stop(mine)
    watches._dispatch(9, [step(item(1, node="n1"), item(2, node="n2"))])
    assert seen == {"mine": ["ADDED"], "all": ["MODIFIED", "MODIFIED"], "other": ["ADDED"]}
    assert watches.count == 3


def test_events_of_a_batch_come_in_one_call() -> None:
    watches = watch.Watches(Cache(MemoryJournal()))
    calls: list[Any] = []
    watches.start_now(watch.Watcher(interest(), calls.append, lambda: None))
    watches._dispatch(9, [step(None, item(1)), step(item(1), item(2)), step(item(2), None)])
    assert [[event.type for event in call] for call in calls] == [["ADDED", "MODIFIED", "DELETED"]]


def test_losing_history_ends_every_watcher() -> None:
    watches = watch.Watches(Cache(MemoryJournal()))
    ended: list[str] = []
    watches.start_now(watch.Watcher(interest(), lambda _: None, lambda: ended.append("a")))
    watches._reset()
    assert (ended, watches.count) == (["a"], 0)
