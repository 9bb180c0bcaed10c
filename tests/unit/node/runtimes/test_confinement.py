"""Capabilities and control groups: what confines a container."""

import os
import pathlib

from reconciler.node.runtimes import capabilities, cgroups, types


def test_capabilities() -> None:
    assert capabilities.mask(capabilities.effective((), ())) == 0xA80425FB
    assert capabilities.effective(("NET_ADMIN",), ("ALL",)) == {"NET_ADMIN"}
    assert capabilities.effective(("CAP_SYS_TIME",), ("KILL",)) == capabilities.DEFAULT - {"KILL"} | {"SYS_TIME"}
    assert capabilities.effective(("ALL",), ("MKNOD",)) == frozenset(capabilities.NAMES) - {"MKNOD"}
    assert capabilities.effective((), (), privileged=True) == frozenset(capabilities.NAMES)


RESOURCES = types.Resources(cpu_shares=1024, cpu_quota_us=50_000, memory_limit_bytes=1 << 20)


def slice_of(root: pathlib.Path, controllers: str, procs: str = "") -> pathlib.Path:
    """A group of version 2 with the keeper's below it."""
    made = root / "system.slice"
    (made / "keeper.service").mkdir(parents=True)
    for name, text in (("cgroup.controllers", controllers), ("cgroup.procs", procs), ("cgroup.type", "domain\n")):
        (made / name).write_text(text)
    return made


def test_groups_of_version_2(tmp_path: pathlib.Path) -> None:
    base = slice_of(tmp_path, "cpuset cpu io memory pids\n")
    found = cgroups.detect("0::/system.slice/keeper.service\n", 100, str(tmp_path))
    assert found.bases == {"": str(base)}
    *parents, own = found.launch("u", "c", 1, RESOURCES)
    assert [group["dir"] for group in parents] == [f"{base}{path}" for path in ("", "/reconciler", "/reconciler/pod-u")]
    assert all(["cgroup.subtree_control", "+cpu +memory +pids +io"] in group["files"] and not group["enter"] for group in parents)
    assert [group["dir"] for group in parents if ["pids.max", "100"] in group["files"]] == [f"{base}/reconciler/pod-u"]
    assert own["dir"] == f"{base}/reconciler/pod-u/c-1"
    assert ["cpu.weight", "39"] in own["files"]
    assert ["cpu.max", "50000 100000"] in own["files"]
    assert ["memory.max", str(1 << 20)] in own["files"]


def test_a_controller_that_is_not_there_costs_no_other(tmp_path: pathlib.Path) -> None:
    slice_of(tmp_path, "memory pids\n")
    *_, own = cgroups.detect("0::/system.slice/keeper.service\n", root=str(tmp_path)).launch("u", "c", 1, RESOURCES)
    assert [file for file, _ in own["files"]] == ["memory.max", "memory.oom.group"]


def test_no_groups_below_one_with_processes(tmp_path: pathlib.Path) -> None:
    slice_of(tmp_path, "cpu memory pids\n", "1\n")
    assert cgroups.detect("0::/system.slice/keeper.service\n", root=str(tmp_path)).bases == {}


def test_groups_of_version_1(tmp_path: pathlib.Path) -> None:
    for controller in ("cpu", "memory", "pids"):
        (tmp_path / controller / "own").mkdir(parents=True)
    found = cgroups.detect("2:cpu:/own\n1:memory:/own\n3:pids:/own\n4:freezer:/own\n", 100, str(tmp_path))
    assert set(found.bases) == {"cpu", "memory", "pids"}
    files = {group["dir"]: group["files"] for group in found.launch("u", "c", 0, RESOURCES)}
    assert files[str(tmp_path / "memory/own/reconciler/pod-u/c-0")] == [["memory.limit_in_bytes", str(1 << 20)]]
    assert files[str(tmp_path / "pids/own/reconciler/pod-u")] == [["pids.max", "100"]]


def test_no_groups_where_nothing_may_be_written(tmp_path: pathlib.Path) -> None:
    assert cgroups.detect("0::/\n", root=str(tmp_path)).bases == {}


def test_usage(tmp_path: pathlib.Path) -> None:
    texts = {
        "cpu.stat": "usage_usec 1500000\nnr_periods 4\nnr_throttled 1\n",
        "memory.stat": "anon 100\nfile 50\ninactive_file 20\n",
        "memory.current": "170\n",
        "io.stat": "8:0 rbytes=10 wbytes=20 rios=1\n8:1 rbytes=1 wbytes=2\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    found = cgroups.usage({"": os.fspath(tmp_path)})
    assert (found.cpu_seconds, found.cfs_throttled_periods, found.memory_working_set_bytes) == (1.5, 1, 150)
    assert (found.read_bytes, found.write_bytes, found.memory_swap_bytes) == (11, 22, None)
