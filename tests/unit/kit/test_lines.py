import contextlib
import os
import threading
from collections.abc import Iterator

import pytest

from reconciler.kit import lines

PATIENCE_SECONDS = 30.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(end)


def test_lines_come_out_in_order(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    out = lines.Lines(writer)
    for number in range(100):
        out.put(f"line {number}")
    assert out.flush(PATIENCE_SECONDS)
    assert os.read(reader, 1 << 16).decode().splitlines() == [f"line {number}" for number in range(100)]


def test_a_stalled_reader_holds_up_nobody_and_hears_what_it_missed(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    out = lines.Lines(writer)
    for _ in range(10 * lines.MOST):
        out.put("x" * 500)
    assert not out.flush(0)
    told: list[str] = []

    def read() -> None:
        with os.fdopen(os.dup(reader)) as stream:
            for line in stream:
                told.append(line)
                if line == "the last\n":
                    return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert out.flush(PATIENCE_SECONDS)
    out.put("the last")
    thread.join(PATIENCE_SECONDS)
    shown = told.count("x" * 500 + "\n")
    missed = [int(line.split()[1]) for line in told if line.startswith("... ")]
    assert missed
    assert shown + sum(missed) == 10 * lines.MOST


def test_a_reader_that_has_gone_is_no_error(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    out = lines.Lines(writer)
    os.close(reader)
    out.put("to nobody")
    assert out.flush(PATIENCE_SECONDS)
    out.put("to nobody")
    assert out.flush(PATIENCE_SECONDS)
