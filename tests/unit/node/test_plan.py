"""What a node decides for a pod, state by state."""

from typing import Any

import pytest

from reconciler.model import meta, plan
from reconciler.node import observed
from reconciler.node import plan as decisions
from tests.unit.node.pods import NODE, NOW, container, pod, seen


def planned(obj: meta.Obj, obs: observed.Pod, now: float = NOW, version: str = "v") -> plan.Plan:
    return decisions.plan_pod(obj, obs, NODE, version, now)


def acts(wanted: plan.Plan) -> list[str]:
    """The actions in words: what, and on which container."""
    words = []
    for action in wanted.actions:
        name = getattr(action, "container", {}).get("name", "") if hasattr(action, "container") else getattr(action, "name", "")
        attempt = getattr(action, "attempt", "")
        words.append(" ".join(filter(None, [type(action).__name__, name, str(attempt)])))
    return words


def test_a_new_pod_gets_volumes_and_a_sandbox() -> None:
    assert acts(planned(pod(), observed.NOTHING)) == ["PrepareVolumes", "StartSandbox"]


def test_then_its_containers_together() -> None:
    two = pod([{"name": "a"}, {"name": "b"}])
    assert acts(planned(two, seen())) == ["StartContainer a 0", "StartContainer b 0"]


def test_nothing_but_status_while_it_runs() -> None:
    running = planned(pod(), seen(container()))
    assert acts(running) == ["Patch web"]
    reported = {**pod(), "status": {**running.actions[0].patch["status"]}}  # type: ignore[attr-defined]
    assert planned(reported, seen(container())) == plan.NOTHING


def test_contents_follow_their_sources() -> None:
    assert "PrepareVolumes" in acts(planned(pod(), seen(container()), version="w"))


def test_a_failure_waits_unless_what_it_depends_on_changed() -> None:
    failure = observed.Failure("FailedMount", 'configmap "c" not found', NOW - 1, NOW + 9, version="v")
    waiting = planned(pod(), observed.Pod(failure=failure))
    assert "PrepareVolumes" not in acts(waiting)
    assert waiting.again_at == NOW + 9
    assert waiting.waiting_on[0].on == 'FailedMount: configmap "c" not found'
    assert "PrepareVolumes" in acts(planned(pod(), observed.Pod(failure=failure), version="w"))
    assert "PrepareVolumes" in acts(planned(pod(), observed.Pod(failure=failure), now=NOW + 9))


def test_init_containers_one_after_the_other() -> None:
    init = [{"name": "one"}, {"name": "side", "restartPolicy": "Always"}, {"name": "two"}]
    obj = pod(initContainers=init)
    assert acts(planned(obj, seen())) == ["Patch web", "StartContainer one 0"]
    done = container("one", "exited")
    assert acts(planned(obj, seen(done)))[1:] == ["StartContainer side 0"]
    side = container("side")
    assert "StartContainer two 0" in acts(planned(obj, seen(done, side)))
    unready = seen(done, side, probes={("side", 0): observed.Probed(started=False)})
    assert not any(act.startswith("Start") for act in acts(planned(obj, unready)))
    assert "StartContainer main 0" in acts(planned(obj, seen(done, side, container("two", "exited"))))


def test_a_failed_init_container_is_tried_again_or_ends_the_pod() -> None:
    failed = container("one", "exited", exit_code=1)
    assert "StartContainer one 1" in acts(planned(pod(initContainers=[{"name": "one"}]), seen(failed)))
    never = planned(pod(initContainers=[{"name": "one"}], restartPolicy="Never"), seen(failed))
    assert acts(never) == ["Patch web", "StopSandbox"]
    assert never.actions[0].patch["status"]["phase"] == "Failed"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("policy", "code", "restarts"), [("Always", 0, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)]
)
def test_restart_policies(policy: str, code: int, restarts: bool) -> None:
    wanted = planned(pod(restartPolicy=policy), seen(container(state="exited", exit_code=code)))
    assert ("StartContainer main 1" in acts(wanted)) is restarts
    assert ("StopSandbox" in acts(wanted)) is not restarts


def test_the_first_restart_is_immediate_and_later_ones_back_off() -> None:
    ended = container(state="exited", exit_code=1)
    first = next(action for action in planned(pod(), seen(ended)).actions if isinstance(action, decisions.StartContainer))
    assert first.back_off == observed.BackOff(10.0, NOW)
    again = container(state="exited", attempt=1, exit_code=1, finished_at=NOW + 1)
    resting = planned(pod(), seen(ended, again, back_offs={"main": first.back_off}), now=NOW + 2)
    assert resting.again_at == NOW + 11
    assert resting.waiting_on[0].on == "container main to rest before its restart"
    third = planned(pod(), seen(ended, again, back_offs={"main": first.back_off}), now=NOW + 11)
    started = next(action for action in third.actions if isinstance(action, decisions.StartContainer))
    assert started.back_off == observed.BackOff(20.0, NOW + 11)
    assert "RemoveContainer main 0" in acts(third)
    long_ago = observed.BackOff(300.0, NOW - 4000)
    fresh = planned(pod(), seen(container(state="exited", exit_code=1), back_offs={"main": long_ago}))
    assert next(a for a in fresh.actions if isinstance(a, decisions.StartContainer)).back_off == observed.BackOff(10.0, NOW)


def test_liveness_and_post_start_failures_stop_the_container() -> None:
    obj = pod([{"name": "main", "livenessProbe": {"terminationGracePeriodSeconds": 5}}])
    dead = {("main", 0): observed.Probed(alive=False, why="liveness")}
    stop = next(a for a in planned(obj, seen(container(), probes=dead)).actions if isinstance(a, decisions.StopContainer))
    assert (stop.deadline, stop.message) == (NOW + 5, "Container main failed liveness probe, will be restarted")
    stopping = seen(container(), probes=dead, stops={("main", 0): observed.Stop(NOW + 5)})
    assert not any(isinstance(a, decisions.StopContainer) for a in planned(obj, stopping).actions)
    hooked = seen(container(), hooks={("main", 0): observed.Hook("failed", "no")})
    assert any(isinstance(a, decisions.StopContainer) for a in planned(pod(), hooked).actions)


def deleted(grace: int = 30, **more: Any) -> dict[str, Any]:
    obj = pod(**more)
    return {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": "2023-11-14T22:13:50Z", "deletionGracePeriodSeconds": grace}}


def test_deletion_stops_reports_and_lets_go() -> None:
    stop = next(a for a in planned(deleted(7), seen(container())).actions if isinstance(a, decisions.StopContainer))
    assert stop.deadline == NOW + 7
    ended = planned(deleted(), seen(container(state="exited", exit_code=143)))
    assert acts(ended) == ["Patch web", "RemovePod", "Delete web"]
    assert [len(group) for group in ended.groups] == [1, 1, 1]
    assert ended.actions[-1].grace_seconds == 0  # type: ignore[attr-defined]


def test_a_shorter_grace_hurries() -> None:
    begun = seen(container(), stops={("main", 0): observed.Stop(NOW + 25)})
    assert not any(isinstance(a, decisions.StopContainer) for a in planned(deleted(30), begun).actions)
    hurried = next(a for a in planned(deleted(1), begun).actions if isinstance(a, decisions.StopContainer))
    assert hurried.deadline == NOW + 1


def test_sidecars_go_last_and_in_reverse() -> None:
    init = [{"name": "s1", "restartPolicy": "Always"}, {"name": "s2", "restartPolicy": "Always"}]
    alive = [container("s1"), container("s2"), container()]
    stops = [a for a in planned(deleted(initContainers=init), seen(*alive)).actions if isinstance(a, decisions.StopContainer)]
    assert [a.container["name"] for a in stops] == ["main"]
    stops = [a for a in planned(deleted(initContainers=init), seen(*alive[:2])).actions if isinstance(a, decisions.StopContainer)]
    assert [a.container["name"] for a in stops] == ["s2"]


def test_the_active_deadline() -> None:
    obj = pod(activeDeadlineSeconds=10)
    obj["status"] = {"phase": "Running", "startTime": "2023-11-14T22:13:15Z"}  # five seconds before NOW
    assert planned(obj, seen(container())).again_at == NOW + 5
    over = planned(obj, seen(container()), now=NOW + 5)
    assert any(isinstance(a, decisions.StopContainer) for a in over.actions)
    done = planned(obj, seen(container(state="exited", exit_code=137)), now=NOW + 6)
    assert done.actions[0].patch["status"]["reason"] == "DeadlineExceeded"  # type: ignore[attr-defined]


def test_an_evicted_pod_ends_within_what_it_is_given_and_leaves_nothing() -> None:
    obj = pod(terminationGracePeriodSeconds=30)
    doom = observed.Doom(reason="Evicted", message="why", grace_seconds=1.0, is_disruption=True)
    ending = planned(obj, seen(container(), doom=doom))
    assert [a.deadline for a in ending.actions if isinstance(a, decisions.StopContainer)] == [NOW + 1]
    assert ending.actions[0].patch["status"]["phase"] != "Failed"  # type: ignore[attr-defined]
    ended = planned(obj, seen(container(state="exited", exit_code=137), doom=doom))
    assert acts(ended) == ["Patch web", "RemovePod"]
    status = ended.actions[0].patch["status"]  # type: ignore[attr-defined]
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Evicted", "why")
    target = status["conditions"][0]
    assert (target["type"], target["status"], target["reason"]) == ("DisruptionTarget", "True", "TerminationByKubelet")
    told = {**obj, "status": status}
    assert acts(planned(told, seen(container(state="exited", exit_code=137)))) == ["RemovePod"], "also after a restart of the daemon"
    assert planned(told, observed.NOTHING) == plan.NOTHING


def test_what_a_pod_asks_for_to_end_in_is_never_made_longer() -> None:
    doom = observed.Doom(reason="Evicted", message="why", grace_seconds=60.0)
    ending = planned(pod(terminationGracePeriodSeconds=5), seen(container(), doom=doom))
    assert [a.deadline for a in ending.actions if isinstance(a, decisions.StopContainer)] == [NOW + 5]


def test_a_lost_sandbox_is_replaced() -> None:
    lost = seen(container(state="unknown", exit_code=137), ready=False)
    assert "StartSandbox" in acts(planned(pod(), lost))
    assert "StopSandbox" not in acts(planned(pod(restartPolicy="Never"), lost))


def test_after_a_reboot_attempts_go_on() -> None:
    obj = pod()
    known = {"name": "main", "restartCount": 3, "containerID": "process://x", "state": {"running": {"startedAt": "2023-11-14T22:00:00Z"}}}
    obj["status"] = {"phase": "Running", "containerStatuses": [known]}
    assert "StartContainer main 4" in acts(planned(obj, seen()))
    never = pod(restartPolicy="Never")
    never["status"] = obj["status"]
    failed = planned(never, observed.NOTHING)
    assert failed.actions[0].patch["status"]["phase"] == "Failed"  # type: ignore[attr-defined]


def test_sandboxes_without_their_pod_are_removed() -> None:
    assert [a.uid for a in decisions.plan_absent(["u1", "u2"], pod()) if isinstance(a, decisions.RemovePod)] == ["u2"]
    assert len(decisions.plan_absent(["u1", "u2"], None)) == 2
