"""A consumer instance as an HTTP client uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

V2 = "application/vnd.kafka.v2+json"
JSON = "application/vnd.kafka.json.v2+json"
TEXT = "application/vnd.kafka.text.v2+json"
BINARY = "application/vnd.kafka.binary.v2+json"

Answer = tuple[int, str | None, Any]


def answer(response: httpx.Response) -> Answer:
    """Status, content type and whole body, to compare with one literal."""
    body = response.json() if response.content else None
    return response.status_code, response.headers.get("content-type"), body


def refused(code: int, message: str, status: int | None = None) -> Answer:
    """The answer of an error."""
    whole = {"error_code": code, "message": message}
    return code // 100 if status is None else status, V2, whole


NOT_FOUND = refused(40403, "Consumer instance not found.")
NOTHING: Answer = (204, None, None)


class Instance:
    """One that was made; paths are those below its own."""

    def __init__(self, client: httpx.AsyncClient, base: str) -> None:
        self.client = client
        self.base = base

    async def get(self, path: str, **query: object) -> httpx.Response:
        wanted = {name: str(value) for name, value in query.items()}
        return await self.client.get(self.base + path, params=wanted or None)

    async def post(self, path: str, body: object = None) -> httpx.Response:
        if body is None:
            return await self.client.post(self.base + path)
        return await self.client.post(self.base + path, json=body, headers={"content-type": V2})

    async def delete(self, path: str = "") -> httpx.Response:
        return await self.client.delete(self.base + path)

    async def subscribe(self, *topics: str, pattern: str | None = None) -> None:
        body = {"topics": topics} if pattern is None else {"topic_pattern": pattern}
        assert answer(await self.post("/subscription", body)) == NOTHING

    async def assign(self, *partitions: tuple[str, int]) -> None:
        body = {"partitions": [{"topic": t, "partition": p} for t, p in partitions]}
        assert answer(await self.post("/assignments", body)) == NOTHING

    async def assignments(self) -> list[tuple[str, int]]:
        found = (await self.get("/assignments")).json()["partitions"]
        return [(at["topic"], at["partition"]) for at in found]

    async def fetch(self, **query: object) -> list[dict[str, Any]]:
        response = await self.get("/records", **query)
        assert response.status_code == 200, response.text
        records: list[dict[str, Any]] = response.json()
        return records

    async def fetch_until(self, count: int, **query: object) -> list[dict[str, Any]]:
        """Fetch until so many records have come; the test's own timeout ends it otherwise."""
        records: list[dict[str, Any]] = []
        while len(records) < count:
            records += await self.fetch(timeout=1000, **query)
        return records

    async def commit(self, body: object = None) -> None:
        assert answer(await self.post("/offsets", body)) == NOTHING

    async def seek(self, topic: str, offset: int, partition: int = 0) -> None:
        body = {"offsets": [{"topic": topic, "partition": partition, "offset": offset}]}
        assert answer(await self.post("/positions", body)) == NOTHING


@asynccontextmanager
async def http_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client that waits longer than any test."""
    limits = httpx.Limits(max_connections=300)
    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:
        yield client


async def create(client: httpx.AsyncClient, url: str, group: str, **config: object) -> Instance:
    """Make an instance; `key_format=` stands for `key.format`."""
    body = {name.replace("_", "."): value for name, value in config.items()}
    made = await client.post(f"{url}/consumers/{quote(group, safe='')}", json=body)
    assert made.status_code == 200, made.text
    return Instance(client, made.json()["base_uri"])


@asynccontextmanager
async def an_instance(url: str, group: str, **config: object) -> AsyncIterator[Instance]:
    """An instance that is deleted at the end, if it is still there."""
    async with http_client() as client:
        instance = await create(client, url, group, **config)
        try:
            yield instance
        finally:
            await instance.delete()


async def eventually(check: Callable[[], Awaitable[object]], every_s: float = 0.05) -> None:
    """Until the coroutine function returns something true; the test's own timeout ends it."""
    while not await check():  # noqa: ASYNC110 (no event tells)
        await asyncio.sleep(every_s)


def assert_no_traceback(log: Path) -> None:
    """Nothing that we did not foresee happened."""
    text = log.read_text()
    marks = ("Traceback", "never retrieved", "unforeseen")
    assert [line for line in text.splitlines() if any(mark in line for mark in marks)] == []
