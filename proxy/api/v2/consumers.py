"""
POST /consumers/{group} makes an instance, DELETE /consumers/{group}/instances/{instance} ends it:
it has left the group when that answers. Below an instance:

* POST, GET, DELETE …/subscription: topics, or a pattern
* POST, GET …/assignments: partitions by hand
* POST, GET …/offsets: commit, and what is committed
* POST …/positions, …/positions/beginning, …/positions/end: seek

Departs from Confluent: auto commit is off and the reset policy `earliest` unless said otherwise;
subscribing joins the group; a commit answers after the broker's answer, with 204; GET offsets works
without a body.
"""

from __future__ import annotations

import structlog

from proxy.api.base_uri import instance_uri
from proxy.api.endpoint import Call
from proxy.kafka.consumer_options import ConsumerOptions
from proxy.model import TopicPartition
from proxy.wire.consumer_config import parse_create
from proxy.wire.consumers import (
    parse_partitions,
    parse_subscription,
    render_assignments,
    render_instance,
    render_subscription,
)
from proxy.wire.parameters import partitions_parameter
from proxy.wire.positions import parse_commit, parse_seek, render_committed

log = structlog.get_logger(__name__)


async def create_instance(call: Call) -> None:
    """POST /consumers/{group}"""
    content_type = call.negotiate()
    group = call.group()
    wanted = parse_create(await call.management_body())
    context = call.context
    context.check_serving()
    if wanted.ignored:
        log.info("consumer properties ignored", group=group, names=list(wanted.ignored))
    instance = context.instances.create(
        group,
        wanted.name,
        ConsumerOptions(
            auto_offset_reset=wanted.auto_offset_reset,
            auto_commit=wanted.auto_commit,
            isolation_level=wanted.isolation_level,
            fetch_min_bytes=wanted.fetch_min_bytes,
            request_timeout_ms=wanted.request_timeout_ms,
            key_format=wanted.key_format,
            value_format=wanted.value_format,
        ),
    )
    address = instance_uri(call.scope, context.settings, group, instance.name)
    await call.answer(render_instance(instance.name, address), content_type)


async def delete_instance(call: Call) -> None:
    """DELETE /consumers/{group}/instances/{instance}"""
    await call.context.instances.delete(call.group(), call.instance())
    await call.answer_nothing()


async def subscribe(call: Call) -> None:
    """POST …/subscription"""
    with call.context.instances.using(call.group(), call.instance()) as instance:
        wanted = parse_subscription(await call.management_body())
        await instance.subscribe(wanted.topics, wanted.pattern)
    await call.answer_nothing()


async def show_subscription(call: Call) -> None:
    """GET …/subscription"""
    content_type = call.negotiate()
    with call.context.instances.using(call.group(), call.instance()) as instance:
        body = render_subscription(instance.subscription())
    await call.answer(body, content_type)


async def unsubscribe(call: Call) -> None:
    """DELETE …/subscription"""
    with call.context.instances.using(call.group(), call.instance()) as instance:
        await instance.unsubscribe()
    await call.answer_nothing()


async def assign(call: Call) -> None:
    """POST …/assignments"""
    with call.context.instances.using(call.group(), call.instance()) as instance:
        await instance.assign(parse_partitions(await call.management_body()))
    await call.answer_nothing()


async def show_assignments(call: Call) -> None:
    """GET …/assignments"""
    content_type = call.negotiate()
    with call.context.instances.using(call.group(), call.instance()) as instance:
        body = render_assignments(instance.assignment())
    await call.answer(body, content_type)


async def commit(call: Call) -> None:
    """POST …/offsets"""
    with call.context.instances.using(call.group(), call.instance()) as instance:
        given = parse_commit(await call.management_body())
        offsets = None if given is None else tuple(entry.as_committed() for entry in given)
        await instance.commit(offsets)
    await call.answer_nothing()


async def show_committed(call: Call) -> None:
    """GET …/offsets"""
    content_type = call.negotiate()
    with call.context.instances.using(call.group(), call.instance()) as instance:
        # Confluent's clients send the partitions in a body, although the method is GET.
        body = await call.management_body()
        wanted: tuple[TopicPartition, ...] | None
        named = body.strip() not in (b"", b"{}")
        wanted = parse_partitions(body) if named else partitions_parameter(call.query())
        committed = await instance.committed(wanted)
    await call.answer(render_committed(committed), content_type)


async def seek(call: Call) -> None:
    """POST …/positions"""
    with call.context.instances.using(call.group(), call.instance()) as instance:
        wanted = parse_seek(await call.management_body())
        await instance.seek(dict(wanted.offsets), dict(wanted.timestamps))
    await call.answer_nothing()


async def seek_to_beginning(call: Call) -> None:
    """POST …/positions/beginning"""
    await _seek_to_limit(call, beginning=True)


async def seek_to_end(call: Call) -> None:
    """POST …/positions/end"""
    await _seek_to_limit(call, beginning=False)


async def _seek_to_limit(call: Call, *, beginning: bool) -> None:
    with call.context.instances.using(call.group(), call.instance()) as instance:
        partitions = parse_partitions(await call.management_body())
        await instance.seek_to_limit(partitions, beginning=beginning)
    await call.answer_nothing()
