"""How to reach the brokers: one set of arguments for every aiokafka client that we make."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from proxy.config import Settings
from proxy.kafka.oauth_tokens import OAuthTokens

# Between two rounds of asking every broker, while none answers.
ALL_GONE_BACKOFF_S = 0.25


@dataclass(frozen=True, slots=True)
class Connection:
    """Arguments common to aiokafka's client, producer and consumer. Holds secrets: never logged."""

    arguments: dict[str, Any]

    @classmethod
    def from_settings(cls, settings: Settings) -> Connection:
        """Raises OSError or ssl.SSLError when a certificate or key file cannot be used."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": list(settings.bootstrap_servers),
            "client_id": settings.client_id,
            "request_timeout_ms": settings.request_timeout_ms,
            "metadata_max_age_ms": settings.metadata_max_age_ms,
            "security_protocol": settings.security_protocol,
        }
        if settings.security_protocol in ("SSL", "SASL_SSL"):
            arguments["ssl_context"] = ssl_context(settings)
        if settings.security_protocol in ("SASL_PLAINTEXT", "SASL_SSL"):
            arguments["sasl_mechanism"] = settings.sasl_mechanism
            if settings.sasl_mechanism == "OAUTHBEARER":
                arguments["sasl_oauth_token_provider"] = OAuthTokens(settings)
            else:
                password = settings.sasl_password
                arguments["sasl_plain_username"] = settings.sasl_username
                arguments["sasl_plain_password"] = None if password is None else password.reveal()
        return cls(arguments)


def ssl_context(settings: Settings) -> ssl.SSLContext:
    """TLS as the settings say. Raises OSError or ssl.SSLError when a file cannot be used."""
    context = ssl.create_default_context(cafile=settings.ssl_cafile)
    context.check_hostname = settings.ssl_check_hostname
    if settings.ssl_ciphers is not None:
        context.set_ciphers(settings.ssl_ciphers)
    if settings.ssl_certfile is not None:
        password = settings.ssl_key_password
        context.load_cert_chain(
            settings.ssl_certfile,
            settings.ssl_keyfile,
            None if password is None else password.reveal(),
        )
    return context


class NonCreatingClient(AIOKafkaClient):
    """
    aiokafka's client without two habits of its own (house rule 4).

    Its metadata requests create the topics they name, and without topics they ask for all there
    are. Ours never create, and ask for all only for a pattern subscription. It also bootstraps once
    only: when every broker that it knows has gone, ours goes back to the bootstrap servers
    (aiokafka #703).
    """

    wants_all_topics = False

    async def _metadata_update(self, cluster_metadata: Any, topics: Any) -> bool:
        named = None if topics is None or (not topics and self.wants_all_topics) else list(topics)
        request = MetadataRequest(named, allow_auto_topic_creation=False)
        for broker in cluster_metadata.brokers() or self.cluster.brokers():
            get: Any = self._get_conn
            connection = await get(broker.nodeId)
            if connection is not None and await self._took(connection, request, cluster_metadata):
                return True
        for host, port, _ in self.hosts:
            if await self._bootstrapped(host, port, request, cluster_metadata):
                return True
        cluster_metadata.failed_update(None)
        # aiokafka asks again at once: 390 attempts a second were seen while a broker was down.
        await asyncio.sleep(ALL_GONE_BACKOFF_S)
        return False

    async def _took(self, connection: Any, request: MetadataRequest, cluster_metadata: Any) -> bool:
        try:
            metadata = await connection.send(request)
        except (KafkaError, TimeoutError):
            return False
        if not metadata.brokers:
            return False
        cluster_metadata.update_metadata(metadata)
        return True

    async def _bootstrapped(
        self, host: str, port: int, request: MetadataRequest, cluster_metadata: Any
    ) -> bool:
        try:
            connection = await create_conn(
                host,
                port,
                client_id=self._client_id,
                request_timeout_ms=self._request_timeout_ms,
                ssl_context=self._ssl_context,
                security_protocol=self._security_protocol,
                max_idle_ms=self._connections_max_idle_ms,
                sasl_mechanism=self._sasl_mechanism,
                sasl_plain_username=self._sasl_plain_username,
                sasl_plain_password=self._sasl_plain_password,
                sasl_oauth_token_provider=self._sasl_oauth_token_provider,
            )
        except (OSError, KafkaError, TimeoutError):
            return False
        try:
            return await self._took(connection, request, cluster_metadata)
        finally:
            connection.close()


def keep_from_creating(client: AIOKafkaClient) -> None:
    """
    Make a client that aiokafka made, inside a producer or consumer, one that creates no topics.
    """
    client.__class__ = NonCreatingClient
