"""GET …/partitions/{p}/records: exactly what the broker has, from exactly that offset on."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.api.conftest import MakeTopic
from tests.api.raw_connection import Answer, ask
from tests.brokers.broker import Broker
from tests.brokers.verify import produce, read_all, trim

V2 = "application/vnd.kafka.v2+json"
BIN = "application/vnd.kafka.binary.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
TEXT = "application/vnd.kafka.text.v2+json"
COUNT = 20

Read = Callable[..., Answer]


@pytest.fixture(scope="module")
def compressed(make_topic: MakeTopic, broker: Broker) -> str:
    """Twenty records in one batch, compressed; record n is `n` with key `1`."""
    topic = make_topic()
    values = [b"%d" % n for n in range(COUNT)]
    asyncio.run(
        produce(broker.bootstrap, topic, values, key=b"1", compression_type="gzip", linger_ms=200)
    )
    return topic


@pytest.fixture
def read(proxy_url: str) -> Read:
    """`read(topic, "offset=3&timeout=0", "Accept: …")`"""

    def ask_for(topic: str, query: str = "", *fields: str) -> Answer:
        return ask(proxy_url, f"/topics/{topic}/partitions/0/records?{query}", *fields)

    return ask_for


def offsets_of(answer: Answer) -> list[int]:
    """The offsets of the records of an answer."""
    assert answer.status == 200, answer
    records: Any = answer.parsed
    return [record["offset"] for record in records]


def test_record_is_shown_whole(read: Read, make_topic: MakeTopic, broker: Broker) -> None:
    """Key, value, offset, timestamp and headers as they are stored; empty and null differ."""
    topic = make_topic()
    headers = (("h", b"\x00"), ("h", None))
    asyncio.run(
        produce(
            broker.bootstrap, topic, [b"\xff", None], key=b"", headers=headers, timestamp_ms=1_234
        )
    )
    shown: dict[str, Any] = {
        "topic": topic,
        "key": "",
        "partition": 0,
        "timestamp": 1_234,
        "headers": [{"key": "h", "value": "AA=="}, {"key": "h", "value": None}],
    }
    answer = read(topic, "offset=0")
    assert answer.refusal == (
        200,
        BIN,
        [shown | {"offset": 0, "value": "/w=="}, shown | {"offset": 1, "value": None}],
    )


@pytest.mark.parametrize("offset", [0, 1, 13, COUNT - 1])
def test_read_begins_within_a_compressed_batch(read: Read, compressed: str, offset: int) -> None:
    """Exactly from the offset on, though the broker sends the whole batch around it."""
    answer = read(compressed, f"offset={offset}", f"Accept: {JSON}")
    assert offsets_of(answer) == list(range(offset, COUNT))
    assert b'"value":%d,' % offset in answer.body


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("", 0),
        ("offset=earliest", 0),
        ("offset=EARLIEST", 0),
        ("offset=-1", COUNT - 1),
        ("offset=-5", COUNT - 5),
        ("offset=-20", 0),
        ("offset=-9223372036854775807", 0),
        ("offset=%31%32", 12),
        ("offset=0007", 7),
    ],
)
def test_offset_may_be_a_word_or_count_from_the_end(
    read: Read, compressed: str, query: str, first: int
) -> None:
    """`earliest` is the default; `-N` are the last N, or as many as there are."""
    assert offsets_of(read(compressed, query)) == list(range(first, COUNT))


@pytest.mark.parametrize("query", ["offset=latest", f"offset={COUNT}", "offset=-0"])
def test_end_of_a_partition_has_nothing_yet(read: Read, compressed: str, query: str) -> None:
    """The end is a valid offset: an empty array, after the timeout."""
    answer = read(compressed, f"{query}&timeout=0")
    assert answer.refusal == (200, BIN, [])


@pytest.mark.parametrize(
    ("max_bytes", "count"),
    [(0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (7, 3), (8, 4), (10**18, COUNT), (2**63 - 1, COUNT)],
)
def test_max_bytes_bounds_keys_and_values(
    read: Read, compressed: str, max_bytes: int, count: int
) -> None:
    """Each of the first records has two bytes; one record always comes."""
    assert offsets_of(read(compressed, f"max_bytes={max_bytes}")) == list(range(count))


def test_record_larger_than_max_bytes_comes_alone(
    read: Read, make_topic: MakeTopic, broker: Broker
) -> None:
    """A record of 300 kB with `max_bytes=10`, then the ones behind it."""
    topic = make_topic()
    for value in (b"a" * 300_000, b"b", b"c"):
        asyncio.run(produce(broker.bootstrap, topic, [value]))
    assert offsets_of(read(topic, "max_bytes=10")) == [0]
    assert offsets_of(read(topic, "max_bytes=10&offset=1")) == [1, 2]


def test_read_over_several_batches_has_them_all(
    read: Read, make_topic: MakeTopic, broker: Broker
) -> None:
    """Ten batches come in one answer, and equal what a native client reads."""
    topic = make_topic()
    for compression in (None, "gzip", "snappy", "lz4", "zstd") * 2:
        values = [b"v" * 50, b"", None]
        asyncio.run(produce(broker.bootstrap, topic, values, key=b"", compression_type=compression))
    native = asyncio.run(read_all(broker.bootstrap, topic))
    shown: Any = read(topic, "offset=0").parsed
    assert [(one["offset"], one["key"], one["value"]) for one in shown] == [
        (one.offset, "", None if one.value is None else base64.b64encode(one.value).decode())
        for one in native
    ]
    assert len(shown) == 30


def test_markers_of_transactions_are_passed_over(
    read: Read, make_topic: MakeTopic, broker: Broker, name: str
) -> None:
    """A read that begins at a marker goes on behind it, at once, with `timeout=0` too."""
    topic = make_topic()

    async def write() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=name)
        await producer.start()
        try:
            for value in (b"0", b"2", b"4"):
                async with producer.transaction():
                    await producer.send_and_wait(topic, value, partition=0)
        finally:
            await producer.stop()

    asyncio.run(write())
    # The marker of a transaction takes the offset after its record.
    assert offsets_of(read(topic, "offset=0&timeout=0")) == [0, 2, 4]
    for offset, expected in ((1, [2, 4]), (3, [4]), (5, []), (6, [])):
        for limits in ("timeout=0", "timeout=0&max_bytes=0"):
            found = offsets_of(read(topic, f"offset={offset}&{limits}"))
            assert found == (expected[:1] if "max_bytes" in limits else expected), offset


def test_gap_of_trimmed_records_is_out_of_range(
    read: Read, make_topic: MakeTopic, broker: Broker
) -> None:
    """Below the beginning and above the end: 40002 with the valid range."""
    topic = make_topic()
    asyncio.run(produce(broker.bootstrap, topic, [b"x"] * 5))
    asyncio.run(trim(broker.bootstrap, topic, {0: 2}))
    for offset in (0, 1, 6, 2**63 - 1):
        message = (
            f"offset_out_of_range: offset {offset} of {topic}-0 is not within "
            "the valid range 2 to 5"
        )
        expected = (400, V2, {"error_code": 40002, "message": message})
        assert read(topic, f"offset={offset}").refusal == expected
    assert offsets_of(read(topic, "offset=earliest")) == [2, 3, 4]
    assert offsets_of(read(topic, "offset=-100")) == [2, 3, 4]


@pytest.mark.parametrize(
    ("query", "name", "got"),
    [
        ("offset=abc", "offset", "abc"),
        ("offset=", "offset", ""),
        ("offset", "offset", ""),
        ("offset=1.5", "offset", "1.5"),
        ("offset=1e3", "offset", "1e3"),
        ("offset=0x10", "offset", "0x10"),
        ("offset=+1", "offset", " 1"),
        ("offset=%2B1", "offset", "+1"),
        ("offset=--1", "offset", "--1"),
        ("offset=9223372036854775808", "offset", "9223372036854775808"),
        ("offset=-9223372036854775808", "offset", "-9223372036854775808"),
        ("offset=" + "9" * 200, "offset", "9" * 100 + "…"),
        ("offset=%D9%A1", "offset", "\u0661"),
        ("offset=1&offset=2", "offset", "1,2"),
        ("offset=%00", "offset", "␀"),
        ("offset=%ff", "offset", "%ff"),
        ("offset=%", "offset", "%"),
        ("timeout=-1", "timeout", "-1"),
        ("timeout=abc", "timeout", "abc"),
        ("timeout=1&timeout=2", "timeout", "1,2"),
        ("timeout=9223372036854775808", "timeout", "9223372036854775808"),
        ("max_bytes=-1", "max_bytes", "-1"),
        ("max_bytes=1k", "max_bytes", "1k"),
        ("max_bytes=", "max_bytes", ""),
        ("invalid=maybe", "invalid", "maybe"),
    ],
)
def test_bad_parameter_is_40002(
    read: Read, compressed: str, query: str, name: str, got: str
) -> None:
    """The message has the parameter and what was given for it."""
    message = f"Invalid parameter '{name}' got '{got}'"
    assert read(compressed, query).refusal == (400, V2, {"error_code": 40002, "message": message})


def test_unknown_parameters_are_passed_over(read: Read, compressed: str) -> None:
    """A parameter that we do not know changes nothing."""
    assert offsets_of(read(compressed, "count=1&x&=&&max_records=zzz")) == list(range(COUNT))


def test_bad_record_ends_an_answer_or_is_told(
    read: Read, make_topic: MakeTopic, broker: Broker
) -> None:
    """What is before it comes; first, it is 40801 with its place; skipped or reported if asked."""
    topic = make_topic()
    asyncio.run(produce(broker.bootstrap, topic, [b"1", b"\xff", b"3"]))
    for accept in (JSON, TEXT):
        field = f"Accept: {accept}"
        assert offsets_of(read(topic, "offset=0", field)) == [0]
        refused = read(topic, "offset=1", field)
        assert (refused.status, refused.headers["content-type"]) == (422, V2)
        body = refused.parsed
        assert isinstance(body, dict)
        assert body["error_code"] == 40801
        assert f"{topic}" in body["message"]
        assert "offset 1" in body["message"]
        assert offsets_of(read(topic, "offset=0&invalid=skip", field)) == [0, 2]
        reported: Any = read(topic, "offset=0&invalid=report", field).parsed
        assert [one.get("error_code") for one in reported] == [None, 40801, None]
        assert reported[1]["value_base64"] == "/w=="
    assert offsets_of(read(topic, "offset=1")) == [1, 2]
