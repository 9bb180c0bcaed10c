"""The smaller parts of the agent: what resolves, what holds back, what a Sync says."""

from reconciler import kinds
from reconciler.gitops import identity, load, patience, report, sync, wanted
from reconciler.kit import definitions
from reconciler.model import decode, meta
from reconciler.model.schema import Schemas

CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  versions: [{name: v1}]
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: w}
"""
ONE = identity.Identity("configmaps", "default", "a")


def test_what_a_definition_of_the_folder_brings_waits() -> None:
    file = load.parse("crd.yaml", CRD.encode())
    resolved = wanted.Resolver(kinds.builtin()).resolve([file])
    assert not resolved.problems
    assert [meta.name(document.body) for document in resolved.undefined] == ["w"]
    assert resolved.unsure == {"crd.yaml"}
    alone = wanted.Resolver(kinds.builtin()).resolve([load.parse("w.yaml", CRD.split("---\n")[1].encode())])
    assert [str(problem) for problem in alone.problems] == [
        "w.yaml:2:1: kind: there is no kind Widget in example.com/v1: correct it, or apply its CustomResourceDefinition"
    ]


def test_a_dispute_ends_when_one_side_goes() -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    one, two = load.parse("one.yaml", text), load.parse("two.yaml", text)
    resolver = wanted.Resolver(kinds.builtin())
    both = resolver.resolve([one, two])
    assert both.disputed == {ONE}
    assert len(both.problems) == 2
    alone = resolver.resolve([two])
    assert alone.documents[ONE].path == "two.yaml"
    assert not alone.problems


def test_delays_grow_and_are_forgotten() -> None:
    subject = patience.Patience()
    delays = []
    now = 0.0
    for _ in range(11):
        subject.failed(ONE, now)
        delays.append(subject.next_deadline() - now)
        assert subject.holds(ONE)
        assert not subject.release(subject.next_deadline() - 0.01)
        now = subject.next_deadline()
        assert subject.release(now) == {ONE}
        assert not subject.holds(ONE)
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    subject.forget(ONE)
    subject.failed(ONE, now)
    assert subject.next_deadline() - now == 1


def test_an_apply_and_a_correction_are_free_and_a_fight_is_not() -> None:
    subject = patience.Patience()
    held = []
    for now in range(5):
        subject.wrote(ONE, float(now))
        held.append(subject.holds(ONE))
        subject.release(1e9)
    assert held == [False, False, True, True, True]
    subject.wrote(ONE, 4 + patience.FORGET_SECONDS + 1)
    assert not subject.holds(ONE)


def test_conditions_keep_the_time_at_which_they_turned() -> None:
    problem = load.Problem("a.yaml", 1, 2, "bad", "spec")
    first = report.status(report.Facts(documents=1, changes=["+ x"]), sync.Status(), "t1")
    second = report.status(report.Facts(documents=1, problems=[problem]), first, "t2")
    third = report.status(report.Facts(documents=1, problems=[problem, problem]), second, "t3")
    assert [first.state, second.state] == ["Synced", "Blocked"]
    assert third.conditions[0].last_transition_time == "t2"
    assert third.conditions[1].last_transition_time == "t1"
    assert third.conditions[0].message == "2 problems: a.yaml:1:2: spec: bad"
    assert (third.changes, third.last_change_time) == (("+ x",), "t1")


def test_a_status_is_bounded_and_says_what_it_left_out() -> None:
    problems = [load.Problem("a.yaml", line, 1, "bad") for line in range(1, 251)]
    status = report.status(report.Facts(problems=problems, kept=list("abcde")), sync.Status(), "now")
    assert (len(status.problems), status.more_problems) == (100, 150)
    assert next(one for one in status.conditions if one.type == "Pruned").message == "a; b; c; and 2 more"
    assert status.wire()["moreProblems"] == 150


def test_waiting_and_halting() -> None:
    waiting = report.status(report.Facts(waiting=["the definition of Widget"]), sync.Status(), "now")
    assert (waiting.state, waiting.conditions[0].message) == ("Syncing", "waits for the definition of Widget")
    halted = report.status(report.Facts(halt=report.Halt("SourceMissing", "/x is gone")), sync.Status(), "now")
    assert halted.state == "Stopped"
    assert {one.type: one.reason for one in halted.conditions if one.status == "False"} == {
        "Ready": "SourceMissing",
        "SourceAvailable": "SourceMissing",
    }


def test_the_definition_is_one_that_the_api_would_take() -> None:
    kind = kinds.builtin()[wanted.DEFINITIONS]
    version = kind.hub_version
    schemas = Schemas(definitions.load(), definitions.shapes())
    obj = version.default(decode.decode(schemas.of(version.schema), sync.DEFINITION).obj)
    assert list(kind.validate(kind.prepare(obj, None), None)) == []
    assert (sync.KIND.id, sync.KIND.namespaced) == ("syncs.reconciler.dev", False)
    assert "$ref" not in str(sync.DEFINITION)
