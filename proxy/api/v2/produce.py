"""
POST /topics/{topic}
POST /topics/{topic}/partitions/{partition}

The hot path: plain ASGI, called before the router. No object is made here that a produce does not
need.

Departs from Confluent: `application/json` is taken as JSON, an unknown topic is 404 at once and
never created by the asking, and where all records failed the status says so. Departs from
pandaproxy: an entry for each record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from proxy.api.context import Context, context_of, going_down
from proxy.api.error_responses import answer_for, describe, shape_error
from proxy.api.limits import Reservation, joined_header, read_body
from proxy.api.responses import respond
from proxy.errors import (
    BrokersUnreachable,
    KafkaFailure,
    NotWritten,
    UnknownPartition,
    UnknownTopic,
)
from proxy.model import Produced
from proxy.wire.media_types import choose_management_type, choose_produce_format
from proxy.wire.parameters import check_topic_name, decode_segment, parse_partition_number
from proxy.wire.produce import parse_produce, render_all_failed, render_produced

# What looking up the topic may come to, for every record alike; reading and parsing raise others.
REFUSALS = (BrokersUnreachable, KafkaFailure, NotWritten, UnknownPartition, UnknownTopic)


async def produce(
    scope: Scope, receive: Receive, send: Send, topic_segment: str, partition_segment: str | None
) -> int:
    """
    Both routes; the status that was answered. The segments are as they were sent, percent-encoded.
    """
    context = context_of(scope)
    content_type = content_length = None
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"content-length":
            content_length = value
    embedded = choose_produce_format(content_type)
    answer_type = choose_management_type(joined_header(scope, b"accept"))
    name = check_topic_name(decode_segment(topic_segment, "topic_name"))
    path_partition = (
        None if partition_segment is None else parse_partition_number(partition_segment)
    )
    context.check_serving()
    reservation = Reservation(context.budget)
    try:
        body = await read_body(
            receive, content_length, context.settings.max_body_bytes, reservation
        )
        records = parse_produce(body, embedded, path_partition)
        del body
        deadline = asyncio.get_running_loop().time() + context.settings.produce_timeout_ms / 1000
        known = await context.produce.find_topic(name, records, deadline)
        if path_partition is not None:
            known.check_partition(path_partition)
        delivery = context.produce.send(known, records, deadline, reservation.release)
    except REFUSALS as exc:
        reservation.release()
        outcomes = [Produced(None, None, exc) for _ in records]
        return await _answer(scope, send, context, answer_type, outcomes)
    except asyncio.CancelledError:
        # The process ends, and the lanes have nothing of this request.
        reservation.release()
        raise going_down() from None
    except BaseException:
        reservation.release()
        raise
    # The lanes have them now, for as long as they need them.
    del records
    try:
        await delivery.answered
    except asyncio.CancelledError:
        # The process ends: what has not been sent is not sent any more, and its client is told so.
        delivery.expire("The service went down")
    return await _answer(scope, send, context, answer_type, delivery.told())


async def _answer(
    scope: Scope, send: Send, context: Context, answer_type: str, outcomes: Sequence[Produced]
) -> int:
    failed = sum(outcome.failure is not None for outcome in outcomes)
    context.metrics.count_produced(len(outcomes) - failed, failed)
    first = outcomes[0].failure
    if failed == len(outcomes) and first is not None:
        answer = answer_for(first)
        error_body, error_type = shape_error(scope, answer)
        body = render_all_failed(error_body, outcomes, describe)
        await respond(scope, send, answer.status, body, error_type, answer.headers)
        return answer.status
    await respond(scope, send, 200, render_produced(outcomes, describe), answer_type)
    return 200
