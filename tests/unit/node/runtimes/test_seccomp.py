"""Seccomp filters, run by an interpreter of the kernel's instructions: the default profile and OCI profiles."""

import base64
import json
import pathlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.node.runtimes import bpf, capabilities, seccomp, syscalls

X86, ARM = bpf.ARCHITECTURES["x86_64"], bpf.ARCHITECTURES["aarch64"]
EPERM, ENOSYS = bpf.ERRNO | bpf.EPERM, bpf.ERRNO | bpf.ENOSYS


def run(program: bytes, number: int, *arguments: int, architecture: int = X86) -> int:
    """What the kernel's interpreter would return for a system call."""
    data = struct.pack("<iIQ6Q", number, architecture, 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6])
    code = [struct.unpack_from("HBBI", program, at) for at in range(0, len(program), 8)]
    counter = accumulator = 0
    while True:
        operation, then, otherwise, value = code[counter]
        counter += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, value)[0]
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x05:
            counter += value
        elif operation == 0x06:
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value}[operation]
            counter += then if holds else otherwise


def default(*more: str, machine: str = "x86_64") -> bytes:
    return base64.b64decode(seccomp.default_program(capabilities.DEFAULT | set(more), machine))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_default_profile(machine: str) -> None:
    program, numbers, architecture = default(machine=machine), syscalls.NUMBERS[machine], bpf.ARCHITECTURES[machine]

    def answer(name: str, *arguments: int) -> int:
        return run(program, numbers[name], *arguments, architecture=architecture)

    allowed = [
        "read",
        "write",
        "openat",
        "execve",
        "futex",
        "mmap",
        "exit_group",
        "ptrace",
        "landlock_create_ruleset",
        "name_to_handle_at",
        "chroot",
    ]
    assert {answer(name) for name in allowed} == {bpf.ALLOW}
    refused = [
        "mount",
        "bpf",
        "unshare",
        "setns",
        "keyctl",
        "io_uring_setup",
        "userfaultfd",
        "reboot",
        "init_module",
        "open_by_handle_at",
        "kexec_load",
    ]
    assert {answer(name) for name in refused} == {EPERM}
    assert answer("clone", 0x11) == bpf.ALLOW
    assert answer("clone", 0x10000000 | 0x11) == EPERM
    assert answer("clone3") == ENOSYS
    assert [answer("socket", family) for family in (1, 2, 38, 39, 40)] == [bpf.ALLOW, bpf.ALLOW, EPERM, bpf.ALLOW, EPERM]
    assert [answer("personality", value) for value in (0, 8, 0x40000, 0xFFFFFFFF)] == [bpf.ALLOW, bpf.ALLOW, EPERM, bpf.ALLOW]
    assert run(program, 423, architecture=architecture) == run(program, 9999, architecture=architecture) == EPERM
    assert run(program, numbers["read"], architecture=0x40000003) == bpf.KILL_PROCESS


def test_capabilities_lift_refusals() -> None:
    admin = default("SYS_ADMIN")
    assert {run(admin, syscalls.NUMBERS["x86_64"][name], 0x10000000) for name in ("mount", "clone", "clone3", "unshare")} == {bpf.ALLOW}
    assert run(default("SYS_TIME"), syscalls.NUMBERS["x86_64"]["clock_settime"]) == bpf.ALLOW


def test_numbers() -> None:
    assert (syscalls.NUMBERS["x86_64"]["mount"], syscalls.NUMBERS["aarch64"]["mount"]) == (165, 40)
    assert (syscalls.NUMBERS["x86_64"]["execve"], syscalls.NUMBERS["aarch64"]["execve"]) == (59, 221)
    assert {numbers["clone3"] for numbers in syscalls.NUMBERS.values()} == {435}
    assert {numbers["cachestat"] for numbers in syscalls.NUMBERS.values()} == {451}
    assert "open" not in syscalls.NUMBERS["aarch64"]


def test_x32_and_strange_machines() -> None:
    assert run(default(), 0x40000000 | 1) == ENOSYS
    assert seccomp.default_program(capabilities.DEFAULT, "riscv64") == ""


def local(tmp_path: pathlib.Path, profile: Any) -> bytes:
    (tmp_path / "p.json").write_text(profile if isinstance(profile, str) else json.dumps(profile))
    return base64.b64decode(seccomp.local_program("p.json", [tmp_path / "absent", tmp_path], "x86_64"))


def test_an_oci_profile(tmp_path: pathlib.Path) -> None:
    rules = [
        {"names": ["mkdir", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
        {"names": ["kill"], "action": "SCMP_ACT_TRAP", "args": [{"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}]},
        {"names": ["dup"], "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": n, "op": "SCMP_CMP_EQ"} for n in (3, 4)]},
    ]
    program = local(tmp_path, {"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules})
    numbers = syscalls.NUMBERS["x86_64"]
    assert run(program, numbers["mkdir"]) == bpf.ERRNO | 13
    assert [run(program, numbers["kill"], 1, signal) for signal in (9, 15)] == [bpf.TRAP, bpf.LOG]
    assert [run(program, numbers["dup"], n) for n in (3, 4, 5)] == [bpf.KILL_THREAD, bpf.KILL_THREAD, bpf.LOG]
    assert run(program, numbers["read"]) == bpf.LOG


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("{", "p.json"),
        ("[]", "defaultAction"),
        ({"defaultAction": "SCMP_ACT_PRAY"}, "SCMP_ACT_PRAY"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]}, "names"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]}, "SCMP_ACT_NOTIFY"),
        (
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]}],
            },
            "argument 9",
        ),
    ],
)
def test_a_profile_that_cannot_be_used(tmp_path: pathlib.Path, profile: Any, words: str) -> None:
    with pytest.raises(seccomp.Unusable, match=words):
        local(tmp_path, profile)


def test_a_profile_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(seccomp.Unusable, match="no such file in"):
        seccomp.local_program("absent.json", [tmp_path], "x86_64")
    with pytest.raises(seccomp.Unusable, match="leads out of"):
        seccomp.local_program("../x.json", [tmp_path / "profiles"], "x86_64")


COMPARE = {"NE": int.__ne__, "LT": int.__lt__, "LE": int.__le__, "EQ": int.__eq__, "GE": int.__ge__, "GT": int.__gt__}
WORDS = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1), st.sampled_from([2**32 - 1, 2**32, 2**32 + 1, 2**63]))


@given(operator=st.sampled_from(sorted(COMPARE)), value=WORDS, argument=WORDS, index=st.integers(0, 5))
def test_arguments_are_compared_whole(operator: Any, value: int, argument: int, index: int) -> None:
    rules = {7: [bpf.Rule(bpf.LOG, (bpf.Condition(index, operator, value),))]}
    arguments = [argument if n == index else 0 for n in range(6)]
    wanted = bpf.LOG if COMPARE[operator](argument, value) else bpf.ALLOW
    assert run(bpf.assemble(rules, bpf.ALLOW, "x86_64"), 7, *arguments) == wanted


@given(mask=WORDS, expected=WORDS, argument=WORDS, other=WORDS)
def test_masks_and_several_conditions(mask: int, expected: int, argument: int, other: int) -> None:
    both = bpf.Rule(bpf.LOG, (bpf.Condition(0, "MASKED_EQ", mask, expected), bpf.Condition(1, "GE", 5)))
    program = bpf.assemble({3: [both, bpf.Rule(bpf.TRAP, (bpf.Condition(1, "EQ", 1),))], 9: [bpf.Rule(bpf.TRACE)]}, bpf.ALLOW, "x86_64")
    wanted = bpf.LOG if argument & mask == expected and other >= 5 else bpf.TRAP if other == 1 else bpf.ALLOW
    assert run(program, 3, argument, other) == wanted
    assert (run(program, 9), run(program, 8), run(program, 10)) == (bpf.TRACE, bpf.ALLOW, bpf.ALLOW)


def test_a_program_that_is_too_long(tmp_path: pathlib.Path) -> None:
    many = [{"index": 0, "value": n, "op": "SCMP_CMP_EQ"} for n in range(1000)]
    with pytest.raises(seccomp.Unusable, match="the kernel takes 4096"):
        local(tmp_path, {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG", "args": many}]})
