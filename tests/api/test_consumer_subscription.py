"""…/subscription and …/assignments: what an instance reads."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.instance_client import (
    NOT_FOUND,
    NOTHING,
    V2,
    an_instance,
    answer,
    http_client,
    refused,
)
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

EXCLUSIVE = refused(40903, "Subscription to topics, partitions and pattern are mutually exclusive.")
NOT_SUBSCRIBED = refused(
    40903, "Consumer is not subscribed to any topics or assigned any partitions."
)


async def test_subscribing_joins_before_it_answers(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """After the 204 the instance is a member, has partitions, and the first fetch has records."""
    read = await topic(partitions=2)
    await verify.produce(broker.bootstrap, read, [b"1"], partition=1)
    async with an_instance(proxy_url, name, format="json") as instance:
        assert answer(await instance.get("/subscription")) == (200, V2, {"topics": []})
        assert answer(await instance.get("/records")) == NOT_SUBSCRIBED
        await instance.subscribe(read)
        assert await verify.count_members(broker.bootstrap, name) == 1
        assert await instance.assignments() == [(read, 0), (read, 1)]
        assert answer(await instance.get("/subscription")) == (200, V2, {"topics": [read]})
        assert [record["value"] for record in await instance.fetch(timeout=5000)] == [1]
        assert answer(await instance.delete()) == NOTHING
        assert await verify.count_members(broker.bootstrap, name) == 0
        assert answer(await instance.get("/records")) == NOT_FOUND
        assert answer(await instance.delete()) == NOT_FOUND


async def test_latest_sees_what_is_written_after_the_answer(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """With `latest`, what was there is left out and what is written right after the 204 comes."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"before"])
    async with an_instance(proxy_url, name, format="text", auto_offset_reset="latest") as one:
        await one.subscribe(read)
        await verify.produce(broker.bootstrap, read, [b"after"])
        records = await one.fetch_until(1)
        assert [record["value"] for record in records] == ["after"]


async def test_latest_by_hand(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """The same holds for partitions that are assigned."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"before"])
    async with an_instance(proxy_url, name, format="text", auto_offset_reset="latest") as one:
        await one.assign((read, 0))
        await verify.produce(broker.bootstrap, read, [b"after"])
        records = await one.fetch_until(1)
        assert [record["value"] for record in records] == ["after"]


@pytest.mark.parametrize("policy", ["earliest", "latest"])
async def test_a_topic_that_appears_later(
    broker: Broker, proxy_url: str, name: str, policy: str
) -> None:
    """A topic that is not there is subscribed to, not created, and read once it appears."""
    missing = f"{name}-later"
    async with an_instance(proxy_url, name, auto_offset_reset=policy) as instance:
        await instance.subscribe(missing)
        assert await instance.fetch(timeout=0) == []
        assert missing not in await verify.list_topics(broker.bootstrap)
        await verify.create_topic(broker.bootstrap, missing)
        await verify.produce(broker.bootstrap, missing, [b"a", b"b"])
        try:
            assert [one["offset"] for one in await instance.fetch_until(2)] == [0, 1]
        finally:
            await verify.delete_topics(broker.bootstrap, [missing])


async def test_a_pattern_means_the_whole_name(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A pattern takes the topics that it matches in full, and no pattern can block the loop."""
    read, other = await topic(), await topic()
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(pattern=f"({read[:-1]}.|x+)+")
        assert answer(await instance.get("/subscription")) == (200, V2, {"topics": [read]})
        assert await instance.assignments() == [(read, 0)]
        # A prefix is no match, and another pattern replaces the first.
        await instance.subscribe(pattern=other[:-1])
        assert await instance.assignments() == []
        async with asyncio.timeout(5):
            await instance.subscribe(pattern="((([a-z0-9-])+)+)+[!]")
        await instance.subscribe(pattern=f"{other[:-1]}.*")
        assert await instance.assignments() == [(other, 0)]
        # Two patterns for the same topics, as anything that is written differently, join again.
        async with asyncio.timeout(5):
            await instance.subscribe(pattern=f"{other[:-1]}.+")
        assert await instance.assignments() == [(other, 0)]


async def test_a_pattern_finds_topics_that_appear(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """Topics after a pattern, and a pattern after topics, replace each other."""
    first, second = await topic(), await topic()
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(first)
        await instance.subscribe(pattern=second)
        assert await instance.assignments() == [(second, 0)]
        await instance.subscribe(first)
        assert await instance.assignments() == [(first, 0)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"topics": ["a"], "topic_pattern": "b"}, EXCLUSIVE),
        (
            {"topics": []},
            refused(422, "$.topics: name at least one topic, or give a topic_pattern", 422),
        ),
        ({}, refused(422, "$.topics: name at least one topic, or give a topic_pattern", 422)),
        (
            {"topic_pattern": "a(?=b)"},
            refused(
                422,
                "$.topic_pattern: not a regular expression of RE2: invalid perl operator: (?=",
                422,
            ),
        ),
    ],
)
async def test_refused_subscriptions(
    proxy_url: str, name: str, body: object, expected: tuple[int, str, object]
) -> None:
    """Both, neither, none, and a pattern that RE2 does not know."""
    async with an_instance(proxy_url, name) as instance:
        assert answer(await instance.post("/subscription", body)) == expected


async def test_subscribing_replaces_and_ends(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A subscription replaces the one before, the same again changes nothing, DELETE ends it."""
    first, second = await topic(), await topic()
    await verify.produce(broker.bootstrap, second, [b"1"])
    async with an_instance(proxy_url, name, format="json") as instance:
        await instance.subscribe(first)
        await instance.subscribe(first, second)
        assert await instance.assignments() == sorted([(first, 0), (second, 0)])
        assert len(await instance.fetch(timeout=5000)) == 1
        await instance.subscribe(second, first)
        assert await instance.fetch(timeout=0) == []
        assert answer(await instance.delete("/subscription")) == NOTHING
        assert await verify.count_members(broker.bootstrap, name) == 0
        assert answer(await instance.get("/subscription")) == (200, V2, {"topics": []})
        assert answer(await instance.get("/records")) == NOT_SUBSCRIBED
        assert answer(await instance.delete("/subscription")) == NOTHING
        await instance.assign((second, 0))
        assert len(await instance.fetch(timeout=5000)) == 1


async def test_assigning(broker: Broker, proxy_url: str, topic: TopicFactory, name: str) -> None:
    """Partitions by hand: no member of the group, what is read goes on, no partitions end it."""
    first, second = await topic(partitions=2), await topic()
    await verify.produce(broker.bootstrap, first, [b"1", b"2"])
    async with an_instance(proxy_url, name, format="json") as instance:
        await instance.assign((first, 0))
        assert await instance.assignments() == [(first, 0)]
        assert await verify.count_members(broker.bootstrap, name) == 0
        assert [one["value"] for one in await instance.fetch(timeout=5000, max_bytes=1)] == [1]
        await instance.assign((second, 0), (first, 0))
        assert [one["value"] for one in await instance.fetch_until(1)] == [2]
        both = {"topics": [first]}
        assert answer(await instance.post("/subscription", both)) == EXCLUSIVE
        await instance.assign()
        assert answer(await instance.get("/records")) == NOT_SUBSCRIBED
        await instance.subscribe(first)
        mixed = {"partitions": [{"topic": first, "partition": 0}]}
        assert answer(await instance.post("/assignments", mixed)) == EXCLUSIVE


async def test_unknown_partitions_cannot_be_assigned(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """An unknown topic or partition is 404, and asking does not create it."""
    read = await topic()
    async with an_instance(proxy_url, name) as instance:
        for where, expected in (
            ((read, 7), refused(40402, f"Partition 7 of topic '{read}' not found.")),
            ((f"{name}-x", 0), refused(40401, f"Topic '{name}-x' not found.")),
        ):
            body = {"partitions": [{"topic": where[0], "partition": where[1]}]}
            assert answer(await instance.post("/assignments", body)) == expected
        assert f"{name}-x" not in await verify.list_topics(broker.bootstrap)


async def test_an_unknown_instance(proxy_url: str, name: str) -> None:
    """Every path below an instance that does not exist answers 40403."""
    base = f"{proxy_url}/consumers/{name}/instances/x"
    async with http_client() as client:
        for path in ("subscription", "assignments", "records", "offsets"):
            assert answer(await client.get(f"{base}/{path}")) == NOT_FOUND
        for path, body in (
            ("subscription", {"topics": ["a"]}),
            ("assignments", {"partitions": []}),
            ("offsets", {}),
            ("positions", {"offsets": []}),
            ("positions/beginning", {"partitions": []}),
            ("positions/end", {"partitions": []}),
        ):
            assert answer(await client.post(f"{base}/{path}", json=body)) == NOT_FOUND
        assert answer(await client.delete(f"{base}/subscription")) == NOT_FOUND
        assert answer(await client.delete(base)) == NOT_FOUND


async def test_a_missing_topic_holds_up_nothing(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A member that waits for one topic goes on reading the other."""
    read = await topic()
    async with an_instance(proxy_url, name, format="json") as instance:
        await instance.subscribe(read, f"{name}-missing")
        await verify.produce(broker.bootstrap, read, [b"1"])
        assert len(await instance.fetch_until(1)) == 1
