"""From rules on system calls to a classic BPF program for seccomp(2).

A rule is an action under conditions on arguments; the first that holds decides, else the default does. Numbers whose
rules are alike are one range, so that a system call costs few comparisons. System calls of another architecture end
the process, those of the x32 kind do not exist. Arguments are compared whole, 64 bits, without a sign.
"""

import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

ALLOW, LOG, TRACE, ERRNO, TRAP, KILL_PROCESS, KILL_THREAD = 0x7FFF0000, 0x7FFC0000, 0x7FF00000, 0x50000, 0x30000, 0x80000000, 0
EPERM, ENOSYS = 1, 38
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MAX_INSTRUCTIONS = 4096  # the kernel's own limit
_X32_BIT = 0x40000000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_LOW = 0xFFFFFFFF

Operator = Literal["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]


@dataclass(frozen=True, slots=True)
class Condition:
    index: int  # of the argument
    operator: Operator
    value: int  # with MASKED_EQ the mask
    expected: int = 0  # of the masked argument


@dataclass(frozen=True, slots=True)
class Rule:
    action: int
    conditions: tuple[Condition, ...] = ()  # all must hold


Rules = Mapping[int, Sequence[Rule]]  # by number


def assemble(rules: Rules, default: int, machine: str) -> bytes:
    """Raises ValueError where the kernel would not take the program."""
    program = [_load(_ARCHITECTURE), _jump("EQ", ARCHITECTURES[machine], 1, 0), _return(KILL_PROCESS), _load(_NUMBER)]
    if machine == "x86_64":
        program += [_jump("GE", _X32_BIT, 0, 1), _return(ERRNO | ENOSYS)]
    for end, alike in _ranges(rules):
        body = _decide(alike, default)
        if len(body) == 1:
            program += [_jump("GE", end, 1, 0), *body]
        else:
            program += [_jump("GE", end, 0, 1), _skip(len(body)), *body]
    program.append(_return(default))
    if len(program) > MAX_INSTRUCTIONS:
        raise ValueError(f"the profile makes a filter of {len(program)} instructions; the kernel takes {MAX_INSTRUCTIONS}")
    return b"".join(program)


def _ranges(rules: Rules) -> Iterator[tuple[int, Sequence[Rule]]]:
    """(first number after it, its rules) of every stretch of numbers with the same rules."""
    last = max(rules, default=-1)
    for alike, numbers in itertools.groupby(range(last + 1), lambda number: tuple(rules.get(number, ()))):
        yield max(numbers) + 1, alike


def _decide(rules: Sequence[Rule], default: int) -> list[bytes]:
    program: list[bytes] = []
    for rule in rules:
        if not rule.conditions:
            return [*program, _return(rule.action)]
        tests = [_test(condition) for condition in rule.conditions]
        for position, test in enumerate(tests, 1):
            rest = sum(len(other) + 1 for other in tests[position:]) + 1  # the other tests and the action
            program += [*test, _skip(rest)]
        program.append(_return(rule.action))
    return [*program, _return(default)]


def _test(condition: Condition) -> list[bytes]:
    """Goes one instruction too far where the condition holds, which leaves out the jump that follows."""
    low, high = _ARGUMENTS + 8 * condition.index, _ARGUMENTS + 8 * condition.index + 4
    value_low, value_high = condition.value & _LOW, condition.value >> 32 & _LOW
    match condition.operator:
        case "MASKED_EQ":
            wanted_low, wanted_high = condition.expected & _LOW, condition.expected >> 32 & _LOW
            return [
                _load(high),
                _and(value_high),
                _jump("EQ", wanted_high, 0, 3),
                _load(low),
                _and(value_low),
                _jump("EQ", wanted_low, 1, 0),
            ]
        case "EQ":
            return [_load(high), _jump("EQ", value_high, 0, 2), _load(low), _jump("EQ", value_low, 1, 0)]
        case "NE":
            return [_load(high), _jump("EQ", value_high, 0, 3), _load(low), _jump("EQ", value_low, 0, 1)]
        case "GT" | "GE" as operator:
            return [_load(high), _jump("GT", value_high, 4, 0), _jump("EQ", value_high, 0, 2), _load(low), _jump(operator, value_low, 1, 0)]
        case "LT" | "LE" as operator:
            inverse = "GE" if operator == "LT" else "GT"
            return [_load(high), _jump("GT", value_high, 3, 0), _jump("EQ", value_high, 0, 3), _load(low), _jump(inverse, value_low, 0, 1)]


def _load(offset: int) -> bytes:
    return struct.pack("HBBI", 0x20, 0, 0, offset)


def _and(mask: int) -> bytes:
    return struct.pack("HBBI", 0x54, 0, 0, mask)


def _jump(operator: str, value: int, then: int, otherwise: int) -> bytes:
    return struct.pack("HBBI", {"EQ": 0x15, "GT": 0x25, "GE": 0x35}[operator], then, otherwise, value)


def _skip(places: int) -> bytes:
    return struct.pack("HBBI", 0x05, 0, 0, places)


def _return(action: int) -> bytes:
    return struct.pack("HBBI", 0x06, 0, 0, action)
