"""What is stored is what was sent: keys, values, headers and timestamps."""

from __future__ import annotations

import base64

import orjson
import pytest

from tests.api.produce_calls import BINARY, JSON, TEXT, V2, answer, post, read, written
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

ODD_VALUES = [
    b"0",
    b"-0",
    b"-0.0",
    b"1.10",
    b"1.0000000000000000000000001",
    b"123456789012345678901234567890",
    b"1e400",
    b"1E+2",
    b"-1.5e-0007",
    b"true",
    b"false",
    b'""',
    b"[]",
    b"{}",
    b"[ ]",
    b'{ "b" : 1 ,"a": [ 1 , 2 ] }',
    b'{"a":1,"a":2}',
    b'{"":{"":""}}',
    b'"\\u0041\\/\\b\\f\\n\\r\\t\\"\\\\"',
    b'"\\ud800"',
    b'"\\ud83d\\ude00"',
    '"ключ 鍵 🔑 \u2028"'.encode(),
    b'"\\u0000"',
    b'{"records":[{"value":null}]}',
    b"[" * 100 + b"]" * 100,
    b'[1,\n\t2\r\n,"null"]',
]


async def test_json_is_stored_byte_for_byte(
    proxy_url: str, broker: Broker, topic: TopicFactory
) -> None:
    """Keys and values keep every byte: digits, escapes, order, duplicates, white space inside."""
    name = await topic()
    records = [b'{"key": %b ,\n"value":%b }' % (text, text) for text in ODD_VALUES]
    response = await post(proxy_url, name, b'{"records":[' + b",".join(records) + b"]}")
    assert read(response) == (200, V2, answer(*(written(0, at) for at in range(len(ODD_VALUES)))))
    stored = await verify.read_all(broker.bootstrap, name)
    assert [(record.key, record.value) for record in stored] == [
        (text, text) for text in ODD_VALUES
    ]


# What is sent for a key or a value ("" is absent), and what Kafka has.
SIDES: dict[str, list[tuple[str, bytes | None]]] = {
    JSON: [("null", None), ("", None), ('""', b'""'), ("0", b"0"), ("false", b"false")],
    BINARY: [("null", None), ("", None), ('""', b""), ('"AA=="', b"\0"), ('"/+8="', b"\xff\xef")],
    TEXT: [("null", None), ("", None), ('""', b""), ('"\\u0000"', b"\0"), ('"é"', "é".encode())],
}


@pytest.mark.parametrize("content_type", SIDES)
async def test_null_empty_and_absent_are_told_apart(
    proxy_url: str, broker: Broker, topic: TopicFactory, content_type: str
) -> None:
    """Each pair of key and value arrives as it was meant; null and absent are Kafka's null."""
    name = await topic()
    pairs = [(key, value) for key in SIDES[content_type] for value in SIDES[content_type]]
    records = [
        ",".join(f'"{side}":{text}' for side, (text, _) in members if text)
        for members in ([("key", key), ("value", value)] for key, value in pairs)
    ]
    body = f'{{"records":[{",".join(f"{{{record}}}" for record in records)}]}}'.encode()
    response = await post(proxy_url, name, body, content_type)
    assert read(response) == (200, V2, answer(*(written(0, at) for at in range(len(pairs)))))
    stored = await verify.read_all(broker.bootstrap, name)
    assert [(record.key, record.value) for record in stored] == [
        (key[1], value[1]) for key, value in pairs
    ]


async def test_headers_keep_order_duplicates_and_null(
    proxy_url: str, broker: Broker, topic: TopicFactory
) -> None:
    """A header is named by `key` or by `name`; its value is base64 or null, which is not empty."""
    name = await topic()
    headers = [
        {"key": "b", "value": "AQI="},
        {"name": "a", "value": None},
        {"key": "b", "value": ""},
        {"key": "", "value": base64.b64encode(bytes(range(256))).decode()},
        {"name": "ключ"},
    ]
    records = [{"value": 1, "headers": headers}, {"value": 2, "headers": []}, {"value": 3}]
    response = await post(proxy_url, name, {"records": records})
    assert read(response) == (200, V2, answer(*(written(0, at) for at in range(3))))
    stored = await verify.read_all(broker.bootstrap, name)
    assert [record.headers for record in stored] == [
        (("b", b"\1\2"), ("a", None), ("b", b""), ("", bytes(range(256))), ("ключ", None)),
        (),
        (),
    ]


async def test_timestamps_are_stored_as_given(
    proxy_url: str, broker: Broker, topic: TopicFactory
) -> None:
    """Epoch milliseconds or RFC 3339, in any order within a batch; 0 is a time, too."""
    name = await topic()
    given: list[tuple[object, int]] = [
        (1_700_000_000_123, 1_700_000_000_123),
        (0, 0),
        ("2023-11-14T22:13:20.123Z", 1_700_000_000_123),
        ("2023-11-15T00:13:20.123456+02:00", 1_700_000_000_123),
        ("1970-01-01T00:00:00z", 0),
        (1, 1),
    ]
    records = [{"value": at, "timestamp": sent} for at, (sent, _) in enumerate(given)]
    response = await post(proxy_url, name, {"records": records})
    assert read(response) == (200, V2, answer(*(written(0, at) for at in range(len(given)))))
    stored = await verify.read_all(broker.bootstrap, name)
    assert [record.timestamp for record in stored] == [kept for _, kept in given]


async def test_a_large_request_is_stored_whole(
    proxy_url: str, broker: Broker, topic: TopicFactory
) -> None:
    """10,000 records, more than one batch holds, arrive in order at the offsets that were told."""
    name = await topic()
    values = [f"{at}-{'x' * 150}" for at in range(10_000)]
    response = await post(proxy_url, name, {"records": [{"value": value} for value in values]})
    assert response.status_code == 200
    assert response.json()["offsets"] == [written(0, at) for at in range(10_000)]
    stored = await verify.read_all(broker.bootstrap, name)
    assert [record.value for record in stored] == [orjson.dumps(value) for value in values]
