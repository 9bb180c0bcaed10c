import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.dns import wire


def query(name: str, kind: int = wire.A, *, edns_bytes: int = 0) -> bytes:
    option = b"\x00" + struct.pack("!HHIH", wire.OPT, edns_bytes, 0, 0) if edns_bytes else b""
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, bool(option)) + wire.write_name(name) + struct.pack("!HH", kind, 1) + option


def test_reads_a_question_in_any_case() -> None:
    question = wire.read_question(query("Web.Default.svc", wire.SRV, edns_bytes=4096))
    assert (question.name, question.type, question.udp_bytes, question.wants_recursion) == (
        "web.default.svc",
        wire.SRV,
        wire.MAX_UDP_BYTES,
        True,
    )
    assert wire.read_question(query("a")).udp_bytes == 512


def test_an_answer_repeats_the_question_and_counts_its_records() -> None:
    question = wire.read_question(query("web"))
    data = wire.write_answer(question, wire.Answer((wire.address("web", "10.0.0.1", 5),)), most_bytes=512)
    assert struct.unpack_from("!HHHHHH", data) == (7, 0x8580, 1, 1, 0, 0)
    assert data[12:21] == wire.write_name("web") + struct.pack("!HH", wire.A, 1)
    assert data.endswith(bytes([10, 0, 0, 1]))


def test_what_does_not_fit_is_cut_and_said() -> None:
    question = wire.read_question(query("web"))
    records = tuple(wire.address("web", f"10.0.0.{i}", 5) for i in range(100))
    data = wire.write_answer(question, wire.Answer(records), most_bytes=512)
    _, flags, _, answers, _, _ = struct.unpack_from("!HHHHHH", data)
    assert len(data) <= 512
    assert flags & 0x0200
    assert 0 < answers < 100


@given(st.binary(max_size=80))
def test_any_bytes_are_a_question_or_malformed(data: bytes) -> None:
    try:
        question = wire.read_question(data)
    except wire.Malformed:
        assert wire.write_error(data, wire.FORMERR)[3] & 0xF == wire.FORMERR
    else:
        assert wire.write_answer(question, wire.Answer(), most_bytes=512)[12:].startswith(question.raw)


@pytest.mark.parametrize("name", ["x" * 64, ".".join(["abcdefgh"] * 32)])
def test_names_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"63|255"):
        wire.write_name(name)
