"""What happens to a topic behind the proxy's back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.admin import CreateAclsRequest

from tests.brokers import verify

# Source: kafka, ResourceType, PatternType, AclOperation, AclPermissionType.
TOPIC, LITERAL = 2, 3
ALL, WRITE = 2, 4
DENY, ALLOW = 2, 3


async def set_configs(bootstrap: str, topic: str, configs: Mapping[str, str]) -> None:
    """Replace its configuration, and wait until the broker goes by it."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(configs))
    async with _admin(bootstrap) as admin:
        answer: Any
        [answer] = await admin.alter_configs([resource])
        assert answer.resources[0][0] == 0, answer
        while not configs.items() <= (await _describe(admin, topic)).items():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def add_partitions(bootstrap: str, topic: str, total: int) -> None:
    """Give it more partitions, and wait until they are there."""
    async with _admin(bootstrap) as admin:
        await admin.create_partitions({topic: NewPartitions(total)})
    while len(await verify.end_offsets(bootstrap, topic)) < total:  # noqa: ASYNC110 (no event)
        await asyncio.sleep(0.01)


async def forbid_writing(bootstrap: str, topic: str) -> None:
    """Allow everybody everything with it, but to write."""
    async with _admin(bootstrap) as admin:
        for operation, permission in ((ALL, ALLOW), (WRITE, DENY)):
            request = CreateAclsRequest(TOPIC, topic, LITERAL, "User:*", "*", operation, permission)
            answer: Any = await admin._send_request(request)
            assert answer.creation_responses[0][0] == 0, answer


async def _describe(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    answer: Any
    [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return {entry[0]: entry[1] for entry in answer.resources[0][4]}


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
