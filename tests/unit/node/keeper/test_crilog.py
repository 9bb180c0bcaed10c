"""Log files as the CRI has them."""

import pathlib
import re

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


def test_rotation_by_size_and_count(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c" / "0.log"
    writer = crilog.Writer(str(path), max_bytes=100, max_files=3)
    for n in range(20):
        writer.write(b"%02d " % n + b"x" * 56 + b"\n")
    writer.close()
    assert len(crilog.rotated_files(str(path))) == 2
    kept = b"".join(pathlib.Path(one).read_bytes() for one in [*crilog.rotated_files(str(path)), str(path)])
    assert [line[:2] for line in kept.split(b"\n")[:-1]] == [b"17", b"18", b"19"]
    again = crilog.Writer(str(path), max_bytes=100, max_files=3)
    again.write(b"more\n")
    again.close()
    assert path.read_bytes().endswith(b"more\n")
