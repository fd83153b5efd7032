"""GET …/records?invalid=: records that are not what the asked format needs."""

from __future__ import annotations

import pytest

from tests.api.instance_client import JSON, V2, an_instance, answer
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

VALUES = [b"1", b"{bad", b"3", b"\xff", b"5"]


def told(topic: str, partition: int, offset: int) -> dict[str, object]:
    """The body of 40801."""
    return {
        "error_code": 40801,
        "message": f"Record at offset {offset} of topic '{topic}' partition {partition} cannot be"
        " read: the value is not one valid JSON value. Read on with invalid=skip or invalid=report,"
        f" read it as binary, or seek to offset {offset + 1}.",
    }


@pytest.mark.parametrize("query", [{}, {"invalid": "fail"}])
async def test_fail(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str, query: dict[str, str]
) -> None:
    """The records before it come; when it is first, 422 says where it is and how to go on."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, VALUES)
    async with an_instance(proxy_url, name, format="json") as instance:
        await instance.subscribe(read)
        assert [one["value"] for one in await instance.fetch(timeout=5000, **query)] == [1]
        for _ in range(2):
            refusal = await instance.get("/records", timeout=5000, **query)
            assert answer(refusal) == (422, V2, told(read, 0, 1))
        # Nothing after it counts as delivered.
        await instance.commit()
        assert await verify.committed(broker.bootstrap, name) == {(read, 0): (1, "")}
        # Each remedy that the message names.
        await instance.seek(read, 2)
        assert [one["value"] for one in await instance.fetch(timeout=5000)] == [3]
        binary = await instance.client.get(
            f"{instance.base}/records",
            headers={"accept": "application/vnd.kafka.binary.v2+json"},
        )
        assert [one["value"] for one in binary.json()] == ["/w==", "NQ=="]


async def test_skip(broker: Broker, proxy_url: str, topic: TopicFactory, name: str) -> None:
    """Bad records are left out and count as delivered; a fetch waits behind them."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, VALUES)
    async with an_instance(proxy_url, name, format="json") as instance:
        await instance.subscribe(read)
        records = await instance.fetch_until(3, invalid="skip")
        assert [(one["offset"], one["value"]) for one in records] == [(0, 1), (2, 3), (4, 5)]
        await verify.produce(broker.bootstrap, read, [b"bad"])
        assert await instance.fetch(timeout=300, invalid="skip") == []
        await verify.produce(broker.bootstrap, read, [b"bad", b"8"])
        [last] = await instance.fetch_until(1, invalid="skip")
        assert (last["offset"], last["value"]) == (7, 8)
        await instance.commit()
        assert await verify.committed(broker.bootstrap, name) == {(read, 0): (8, "")}


async def test_report(broker: Broker, proxy_url: str, topic: TopicFactory, name: str) -> None:
    """Bad records come in their place, with their bytes and what is wrong."""
    read = await topic(configs={"retention.ms": "-1"})
    when = 1_700_000_000_000
    await verify.produce(broker.bootstrap, read, [b"1", b"{bad"], key=b"2", timestamp_ms=when)
    async with an_instance(proxy_url, name, format="json") as instance:
        await instance.subscribe(read)
        fetched = await instance.get("/records", timeout=5000, invalid="report")
        where = {"topic": read, "partition": 0, "timestamp": when}
        assert answer(fetched) == (
            200,
            JSON,
            [
                {**where, "offset": 0, "key": 2, "value": 1},
                {
                    **where,
                    "offset": 1,
                    "error_code": 40801,
                    "error": "the value is not one valid JSON value",
                    "key_base64": "Mg==",
                    "value_base64": "e2JhZA==",
                },
            ],
        )


async def test_a_bad_record_holds_up_its_partition_only(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """At the head of one partition it is told once the others have nothing to give."""
    read = await topic(partitions=3)
    await verify.produce(broker.bootstrap, read, [b"bad", b"1"], partition=1)
    for partition in (0, 2):
        await verify.produce(broker.bootstrap, read, [b"7", b"7"], partition=partition)
    async with an_instance(proxy_url, name, format="json", fetch_min_bytes=8) as instance:
        await instance.subscribe(read)
        records = []
        for at in range(4):
            records += await instance.fetch(timeout=0 if at else 5000, max_records=1)
        assert sorted(one["partition"] for one in records) == [0, 0, 2, 2]
        refusal = await instance.get("/records", timeout=0)
        assert answer(refusal) == (422, V2, told(read, 1, 0))
        await verify.produce(broker.bootstrap, read, [b"8"], partition=2)
        # The bad one is there at once; the good one wins as soon as it has arrived.
        while (fetched := await instance.get("/records", timeout=50)).status_code != 200:
            assert answer(fetched) == (422, V2, told(read, 1, 0))
        assert [one["value"] for one in fetched.json()] == [8]


async def test_text(broker: Broker, proxy_url: str, topic: TopicFactory, name: str) -> None:
    """What is not UTF-8 is no text; an unknown policy is 40002."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"\xff", "é".encode()])
    async with an_instance(proxy_url, name, format="text") as instance:
        await instance.subscribe(read)
        refusal = await instance.get("/records", timeout=5000)
        assert (refusal.status_code, refusal.json()["error_code"]) == (422, 40801)
        records = await instance.fetch_until(1, invalid="skip")
        assert [one["value"] for one in records] == ["é"]
        unknown = await instance.get("/records", invalid="maybe")
        assert (unknown.status_code, unknown.json()["error_code"]) == (400, 40002)
