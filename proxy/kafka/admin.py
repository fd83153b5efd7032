"""What `dev` asks of its broker that the proxy's own endpoints do not offer."""

from __future__ import annotations

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from proxy.kafka.broker_errors import failure_for_code, translated

TOPIC_ALREADY_EXISTS = 36


async def create_topic(bootstrap: str, name: str, partitions: int) -> bool:
    """
    Create a topic of one replica; False when it is there already.

    Raises: BrokersUnreachable, KafkaFailure
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    with translated():
        try:
            await admin.start()
            answer: Any = await admin.create_topics(
                [NewTopic(name, partitions, replication_factor=1)]
            )
        finally:
            await admin.close()
    [(_, code, message, *_)] = answer.topic_errors
    if code not in (0, TOPIC_ALREADY_EXISTS):
        raise failure_for_code(code, message or "")
    return bool(code == 0)
