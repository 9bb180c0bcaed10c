"""Pods on a real node: from the API to a process and back."""

import pathlib

from tests.e2e.node.world import pod, running


async def test_runs_logs_and_completes(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path) as world:
        await world.create(pod("one", "sh", "-c", "echo hello; exit 0", spec={"restartPolicy": "Never"}))
        status = await world.reaches("one", lambda s: s["phase"] == "Succeeded")
        state = status["containerStatuses"][0]["state"]["terminated"]
        assert (state["exitCode"], state["reason"]) == (0, "Completed")
        assert world.log("one") == "hello"
        await world.delete("one")
        await world.is_gone("one")
