"""Readiness for containers that are about to enter their groups."""

from pathlib import Path

from reconciler.node.runtimes import cgroups


def test_to_be_roused_moves_nobody() -> None:
    before = Path("/proc/self/cgroup").read_text()
    cgroups.rouse()
    assert Path("/proc/self/cgroup").read_text() == before
