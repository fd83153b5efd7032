"""
GET /topics/{topic}/partitions/{partition}/records          a direct read, without a group
GET /consumers/{group}/instances/{instance}/records         a fetch

Query: `timeout` in ms, `max_bytes` of keys and values, `invalid`; a fetch also `max_records`, a
direct read `offset`: a number, `earliest`, `latest`, or `-N` for the last N.

Departs from both peers: a fetch returns at the first data, always brings a record when there is
one, and its records count as delivered only when the answer was written to the end. Departs from
pandaproxy: a direct read begins exactly at its offset and needs no parameter. Departs from
Confluent: an explicit format in `Accept` wins over the instance's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from proxy.api.endpoint import Call
from proxy.api.responses import respond_delivered
from proxy.errors import UndecodableRecord
from proxy.kafka.consumer_options import FetchLimits
from proxy.kafka.offsets import EARLIEST, LATEST
from proxy.kafka.record_queue import RECORDS_AT_ONCE, OnUndecodable
from proxy.model import Format, StoredRecord, TopicPartition
from proxy.wire.media_types import choose_record_type
from proxy.wire.parameters import (
    MAX_OFFSET,
    InvalidPolicy,
    Query,
    StartFrom,
    StartOffset,
    integer_parameter,
    invalid_policy,
    parse_start_offset,
)
from proxy.wire.records import RecordRenderer

MAX_INT32 = 2**31 - 1

T = TypeVar("T")


async def read_partition(call: Call) -> None:
    """GET /topics/{topic}/partitions/{partition}/records"""
    content_type, chosen = choose_record_type(call.accept, Format.BINARY)
    where = TopicPartition(call.topic(), call.partition())
    query = call.query()
    start = _start(query)
    timeout_s = _timeout_s(call, query, None)
    max_bytes = _max_bytes(call, query)
    renderer = RecordRenderer(chosen or Format.BINARY, chosen or Format.BINARY)
    policy = _on_undecodable(invalid_policy(query), renderer)
    offset = await _offset(call, where, start)
    records = await _unless_client_leaves(
        call, call.context.reader.read(where, offset, max_bytes=max_bytes, timeout_s=timeout_s)
    )
    if records is not None:
        parts = await _render_all(records, renderer, policy)
        await call.answer(renderer.join(parts), content_type)


async def fetch_records(call: Call) -> None:
    """GET /consumers/{group}/instances/{instance}/records"""
    with call.context.instances.using(call.group(), call.instance()) as instance:
        options = instance.options
        mixed = options.key_format is not options.value_format
        content_type, chosen = choose_record_type(
            call.accept, None if mixed else options.value_format
        )
        query = call.query()
        limits = FetchLimits(
            timeout_s=_timeout_s(call, query, options.request_timeout_ms),
            min_bytes=options.fetch_min_bytes,
            max_bytes=_max_bytes(call, query),
            max_records=integer_parameter(query, "max_records", MAX_INT32, 0, MAX_INT32),
        )
        renderer = RecordRenderer(chosen or options.key_format, chosen or options.value_format)
        policy = _on_undecodable(invalid_policy(query), renderer)
        async with instance.turn:
            selection = await _unless_client_leaves(
                call, instance.select(renderer.render, policy, limits)
            )
            if selection is not None and await respond_delivered(
                call.scope, call.send, 200, renderer.join(selection.parts), content_type
            ):
                instance.confirm(selection)


async def _unless_client_leaves(call: Call, reading: Coroutine[None, None, T]) -> T | None:
    """What to answer; None when the client went away while it waited."""
    wait = asyncio.create_task(reading)
    leaving = asyncio.create_task(_client_left(call))
    try:
        await asyncio.wait({wait, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return wait.result() if wait.done() else None
    finally:
        # Our own waiting, not aiokafka's: both may be cancelled. They have ended before `turn` is
        # given on: one that still ran could take records from under the next fetch.
        for task in (wait, leaving):
            task.cancel()
        await asyncio.gather(wait, leaving, return_exceptions=True)


async def _client_left(call: Call) -> None:
    while (await call.receive())["type"] != "http.disconnect":
        pass


async def _render_all(
    records: list[StoredRecord], renderer: RecordRenderer, policy: OnUndecodable
) -> list[bytes]:
    parts: list[bytes] = []
    for count, record in enumerate(records, start=1):
        if count % RECORDS_AT_ONCE == 0:
            await asyncio.sleep(0)
        try:
            part: bytes | None = renderer.render(record)
        except UndecodableRecord as exc:
            try:
                part = policy(record, exc)
            except UndecodableRecord:
                if parts:
                    break
                raise
        if part is not None:
            parts.append(part)
    return parts


def _on_undecodable(policy: InvalidPolicy, renderer: RecordRenderer) -> OnUndecodable:
    return {
        InvalidPolicy.FAIL: _raise,
        InvalidPolicy.SKIP: _leave_out,
        InvalidPolicy.REPORT: renderer.report,
    }[policy]


def _raise(record: StoredRecord, exc: UndecodableRecord) -> bytes | None:
    raise exc


def _leave_out(record: StoredRecord, exc: UndecodableRecord) -> bytes | None:
    return None


def _start(query: Query) -> StartOffset:
    texts = query.get("offset")
    return StartOffset(StartFrom.EARLIEST) if texts is None else parse_start_offset(",".join(texts))


async def _offset(call: Call, where: TopicPartition, start: StartOffset) -> int:
    if start.start is StartFrom.OFFSET:
        return start.number
    reader = call.context.reader
    if start.start is StartFrom.LAST:
        return await reader.find_last(where, start.number)
    limit = EARLIEST if start.start is StartFrom.EARLIEST else LATEST
    return await reader.find_limit(where, limit)


def _timeout_s(call: Call, query: Query, instance_ms: int | None) -> float:
    settings = call.context.settings
    default = settings.consumer_request_timeout_ms if instance_ms is None else instance_ms
    wanted = integer_parameter(query, "timeout", default, 0, MAX_OFFSET)
    return min(wanted, settings.consumer_request_timeout_cap_ms) / 1000


def _max_bytes(call: Call, query: Query) -> int:
    settings = call.context.settings
    wanted = integer_parameter(
        query, "max_bytes", settings.consumer_request_max_bytes, 0, MAX_OFFSET
    )
    return min(wanted, settings.consumer_request_cap_bytes)
