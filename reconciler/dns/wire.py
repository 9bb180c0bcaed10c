"""DNS messages (RFC 1035, RFC 6891) as far as a cluster's resolver needs them. Pure.

Reads one question and its EDNS size; writes answers with name compression of the question only. Whatever cannot
be read raises Malformed; nothing here allocates by what a message claims about its own size.
"""

import ipaddress
import struct
from dataclasses import dataclass

A, NS, CNAME, SOA, PTR, TXT, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 12, 16, 28, 33, 41, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5

MAX_UDP_BYTES = 1232  # what no path fragments (DNS flag day 2020)
MAX_NAME_BYTES = 255
_HEADER = struct.Struct("!HHHHHH")


class Malformed(Exception):
    """Not a DNS query."""


@dataclass(frozen=True, slots=True)
class Question:
    id: int
    name: str  # lower case, without the final dot
    type: int
    wants_recursion: bool
    udp_bytes: int  # the most that the asker takes over UDP
    has_edns: bool
    raw: bytes  # name, type and class as they were sent


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    type: int
    ttl_seconds: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    records: tuple[Record, ...] = ()
    code: int = NOERROR
    authority: tuple[Record, ...] = ()


def read_question(message: bytes) -> Question:
    """The one question of a query. Raises Malformed."""
    try:
        ident, flags, questions, _, _, additional = _HEADER.unpack_from(message)
        if flags & 0x8000 or questions != 1:
            raise Malformed("want a query with one question")
        name, at = _read_name(message, 12)
        kind, klass = struct.unpack_from("!HH", message, at)
        if klass not in (1, 255):
            raise Malformed(f"class {klass} is not served")
        end = at + 4
        size, has_edns = _edns(message, end) if additional else (512, False)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise Malformed(str(error)) from error
    return Question(ident, name.lower(), kind, bool(flags & 0x0100), size, has_edns, message[12:end])


def write_answer(question: Question, answer: Answer, *, most_bytes: int) -> bytes:
    """A response of at most `most_bytes`; records that do not fit are left out and TC is set."""
    sections = [_write_record(record) for record in (*answer.records, *answer.authority)]
    option = b"\x00" + struct.pack("!HHIH", OPT, MAX_UDP_BYTES, 0, 0) if question.has_edns else b""
    size = 12 + len(question.raw) + len(option)
    kept: list[bytes] = []
    for section in sections:
        if size + len(section) > most_bytes:
            break
        kept.append(section)
        size += len(section)
    is_cut = len(kept) < len(sections)
    flags = 0x8000 | 0x0400 | (0x0200 if is_cut else 0) | (0x0100 if question.wants_recursion else 0) | 0x0080 | answer.code
    answers = min(len(kept), len(answer.records))
    header = _HEADER.pack(question.id, flags, 1, answers, len(kept) - answers, 1 if option else 0)
    return header + question.raw + b"".join(kept) + option


def write_error(message: bytes, code: int) -> bytes:
    """A response to what could not be read, as far as its identifier is known."""
    ident = message[:2] if len(message) >= 2 else b"\x00\x00"
    return ident + struct.pack("!HHHHH", 0x8000 | code, 0, 0, 0, 0)


def address(name: str, ip: str, ttl_seconds: int) -> Record:
    parsed = ipaddress.ip_address(ip)
    return Record(name, A if parsed.version == 4 else AAAA, ttl_seconds, parsed.packed)


def alias(name: str, target: str, ttl_seconds: int) -> Record:
    return Record(name, CNAME, ttl_seconds, write_name(target))


def pointer(name: str, target: str, ttl_seconds: int) -> Record:
    return Record(name, PTR, ttl_seconds, write_name(target))


def service(name: str, target: str, port: int, ttl_seconds: int, *, priority: int = 0, weight: int = 100) -> Record:
    return Record(name, SRV, ttl_seconds, struct.pack("!HHH", priority, weight, port) + write_name(target))


def start_of_authority(zone: str, serial: int, ttl_seconds: int) -> Record:
    numbers = struct.pack("!IIIII", serial & 0xFFFFFFFF, 7200, 1800, 86400, ttl_seconds)
    return Record(zone, SOA, ttl_seconds, write_name(f"ns.dns.{zone}") + write_name(f"hostmaster.{zone}") + numbers)


def write_name(name: str) -> bytes:
    """A name as labels. Raises ValueError where a label or the whole is too long."""
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".") if label]
    data = b"".join(bytes([len(label)]) + label for label in labels if _fits(label)) + b"\x00"
    if len(data) > MAX_NAME_BYTES:
        raise ValueError(f"{name}: longer than {MAX_NAME_BYTES} bytes")
    return data


def _fits(label: bytes) -> bool:
    if len(label) > 63:
        raise ValueError(f"{label.decode()}: a label has at most 63 bytes")
    return True


def _write_record(record: Record) -> bytes:
    return write_name(record.name) + struct.pack("!HHIH", record.type, 1, record.ttl_seconds, len(record.data)) + record.data


def _read_name(message: bytes, at: int) -> tuple[str, int]:
    """A name and the offset behind it; questions hold no pointers, so none is followed."""
    labels: list[str] = []
    total = 0
    while length := message[at]:
        if length > 63:
            raise Malformed("a question's name has no pointers")
        total += length + 1
        if total >= MAX_NAME_BYTES or at + 1 + length > len(message):
            raise Malformed("the name is too long")
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), at + 1


def _edns(message: bytes, at: int) -> tuple[int, bool]:
    if message[at] != 0 or len(message) < at + 11:
        return 512, False
    kind, size = struct.unpack_from("!HH", message, at + 1)
    return (max(512, min(size, MAX_UDP_BYTES)), True) if kind == OPT else (512, False)
