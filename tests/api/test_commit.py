"""…/offsets: what a commit stores, as the broker itself has it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.instance_client import NOTHING, V2, Instance, an_instance, answer, refused
from tests.brokers import verify
from tests.brokers.broker import Broker
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio


def entry(topic: str, offset: int, partition: int = 0, **more: Any) -> dict[str, Any]:
    """One of a commit's, or of an answer's."""
    return {"topic": topic, "partition": partition, "offset": offset, **more}


@pytest.mark.parametrize("member", ["offsets", "partitions"])
async def test_offsets_are_stored_plus_one(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str, member: str
) -> None:
    """A client names the last one that it processed; Kafka, and a look up, the next to read."""
    read = await topic(partitions=3)
    await verify.produce(broker.bootstrap, read, [b"x"] * 5)
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        body = {member: [entry(read, 2, metadata="why ö"), entry(read, -1, 1)]}
        await instance.commit(body)
        assert await verify.committed(broker.bootstrap, name) == {
            (read, 0): (3, "why ö"),
            (read, 1): (0, ""),
        }
        stored = [
            entry(read, 3, metadata="why ö"),
            entry(read, 0, 1, metadata=""),
            entry(read, -1, 2, metadata=""),
        ]
        assert answer(await instance.get("/offsets")) == (200, V2, {"offsets": stored})
        asked = await instance.client.get(
            f"{instance.base}/offsets?topic={read}&partition=2&topic={read}&partition=0"
        )
        assert answer(asked) == (200, V2, {"offsets": [stored[2], stored[0]]})
        with_body = await instance.client.request(
            "GET",
            f"{instance.base}/offsets",
            json={"partitions": [{"topic": read, "partition": 1}]},
        )
        assert answer(with_body) == (200, V2, {"offsets": [stored[1]]})


@pytest.mark.parametrize("body", [None, {}, {"offsets": None}])
async def test_without_offsets_what_was_delivered(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str, body: object
) -> None:
    """No body or an empty one stores everything delivered so far, and only that."""
    read = await topic(partitions=2)
    await verify.produce(broker.bootstrap, read, [b"x"] * 5)
    async with an_instance(proxy_url, name) as instance:
        await instance.commit(body)
        await instance.subscribe(read)
        await instance.commit(body)
        assert await verify.committed(broker.bootstrap, name) == {}
        await instance.fetch(timeout=5000, max_records=2)
        await instance.commit(body)
        assert await verify.committed(broker.bootstrap, name) == {(read, 0): (2, "")}
        await instance.commit(body)
        await instance.fetch_until(3)
        await instance.commit(body)
        assert await verify.committed(broker.bootstrap, name) == {(read, 0): (5, "")}


async def test_null_is_no_body(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """`null` is as good as none."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"x"])
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        await instance.fetch(timeout=5000)
        sent = await instance.client.post(f"{instance.base}/offsets", content=b"null")
        assert answer(sent) == NOTHING
        assert await verify.committed(broker.bootstrap, name) == {(read, 0): (1, "")}


async def test_before_it_reads_anything(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """An instance may commit for partitions that it does not read, while nobody else does."""
    read = await topic(partitions=2)
    async with an_instance(proxy_url, name) as instance:
        assert answer(await instance.get("/offsets")) == (200, V2, {"offsets": []})
        await instance.commit({"offsets": [entry(read, 6)]})
        assert await verify.committed(broker.bootstrap, name) == {(read, 0): (7, "")}
        await instance.assign((read, 1))
        await instance.commit({"offsets": [entry(read, 7)]})
        assert await verify.committed(broker.bootstrap, name) == {(read, 0): (8, "")}


async def test_a_new_instance_resumes(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """The next instance of the group goes on at the committed offset, whatever its policy."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"x"] * 4)
    for policy in ("earliest", "latest", "none"):
        async with an_instance(proxy_url, name, auto_offset_reset=policy) as instance:
            if policy == "earliest":
                await instance.commit({"offsets": [entry(read, 1)]})
            await instance.subscribe(read)
            assert [one["offset"] for one in await instance.fetch_until(2)] == [2, 3]


@pytest.mark.needs("metadata_limit")
async def test_refused_commits(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """A commit that is not done is not answered with 204, and stores nothing."""
    read = await topic()
    async with an_instance(proxy_url, name) as instance:
        await instance.subscribe(read)
        for body, expected in (
            ({"offsets": [entry(f"{name}-x", 1)]}, refused(40401, f"Topic '{name}-x' not found.")),
            (
                {"offsets": [entry(read, 1), entry(read, 1, 9)]},
                refused(40402, f"Partition 9 of topic '{read}' not found."),
            ),
            (
                {"offsets": [entry(read, 1, metadata="m" * 5000)]},
                refused(40002, "Kafka error: OFFSET_METADATA_TOO_LARGE"),
            ),
        ):
            assert answer(await instance.post("/offsets", body)) == expected
        wrong: dict[str, Any]
        for wrong in ({"offsets": [entry(read, -2)]}, {"offsets": 1}, {"offset": []}):
            bad = await instance.post("/offsets", wrong)
            assert (bad.status_code, bad.json()["error_code"]) == (422, 422)
        assert await verify.committed(broker.bootstrap, name) == {}
        assert f"{name}-x" not in await verify.list_topics(broker.bootstrap)


async def test_by_hand_in_a_group_that_has_members(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """Kafka takes commits from members alone; an instance that is none is told so."""
    read = await topic()
    async with an_instance(proxy_url, name) as member, an_instance(proxy_url, name) as other:
        await member.subscribe(read)
        await other.assign((read, 0))
        refusal = await other.post("/offsets", {"offsets": [entry(read, 1)]})
        assert answer(refusal) == refused(
            40903,
            "The group has rebalanced and the partitions may belong to another member.",
        )
        await member.commit({"offsets": [entry(read, 4)]})
        assert await verify.committed(broker.bootstrap, name) == {(read, 0): (5, "")}


async def offset_of(broker: Broker, group: str) -> list[int]:
    """The group's only committed offset, or none."""
    return [offset for offset, _ in (await verify.committed(broker.bootstrap, group)).values()]


async def test_auto_commit(broker: Broker, proxy_url: str, topic: TopicFactory, name: str) -> None:
    """A fetch commits what the fetch before it delivered, deleting the last one's."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"x"] * 3)
    async with an_instance(proxy_url, name, auto_commit_enable="true") as instance:
        await instance.subscribe(read)
        await instance.fetch(timeout=5000, max_records=1)
        assert await offset_of(broker, name) == []
        await instance.fetch(timeout=5000, max_records=1)
        assert await offset_of(broker, name) == [1]
        await instance.fetch(timeout=5000, max_records=1)
        assert await offset_of(broker, name) == [2]
        await instance.delete()
        assert await offset_of(broker, name) == [3]


async def test_no_auto_commit(
    broker: Broker, proxy_url: str, topic: TopicFactory, name: str
) -> None:
    """Without it nothing is committed that the client did not commit."""
    read = await topic()
    await verify.produce(broker.bootstrap, read, [b"x"] * 3)

    async def read_two(instance: Instance) -> list[int]:
        await instance.subscribe(read)
        return [one["offset"] for one in await instance.fetch(timeout=5000, max_records=2)]

    for _ in range(2):
        async with an_instance(proxy_url, name) as instance:
            assert await read_two(instance) == [0, 1]
        assert await offset_of(broker, name) == []
