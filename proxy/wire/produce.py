"""
Produce: `POST /topics/{t}` and `POST /topics/{t}/partitions/{p}`, the body in and the answer out.

Rule 1: all records are checked before one is handed on; the first bad one refuses the request.
Rule 2: null and absent are None; `0`, `false`, `""`, `[]` and `{}` are values.
Rule 3: a JSON key or value is the bytes that the client sent, without the space around them.

Departs from Confluent: headers and timestamps; 422 instead of 400 for bad base64; padding required.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec

from proxy.errors import ApiError
from proxy.model import Format, Header, OutgoingRecord, Produced
from proxy.wire.consumers import PartitionNumber
from proxy.wire.json_body import decode
from proxy.wire.json_text import quote, reveal_surrogates
from proxy.wire.timestamps import parse_timestamp

_NULL = msgspec.Raw(b"null")

_CARRIED = re.compile(r"\$\.records\[\d+\]\.(key|value)|\$\.(key|value)_schema(_id)?")

_TimestampMs = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Header(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    key: str | None = None
    name: str | None = None
    value: bytes | None = None


class _Record(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    partition: PartitionNumber | None = None
    timestamp: _TimestampMs | str | None = None
    headers: list[_Header] | None = None


class _JsonRecord(_Record, forbid_unknown_fields=True, gc=False):
    key: msgspec.Raw = _NULL
    value: msgspec.Raw = _NULL


class _BinaryRecord(_Record, forbid_unknown_fields=True, gc=False):
    key: bytes | None = None
    value: bytes | None = None


class _TextRecord(_Record, forbid_unknown_fields=True, gc=False):
    key: str | None = None
    value: str | None = None


class _Request(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    # Known to Confluent v2 and without meaning for these formats.
    key_schema: msgspec.Raw = _NULL
    key_schema_id: msgspec.Raw = _NULL
    value_schema: msgspec.Raw = _NULL
    value_schema_id: msgspec.Raw = _NULL


class _JsonRequest(_Request, forbid_unknown_fields=True, gc=False, kw_only=True):
    records: Annotated[list[_JsonRecord], msgspec.Meta(min_length=1)]


class _BinaryRequest(_Request, forbid_unknown_fields=True, gc=False, kw_only=True):
    records: Annotated[list[_BinaryRecord], msgspec.Meta(min_length=1)]


class _TextRequest(_Request, forbid_unknown_fields=True, gc=False, kw_only=True):
    records: Annotated[list[_TextRecord], msgspec.Meta(min_length=1)]


_json_decoder = msgspec.json.Decoder(_JsonRequest)
_binary_decoder = msgspec.json.Decoder(_BinaryRequest)
_text_decoder = msgspec.json.Decoder(_TextRequest)


def parse_produce(
    body: bytes, embedded: Format, path_partition: int | None = None
) -> list[OutgoingRecord]:
    """
    The records of a v2 produce request, in the order sent.

    Shape: {"records": [{"key"?, "value"?, "partition"?, "headers"?, "timestamp"?}, …]}, 1 or more
    Units: timestamp in ms since the epoch, or RFC 3339
    Raises: ApiError 400 on malformed JSON, with the byte position; 422 with the JSON path otherwise
    Source: CONTRACT.md section 3; Confluent REST API v2, POST /topics/{topic}; KIP-82 for headers
    """
    return _PARSERS[embedded](body, path_partition)


def _parse_json(body: bytes, path_partition: int | None) -> list[OutgoingRecord]:
    request, concealed = decode(body, _json_decoder, _CARRIED)
    records = []
    for at, record in enumerate(request.records):
        key, value = bytes(record.key), bytes(record.value)
        if concealed:
            key, value = reveal_surrogates(key), reveal_surrogates(value)
        outgoing = OutgoingRecord(
            None if key == b"null" else key,
            None if value == b"null" else value,
            path_partition if record.partition is None else record.partition,
        )
        if record.headers is not None or record.timestamp is not None:
            _add_extras(outgoing, record, at)
        records.append(outgoing)
    return records


def _parse_binary(body: bytes, path_partition: int | None) -> list[OutgoingRecord]:
    request, _ = decode(body, _binary_decoder)
    records = []
    for at, record in enumerate(request.records):
        outgoing = OutgoingRecord(
            record.key,
            record.value,
            path_partition if record.partition is None else record.partition,
        )
        if record.headers is not None or record.timestamp is not None:
            _add_extras(outgoing, record, at)
        records.append(outgoing)
    return records


def _parse_text(body: bytes, path_partition: int | None) -> list[OutgoingRecord]:
    request, _ = decode(body, _text_decoder)
    records = []
    for at, record in enumerate(request.records):
        outgoing = OutgoingRecord(
            None if record.key is None else record.key.encode(),
            None if record.value is None else record.value.encode(),
            path_partition if record.partition is None else record.partition,
        )
        if record.headers is not None or record.timestamp is not None:
            _add_extras(outgoing, record, at)
        records.append(outgoing)
    return records


_PARSERS: dict[Format, Callable[[bytes, int | None], list[OutgoingRecord]]] = {
    Format.BINARY: _parse_binary,
    Format.JSON: _parse_json,
    Format.TEXT: _parse_text,
}


def _add_extras(outgoing: OutgoingRecord, record: _Record, at: int) -> None:
    if record.headers is not None:
        outgoing.headers = tuple(
            _read_header(header, f"$.records[{at}].headers[{header_at}]")
            for header_at, header in enumerate(record.headers)
        )
    if record.timestamp is not None:
        outgoing.timestamp_ms = parse_timestamp(record.timestamp, f"$.records[{at}].timestamp")


def _read_header(header: _Header, path: str) -> Header:
    if header.key is not None and header.name is not None:
        raise ApiError(422, f"{path}: 'key' and 'name' mean the same, give one of them")
    name = header.name if header.key is None else header.key
    if name is None:
        raise ApiError(422, f"{path}.key: missing")
    return name, header.value


def render_produced(
    outcomes: Sequence[Produced], describe: Callable[[Exception], tuple[int, str]]
) -> bytes:
    """
    The answer to a produce request of which at least one record was written.

    Shape: {"offsets": [{"partition", "offset", "error_code", "error"}, …], …}, in request order
    `describe` gives the error code and the text of a failure.
    Source: CONTRACT.md section 3; Confluent `K/entities/v2/ProduceResponse.java`
    """
    return (
        b'{"offsets":'
        + _render_outcomes(outcomes, describe)
        + b',"key_schema_id":null,"value_schema_id":null}'
    )


def render_all_failed(
    error_body: bytes,
    outcomes: Sequence[Produced],
    describe: Callable[[Exception], tuple[int, str]],
) -> bytes:
    """
    The answer to a produce request of which no record was written: an error body of
    `wire/errors.py` with one member more, which RFC 9457 section 3.2 allows a problem as well.

    Shape: {…, "offsets": as in `render_produced`}
    Source: CONTRACT.md sections 3 and 7
    """
    return b'%b,"offsets":%b}' % (error_body[:-1], _render_outcomes(outcomes, describe))


def _render_outcomes(
    outcomes: Sequence[Produced], describe: Callable[[Exception], tuple[int, str]]
) -> bytes:
    entries = []
    for outcome in outcomes:
        if outcome.failure is None:
            # With acks=0 Kafka tells no offset.
            offset = "null" if outcome.offset is None else outcome.offset
            entries.append(
                f'{{"partition":{outcome.partition},"offset":{offset},'
                '"error_code":null,"error":null}'
            )
        else:
            code, text = describe(outcome.failure)
            partition = "null" if outcome.partition is None else outcome.partition
            entries.append(
                f'{{"partition":{partition},"offset":null,'
                f'"error_code":{code},"error":{quote(text).decode()}}}'
            )
    return f"[{','.join(entries)}]".encode()
