"""…/positions: where reading goes on."""

from __future__ import annotations

import pytest

from tests.api.instance_client import NOTHING, Instance, an_instance, answer, refused
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

START_MS = 1_700_000_000_000
# Records of that age are kept.
KEPT = {"retention.ms": "-1"}


async def next_offset(instance: Instance) -> int:
    """The offset of the record that comes next."""
    [record] = await instance.fetch(timeout=5000, max_records=1)
    offset: int = record["offset"]
    return offset


async def test_to_an_offset_and_the_ends(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """To an offset, the beginning and the end; what was prefetched is gone."""
    read = await topic(partitions=2)
    await verify.produce(broker.bootstrap, read, [b"x"] * 10)
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        assert await next_offset(instance) == 0
        await instance.seek(read, 7)
        assert await next_offset(instance) == 7
        await instance.seek(read, 2)
        assert await next_offset(instance) == 2
        where = {"partitions": [{"topic": read, "partition": 0}]}
        assert answer(await instance.post("/positions/end", where)) == NOTHING
        assert await instance.fetch(timeout=200) == []
        await verify.produce(broker.bootstrap, read, [b"y"])
        assert await next_offset(instance) == 10
        assert answer(await instance.post("/positions/beginning", where)) == NOTHING
        assert await next_offset(instance) == 0
        # To the very end, and beyond it: the reset policy's place.
        await instance.seek(read, 11)
        assert await instance.fetch(timeout=200) == []
        await instance.seek(read, 99)
        assert await next_offset(instance) == 0


async def test_to_a_time(broker: Broker, proxy_url: str, topic: TopicFactory, name: str) -> None:
    """To the first record at or after a time, in ms or RFC 3339; past the last one: to the end."""
    read = await topic(configs=KEPT)
    for at in range(4):
        await verify.produce(broker.bootstrap, read, [b"x"], timestamp_ms=START_MS + 1000 * at)
    async with an_instance(proxy_url, name) as instance:
        await instance.assign((read, 0))
        for when, expected in (
            (START_MS, 0),
            (START_MS + 1001, 2),
            (0, 0),
            ("2023-11-14T22:13:22Z", 2),
            ("2023-11-14T23:13:21.500+01:00", 2),
        ):
            body = {"timestamps": [{"topic": read, "partition": 0, "timestamp": when}]}
            assert answer(await instance.post("/positions", body)) == NOTHING
            assert await next_offset(instance) == expected
        body = {"timestamps": [{"topic": read, "partition": 0, "timestamp": START_MS + 9999}]}
        assert answer(await instance.post("/positions", body)) == NOTHING
        assert await instance.fetch(timeout=200) == []
        await verify.produce(broker.bootstrap, read, [b"y"])
        assert await next_offset(instance) == 4


@pytest.mark.parametrize("path", ["/positions", "/positions/beginning", "/positions/end"])
async def test_what_is_not_assigned(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str, path: str
) -> None:
    """A partition that is not assigned is 40903, and the others are not moved either."""
    read = await topic(partitions=2)
    await verify.produce(broker.bootstrap, read, [b"x"] * 3)
    both = [{"topic": read, "partition": partition, "offset": 2} for partition in (0, 1)]
    body: dict[str, object] = {"offsets": both}
    if path != "/positions":
        body = {"partitions": [{"topic": read, "partition": at} for at in (0, 1)]}
    expected = refused(40903, f"No current assignment for partition {read}-1")
    async with an_instance(proxy_url, name) as instance:
        assert (await instance.post(path, body)).json()["error_code"] == 40903
        await instance.assign((read, 0))
        assert await next_offset(instance) == 0
        assert answer(await instance.post(path, body)) == expected
        assert await next_offset(instance) == 1


async def test_several_at_once(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """Offsets and times in one request, each for its partition."""
    read = await topic(partitions=2, configs=KEPT)
    for partition in (0, 1):
        await verify.produce(
            broker.bootstrap, read, [b"x"] * 3, partition=partition, timestamp_ms=START_MS
        )
    body = {
        "offsets": [{"topic": read, "partition": 0, "offset": 2}],
        "timestamps": [{"topic": read, "partition": 1, "timestamp": START_MS + 1}],
    }
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        await instance.fetch_until(6)
        assert answer(await instance.post("/positions", body)) == NOTHING
        records = await instance.fetch_until(1)
        assert [(one["partition"], one["offset"]) for one in records] == [(0, 2)]
        assert await instance.fetch(timeout=200) == []


async def test_a_seek_while_a_fetch_waits(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """What was prefetched before a seek does not come after it, again and again."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"x" * 1000] * 3000)
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        for at in (2999, 0, 1500, 1499, 2998, 1):
            await instance.seek(read, at)
            records = await instance.fetch(timeout=5000)
            assert [one["offset"] for one in records[:2]] == list(range(at, 3000))[:2]


async def test_refused_seeks(proxy_url: str, name: str) -> None:
    """A body that is no seek is 422."""
    async with an_instance(proxy_url, name) as instance:
        for body in ({}, {"offsets": [{"topic": "t", "partition": 0, "offset": -1}]}):
            bad = await instance.post("/positions", body)
            assert (bad.status_code, bad.json()["error_code"]) == (422, 422)
