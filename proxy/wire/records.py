"""
Records as read from Kafka, as JSON.

Rule 1: a JSON key or value is spliced in byte for byte, after a look whether it is JSON at all.
Rule 2: None is null; `b""` is an empty string in BIN and TEXT, and no JSON.
Rule 3: only a key or value makes a record undecodable; a header never does.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable
from functools import lru_cache

import orjson

from proxy.errors import UndecodableRecord
from proxy.model import Format, StoredRecord
from proxy.wire.json_text import is_json, quote

# The contract's code of a record that is not what the asked format needs.
UNDECODABLE = 40801


class RecordRenderer:
    """Renders records whose keys and values are embedded in the given formats."""

    __slots__ = ("_embed_key", "_embed_value", "_key_format", "_value_format")

    def __init__(self, key_format: Format, value_format: Format) -> None:
        self._key_format = key_format
        self._value_format = value_format
        self._embed_key = _EMBEDDERS[key_format]
        self._embed_value = _EMBEDDERS[value_format]

    def render(self, record: StoredRecord) -> bytes:
        """
        One record.

        Shape: {"topic", "key", "value", "partition", "offset", "timestamp", "headers"?: […]}
        Units: timestamp in ms since the epoch, -1 for none
        Raises: UndecodableRecord when the stored key or value is not what its format needs
        Source: CONTRACT.md section 4
        """
        key, value = record.key, record.value
        try:
            key_json = b"null" if key is None else self._embed_key(key)
        except ValueError as exc:
            raise self._refuse(record, "key", self._key_format) from exc
        try:
            value_json = b"null" if value is None else self._embed_value(value)
        except ValueError as exc:
            raise self._refuse(record, "value", self._value_format) from exc
        return b'{"topic":%b,"key":%b,"value":%b,"partition":%d,"offset":%d,"timestamp":%d%b}' % (
            _quote_topic(record.topic),
            key_json,
            value_json,
            record.partition,
            record.offset,
            record.timestamp,
            _render_headers(record) if record.headers else b"",
        )

    def report(self, record: StoredRecord, error: UndecodableRecord) -> bytes:
        """
        A record that `render` refused, as `invalid=report` asks.

        Shape: {"topic", "partition", "offset", "timestamp", "error_code", "error", "key_base64",
        "value_base64"}
        Source: CONTRACT.md section 4
        """
        return (
            b'{"topic":%b,"partition":%d,"offset":%d,"timestamp":%d,'
            b'"error_code":%d,"error":%b,"key_base64":%b,"value_base64":%b}'
            % (
                _quote_topic(record.topic),
                record.partition,
                record.offset,
                record.timestamp,
                UNDECODABLE,
                quote(error.reason),
                b"null" if record.key is None else _embed_binary(record.key),
                b"null" if record.value is None else _embed_binary(record.value),
            )
        )

    def join(self, parts: list[bytes]) -> bytes:
        """The JSON array of what `render` and `report` gave."""
        return b"[" + b",".join(parts) + b"]"

    def _refuse(self, record: StoredRecord, side: str, form: Format) -> UndecodableRecord:
        return UndecodableRecord(
            record.topic, record.partition, record.offset, f"the {side} is not {_NEEDS[form]}"
        )


def describe_undecodable(error: UndecodableRecord) -> str:
    """What a client is told about a record that cannot be read as asked: where, why, what to do."""
    return (
        f"Record at offset {error.offset} of topic '{error.topic}' partition {error.partition} "
        f"cannot be read: {error.reason}. Read on with invalid=skip or invalid=report, read it as "
        f"binary, or seek to offset {error.offset + 1}."
    )


def _embed_binary(stored: bytes) -> bytes:
    return b'"' + b2a_base64(stored, newline=False) + b'"'


def _embed_json(stored: bytes) -> bytes:
    if is_json(stored):
        return stored
    raise ValueError("no JSON")


def _embed_text(stored: bytes) -> bytes:
    return orjson.dumps(stored.decode())


# Each raises ValueError, which UnicodeDecodeError is, on bytes that it cannot embed.
_EMBEDDERS: dict[Format, Callable[[bytes], bytes]] = {
    Format.BINARY: _embed_binary,
    Format.JSON: _embed_json,
    Format.TEXT: _embed_text,
}
_NEEDS = {
    Format.BINARY: "bytes",
    Format.JSON: "one valid JSON value",
    Format.TEXT: "valid UTF-8 text",
}

# A topic name has 249 characters at most: 256 of them are little, and an instance reads few.
_quote_topic = lru_cache(256)(quote)


def _render_headers(record: StoredRecord) -> bytes:
    headers = b",".join(
        b'{"key":%b,"value":%b}' % (quote(name), b"null" if value is None else _embed_binary(value))
        for name, value in record.headers
    )
    return b',"headers":[' + headers + b"]"
