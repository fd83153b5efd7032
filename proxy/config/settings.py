"""
Every setting there is: name, type, default and help. `table.py` derives all else from this class.

Rule 1: a setting is one field here. Its environment variable, flag and YAML key are its name.
Rule 2: the unit is the end of the name: `_ms`, `_s`, `_bytes`.
Rule 3: what one value must keep is in its type; what two settings must keep is in `checks.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from proxy.config.secret import Secret

KIB = 1024
MIB = 1024 * KIB

NotNegative = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
HttpUrl = Annotated[
    str,
    Meta(pattern=r"^https?://[^/\s]+", extra={"allowed": "an http:// or https:// address"}),
]
# Whether it is one, `checks.py` sees.
Network = Annotated[str, Meta(extra={"allowed": "a network such as 10.0.0.0/8"})]
HostAndPort = Annotated[
    str,
    Meta(pattern=r"^([^\s:/\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$", extra={"allowed": "host:port"}),
]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What `load_settings` makes once at the start; read as plain attributes, never changed."""

    # Kafka brokers
    bootstrap_servers: Annotated[
        tuple[HostAndPort, ...],
        Meta(description="Brokers to ask first, host:port,host:port. Required by `serve`."),
    ] = ()
    client_id: Annotated[
        str, Meta(min_length=1, description="Name by which brokers log and limit us.")
    ] = "kafka-over-http"
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Meta(description="How to speak to brokers."),
    ] = "PLAINTEXT"
    request_timeout_ms: Annotated[
        Positive,
        Meta(
            description="How long to wait for a broker's answer to one request; metadata, configs"
            " and offsets have a fixed 10 s."
        ),
    ] = 30_000
    metadata_max_age_ms: Annotated[
        Positive, Meta(description="How often to look for new brokers and partitions.")
    ] = 300_000
    metadata_ttl_ms: Annotated[
        NotNegative,
        Meta(description="How long topics are remembered; up to twice that while asked for anew."),
    ] = 5_000

    # HTTP
    host: Annotated[
        str,
        Meta(
            description="Address to listen on. 127.0.0.1 serves this machine only; 0.0.0.0 serves"
            " every IPv4 network, which a container needs (our image sets it); :: adds IPv6."
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one and logs it.")
    ] = 8082
    advertised_url: Annotated[
        HttpUrl | None,
        Meta(
            description="Address under which clients reach this process, for `base_uri` of a new"
            " consumer instance. Unset: the scheme and Host of the request. Set it for each process"
            " behind a load balancer, as an instance lives in one process only."
        ),
    ] = None
    root_path: Annotated[
        str,
        Meta(
            pattern=r"^(/[^/?#\s]+)*$",
            extra={"allowed": "a path without a slash at its end"},
            description="Path that a front proxy puts before ours, such as /kafka.",
        ),
    ] = ""
    trusted_proxies: Annotated[
        tuple[Network, ...],
        Meta(
            description="Networks of the front proxies whose Forwarded and X-Forwarded-* headers"
            " are believed, such as 10.0.0.0/8."
        ),
    ] = ()
    keep_alive_timeout_s: Annotated[
        Positive,
        Meta(
            description="How long an idle connection is kept. Longer than the front proxy keeps it"
            " (60 s for nginx and AWS), or requests are lost on connections that just closed."
        ),
    ] = 75
    compress_min_bytes: Annotated[
        NotNegative,
        Meta(description="Answers from this size on are compressed for clients that accept it."),
    ] = 1 * KIB

    # Limits
    max_body_bytes: Annotated[
        Positive, Meta(description="Largest request body; a larger one is refused with 413.")
    ] = 64 * MIB
    max_in_flight_bytes: Annotated[
        Positive,
        Meta(
            description="Bytes of request bodies held at once, from reading until Kafka has"
            " answered; beyond it requests are refused with 503 and Retry-After."
        ),
    ] = 128 * MIB
    # 64 KiB is h11's DEFAULT_MAX_INCOMPLETE_EVENT_SIZE.
    max_header_bytes: Annotated[
        Positive, Meta(description="Largest header section of a request; beyond it 431.")
    ] = 64 * KIB
    # RFC 9110 section 4.1 wants 8000 at least; GET …/offsets lists many partitions in its query.
    max_url_bytes: Annotated[
        Positive, Meta(description="Longest path and query of a request; beyond it 414.")
    ] = 16 * KIB

    # Apache's RequestReadTimeout is 20 to 40 s, Kestrel's for headers 30 s.
    receive_timeout_ms: Annotated[
        Positive,
        Meta(
            description="How long a client may take to send the head of a request, and, beyond what"
            " 240 bytes a second need, its body; then 408. An answer of which a client takes"
            " nothing for so long is given up."
        ),
    ] = 30_000

    # Stopping
    drain_delay_ms: Annotated[
        NotNegative,
        Meta(
            description="After SIGTERM, how long /ready answers 503 while requests are still"
            " served. As long as the load balancer takes to notice, such as 5000 in Kubernetes."
        ),
    ] = 0
    # With the delay below docker stop's 10 s. uvicorn counts whole seconds, so 2 s are the least.
    shutdown_timeout_ms: Annotated[
        Annotated[int, Meta(ge=2_000)],
        Meta(
            description="After that, how long requests in progress may take to end and consumer"
            " instances to leave their groups."
        ),
    ] = 8_000

    # Logs
    access_log: Annotated[bool, Meta(description="Log a line for each request.")] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Least level that is logged."),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "console", "json"],
        Meta(description="auto: console when standard error is a terminal, else JSON lines."),
    ] = "auto"

    # TLS to brokers
    ssl_cafile: Annotated[
        str | None,
        Meta(description="PEM file of the authorities to trust. Unset: those of the system."),
    ] = None
    ssl_certfile: Annotated[
        str | None, Meta(description="PEM file of our client certificate and its chain.")
    ] = None
    ssl_keyfile: Annotated[
        str | None,
        Meta(description="PEM file of its private key. Unset: the key is in ssl_certfile."),
    ] = None
    ssl_key_password: Annotated[Secret | None, Meta(description="Password of the private key.")] = (
        None
    )
    ssl_check_hostname: Annotated[
        bool, Meta(description="Whether a broker's certificate must bear its host name.")
    ] = True
    ssl_ciphers: Annotated[
        str | None, Meta(description="Ciphers for TLS 1.2 and below, as OpenSSL writes them.")
    ] = None

    # SASL to brokers
    sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None,
        Meta(description="Required when security_protocol is SASL_PLAINTEXT or SASL_SSL."),
    ] = None
    sasl_username: Annotated[str | None, Meta(description="User, for PLAIN and SCRAM.")] = None
    sasl_password: Annotated[Secret | None, Meta(description="Password, for PLAIN and SCRAM.")] = (
        None
    )
    sasl_oauth_token_endpoint_url: Annotated[
        HttpUrl | None,
        Meta(description="OAUTHBEARER: where to get tokens by the client credentials grant."),
    ] = None
    sasl_oauth_client_id: Annotated[
        str | None, Meta(description="OAUTHBEARER: client for the token endpoint.")
    ] = None
    sasl_oauth_client_secret: Annotated[
        Secret | None, Meta(description="OAUTHBEARER: the client's secret.")
    ] = None
    sasl_oauth_scope: Annotated[
        str | None, Meta(description="OAUTHBEARER: scopes to ask for, separated by spaces.")
    ] = None
    sasl_oauth_token: Annotated[
        Secret | None, Meta(description="OAUTHBEARER: a fixed token, in place of an endpoint.")
    ] = None
    sasl_oauth_token_file: Annotated[
        str | None,
        Meta(description="OAUTHBEARER: a file with the token, read whenever a token is needed."),
    ] = None

    # Produce
    acks: Annotated[
        Literal["all", "1", "0"],
        Meta(description="Which replicas must have a record before it is answered for."),
    ] = "all"
    enable_idempotence: Annotated[
        bool,
        Meta(description="Whether a retry to the broker never doubles a record; needs acks all."),
    ] = True
    compression_type: Annotated[
        Literal["none", "gzip", "snappy", "lz4", "zstd"],
        Meta(description="Compression of the batches that we send to brokers."),
    ] = "none"
    # The Java producer's max.request.size; a broker's message.max.bytes is 12 bytes more.
    max_batch_bytes: Annotated[
        Positive,
        Meta(
            description="Largest batch of several records, before compression. Never above the"
            " topic's max.message.bytes, which is the limit of a single record."
        ),
    ] = 1 * MIB
    produce_timeout_ms: Annotated[
        Positive,
        Meta(description="How long a produce request may take; then 503, or 504 when unknown."),
    ] = 30_000
    auto_create_topics: Annotated[
        bool,
        Meta(description="Whether producing to an unknown topic asks the broker to create it."),
    ] = False

    # Consumer instances
    consumer_instance_timeout_ms: Annotated[
        Positive, Meta(description="An instance without requests for so long is removed.")
    ] = 300_000
    max_consumer_instances: Annotated[
        Positive, Meta(description="Instances at once; beyond it 503 and Retry-After.")
    ] = 1_000
    consumer_request_timeout_ms: Annotated[
        NotNegative,
        Meta(description="How long a fetch waits for records when nobody says otherwise."),
    ] = 1_000
    consumer_request_timeout_cap_ms: Annotated[
        NotNegative, Meta(description="Longest wait that a request or an instance may ask for.")
    ] = 300_000
    consumer_request_max_bytes: Annotated[
        Positive,
        Meta(description="Bytes of keys and values in a fetch when the request does not say."),
    ] = 1 * MIB
    consumer_request_cap_bytes: Annotated[
        Positive, Meta(description="Largest max_bytes that a request may ask for.")
    ] = 64 * MIB
    consumer_prefetch_bytes: Annotated[
        Positive,
        Meta(description="Bytes of records that an instance holds ready for the next fetch."),
    ] = 2 * MIB
    session_timeout_ms: Annotated[
        Positive, Meta(description="A member that brokers do not hear for so long has left.")
    ] = 10_000
    heartbeat_interval_ms: Annotated[
        Positive,
        Meta(description="How often a member is heard; rebalances are noticed no sooner."),
    ] = 1_000
    rebalance_timeout_ms: Annotated[
        Positive, Meta(description="How long a rebalance waits for our members to rejoin.")
    ] = 10_000
    subscribe_timeout_ms: Annotated[
        NotNegative,
        Meta(
            description="How long subscribing waits to be in the group; it goes on joining after."
        ),
    ] = 10_000
    partition_assignment_strategy: Annotated[
        tuple[Literal["range", "roundrobin", "sticky"], ...],
        Meta(
            min_length=1,
            description="Assignors to offer, best first; a group needs one that all its members"
            " have, Java clients included.",
        ),
    ] = ("range", "roundrobin")
