"""
The main job on real input: this machine's package manager log through the proxy and back.

Every line goes through HTTP, a part of them one by one and the rest in batches, into a topic of
four partitions. A group of three instances reads it back while one of them is deleted half-way.
Every byte is compared, twice: with what the group got, and with what the broker has.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import orjson
import pytest

from tests.brokers.broker import Broker
from tests.brokers.verify import read_all
from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

LOGS = ("/var/log/dpkg.log", "/var/log/dnf.rpm.log", "/var/log/pacman.log", "/var/log/apk.log")
FEWEST_LINES = 500
ONE_BY_ONE = 400
BATCH = 500
PARTITIONS = 4


class Line(NamedTuple):
    """A line as it is stored: the key is what the line is about, so that order matters per key."""

    key: bytes
    value: bytes


class Embedding(NamedTuple):
    """How a format puts stored bytes into JSON text, and takes them out again."""

    media_type: str
    store: Callable[[bytes], bytes]
    embed: Callable[[bytes], bytes]
    extract: Callable[[bytes], bytes]


def as_json_value(line: bytes) -> bytes:
    """A JSON object with the line, in a spelling that no JSON library would choose."""
    return b'{ "line" : %s,"weight": 1.50e+02 }' % orjson.dumps(line.decode("utf-8", "replace"))


EMBEDDINGS = {
    "binary": Embedding(
        "application/vnd.kafka.binary.v2+json",
        store=lambda line: line,
        embed=lambda stored: b'"%s"' % base64.b64encode(stored),
        extract=lambda text: base64.b64decode(orjson.loads(text)),
    ),
    "json": Embedding(
        "application/vnd.kafka.json.v2+json",
        store=as_json_value,
        embed=lambda stored: stored,
        extract=lambda text: text,
    ),
    "text": Embedding(
        "application/vnd.kafka.text.v2+json",
        store=lambda line: line.decode("utf-8", "replace").encode(),
        embed=lambda stored: orjson.dumps(stored.decode()),
        extract=lambda text: orjson.loads(text).encode(),
    ),
}


class Fetched(msgspec.Struct):
    """A record of an answer; key and value as the text that they are there."""

    topic: str
    key: msgspec.Raw
    value: msgspec.Raw
    partition: int
    offset: int
    timestamp: int


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """The lines of this machine's package manager log, as bytes."""
    for name in LOGS:
        path = Path(name)
        if path.is_file():
            found = path.read_bytes().splitlines()
            if len(found) >= FEWEST_LINES:
                return found
    pytest.skip(f"this machine has no package manager log of {FEWEST_LINES} lines: {LOGS}")


@pytest.mark.needs("commit_while_rebalancing")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("format_name", EMBEDDINGS)
async def test_a_real_log_comes_back_byte_for_byte(
    proxy_url: str, broker: Broker, topic: TopicFactory, lines: list[bytes], format_name: str
) -> None:
    """Nothing is missing, nothing altered, the order of each key is kept, nothing comes twice."""
    embedding = EMBEDDINGS[format_name]
    sent = [Line(embedding.store(key_of(line)), embedding.store(line)) for line in lines]
    name = await topic(partitions=PARTITIONS)
    with httpx.Client(base_url=proxy_url, timeout=15) as client:
        places = produce(client, name, sent, embedding)
        fetched = consume(client, name, len(sent), embedding, format_name)

    by_place = dict(zip(places, sent, strict=True))
    assert len(by_place) == len(sent)
    assert len(fetched) == len(sent), "a record came twice, or not at all"
    assert dict(fetched) == by_place
    assert orders(line for _, line in fetched) == orders(sent)
    stored = await read_all(broker.bootstrap, name)
    assert {(r.partition, r.offset): Line(r.key or b"", r.value or b"") for r in stored} == by_place


def key_of(line: bytes) -> bytes:
    """What a line is about: for dpkg the package, else its third word."""
    words = line.split()
    return words[3] if len(words) > 3 else b"other"


def orders(lines: Iterator[Line] | list[Line]) -> dict[bytes, list[bytes]]:
    """The values of each key, in order."""
    found: dict[bytes, list[bytes]] = {}
    for line in lines:
        found.setdefault(line.key, []).append(line.value)
    return found


def produce(
    client: httpx.Client, topic: str, lines: list[Line], embedding: Embedding
) -> list[tuple[int, int]]:
    """Send them, some alone, the rest in batches; the partition and offset of each."""
    places: list[tuple[int, int]] = []
    batches = [[line] for line in lines[:ONE_BY_ONE]]
    batches += [lines[at : at + BATCH] for at in range(ONE_BY_ONE, len(lines), BATCH)]
    for batch in batches:
        records = b",".join(
            b'{"key":%s,"value":%s}' % (embedding.embed(line.key), embedding.embed(line.value))
            for line in batch
        )
        answer = client.post(
            f"/topics/{topic}",
            content=b'{"records":[%s]}' % records,
            headers={"content-type": embedding.media_type},
        )
        assert answer.status_code == 200, answer.text
        offsets = answer.json()["offsets"]
        assert all(entry["error_code"] is None for entry in offsets)
        places += [(entry["partition"], entry["offset"]) for entry in offsets]
    return places


def consume(
    client: httpx.Client, topic: str, count: int, embedding: Embedding, format_name: str
) -> list[tuple[tuple[int, int], Line]]:
    """Read them with three instances that commit each fetch, of which one is deleted half-way."""
    group = f"group-{topic}"
    instances = [subscribe(client, group, topic, format_name) for _ in range(3)]
    fetched: list[tuple[tuple[int, int], Line]] = []
    turn = 0
    while len(fetched) < count:
        if len(instances) == 3 and len(fetched) >= count // 2:
            assert client.delete(instances.pop(0)).status_code == 204
        uri = instances[turn % len(instances)]
        turn += 1
        answer = client.get(
            f"{uri}/records?timeout=300&max_bytes=20000", headers={"accept": embedding.media_type}
        )
        assert answer.status_code == 200, answer.text
        for record in msgspec.json.decode(answer.content, type=list[Fetched]):
            line = Line(
                embedding.extract(bytes(record.key)), embedding.extract(bytes(record.value))
            )
            fetched.append(((record.partition, record.offset), line))
        assert client.post(f"{uri}/offsets").status_code == 204
    assert len(instances) == 2, "all was read before one could be deleted"
    for uri in instances:
        assert client.get(f"{uri}/records?timeout=0").json() == []
        assert client.delete(uri).status_code == 204
    return fetched


def subscribe(client: httpx.Client, group: str, topic: str, format_name: str) -> str:
    """A new instance that has joined the group; its address."""
    made = client.post(f"/consumers/{group}", json={"format": format_name})
    assert made.status_code == 200, made.text
    uri: str = made.json()["base_uri"]
    joined = client.post(f"{uri}/subscription", json={"topics": [topic]})
    assert joined.status_code == 204, joined.text
    return uri
