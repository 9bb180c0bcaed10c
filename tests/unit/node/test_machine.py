"""What /proc says, from files that a test wrote and from this very process."""

import os
import pathlib
import time

from reconciler.node import machine


def test_the_whole_machine(tmp_path: pathlib.Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 0 50 1000 20 0 10 0 0 0\ncpu0 1 1 1 1\n")
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 300 kB\nInactive(file): 200 kB\n")
    found = machine.whole(tmp_path)
    assert found.cpu_seconds == 160 / os.sysconf("SC_CLK_TCK")
    assert found.memory_working_set_bytes == 500 * 1024
    assert machine.whole(tmp_path / "absent").cpu_seconds is None


def test_a_process_and_its_children(tmp_path: pathlib.Path) -> None:
    def process(pid: int, ticks: int, children: str) -> None:
        folder = tmp_path / str(pid)
        (folder / "task" / str(pid)).mkdir(parents=True)
        fields = ["S", *["0"] * 10, str(ticks), "0", "0", "0", *["0"] * 6, "2"]
        (folder / "stat").write_text(f"{pid} (a ) name) {' '.join(fields)}")
        (folder / "task" / str(pid) / "children").write_text(children)

    process(7, 30, "8 9 ")
    process(8, 20, "")
    found = machine.tree(7, tmp_path)
    assert found.cpu_seconds == 50 / os.sysconf("SC_CLK_TCK")
    assert found.memory_working_set_bytes == 4 * os.sysconf("SC_PAGE_SIZE")


def test_this_process_uses_time_and_memory() -> None:
    before, begun = machine.tree(os.getpid()), time.process_time()
    while time.process_time() < begun + 0.05:
        sum(range(1000))
    after = machine.tree(os.getpid())
    assert (after.cpu_seconds or 0) > (before.cpu_seconds or 0)
    assert (after.memory_working_set_bytes or 0) > 1 << 20


def test_traffic_is_that_of_other_networks_only(tmp_path: pathlib.Path) -> None:
    assert machine.traffic(os.getpid()) == ()
    for pid in ("self", "7"):
        (tmp_path / pid / "ns").mkdir(parents=True)
        (tmp_path / pid / "ns" / "net").write_text("")
    (tmp_path / "7" / "net").mkdir()
    head = "Inter-|   Receive | Transmit\n face |bytes packets ...\n"
    (tmp_path / "7" / "net" / "dev").write_text(
        f"{head}    lo: 9 9 0 0 0 0 0 0 9 9 0 0 0 0 0 0\n  eth0: 10 2 0 1 0 0 0 0 20 4 0 3 0 0 0 0\n"
    )
    assert machine.traffic(7, tmp_path) == (machine.Traffic("eth0", 10, 2, 1, 20, 4, 3),)


def test_a_file_system(tmp_path: pathlib.Path) -> None:
    found = machine.filesystem(tmp_path)
    assert found["capacity_bytes"] >= found["used_bytes"] > 0
    assert machine.filesystem(tmp_path / "absent") == {}
