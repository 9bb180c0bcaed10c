"""Log files as the CRI has them."""

import os
import pathlib
import re
import time

import pytest

from reconciler.node.keeper import crilog

ENTRY = re.compile(rb"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)$")


def texts(data: bytes) -> list[tuple[bytes, bytes]]:
    found = [ENTRY.match(line) for line in data.split(b"\n")[:-1]]
    return [(one[2], one[3]) for one in found if one is not None]


def test_lines_and_what_is_left_of_one() -> None:
    stream = crilog.Stream("stdout")
    assert texts(stream.entries(b"one\ntw")) == [(b"F", b"one")]
    assert texts(stream.entries(b"o\n\n")) == [(b"F", b"two"), (b"F", b"")]
    assert stream.entries(b"end") == b""
    assert texts(stream.end()) == [(b"P", b"end")]
    assert stream.end() == b""


def test_long_lines_come_in_parts() -> None:
    stream = crilog.Stream("stderr")
    line = b"x" * (2 * crilog.MAX_LINE_BYTES + 10)
    found = texts(stream.entries(line[:100]) + stream.entries(line[100:] + b"\n"))
    assert [tag for tag, _ in found] == [b"P", b"P", b"F"]
    assert b"".join(text for _, text in found) == line


def test_rotation_keeps_so_many(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "c" / "0.log")
    log = crilog.open_log(path)
    for n in range(20):
        os.write(log, b"%d\n" % n)
        os.close(log)
        log = crilog.rotate(path, max_files=3)
    os.close(log)
    assert [pathlib.Path(one).read_bytes() for one in crilog.rotated_files(path)] == [b"18\n", b"19\n"]
    log = crilog.open_log(path)
    os.write(log, b"more\n")
    os.close(log)
    assert pathlib.Path(path).read_bytes() == b"more\n"


@pytest.mark.parametrize("seconds", [0, 951_782_399, 951_782_400, 1_709_164_800, 1_735_689_599, 4_102_444_800])
def test_times_by_hand(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: seconds * 1_000_000_000 + 5)
    assert crilog.timestamp().decode() == time.strftime("%Y-%m-%dT%H:%M:%S.000000005Z", time.gmtime(seconds))
