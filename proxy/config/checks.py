"""What two settings must keep together, and what a value must be beyond its type."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path

from proxy.config.settings import Settings


class ConfigurationError(Exception):
    """The process cannot start as it is set up. The message is one line for who set it up."""


SSL_SETTINGS = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_key_password", "ssl_ciphers")
PASSWORD_SETTINGS = ("sasl_username", "sasl_password")
ENDPOINT_CREDENTIALS = ("sasl_oauth_client_id", "sasl_oauth_client_secret")
ENDPOINT_SETTINGS = (*ENDPOINT_CREDENTIALS, "sasl_oauth_scope")
TOKEN_SETTINGS = (
    "sasl_oauth_token_endpoint_url",
    "sasl_oauth_token",
    "sasl_oauth_token_file",
)
OAUTH_SETTINGS = (*TOKEN_SETTINGS, *ENDPOINT_SETTINGS)
FILE_SETTINGS = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "sasl_oauth_token_file")


def list_set(settings: Settings, names: tuple[str, ...]) -> list[str]:
    """Those of the named settings that have a value."""
    return [name for name in names if getattr(settings, name) is not None]


def uses_tls(settings: Settings) -> bool:
    return settings.security_protocol in {"SSL", "SASL_SSL"}


def uses_sasl(settings: Settings) -> bool:
    return settings.security_protocol in {"SASL_PLAINTEXT", "SASL_SSL"}


def uses_password(settings: Settings) -> bool:
    return settings.sasl_mechanism in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}


def uses_token(settings: Settings) -> bool:
    return settings.sasl_mechanism == "OAUTHBEARER"


# What must not be, and the line to say when it is. Credentials that would silently not be used are
# refused: who gives them believes that the connection is protected by them.
BROKEN_WHEN: tuple[tuple[Callable[[Settings], bool], str], ...] = (
    (
        lambda s: uses_sasl(s) and s.sasl_mechanism is None,
        "sasl_mechanism is required when security_protocol is SASL_PLAINTEXT or SASL_SSL",
    ),
    (
        lambda s: (
            not uses_sasl(s)
            and bool(list_set(s, ("sasl_mechanism", *PASSWORD_SETTINGS, *OAUTH_SETTINGS)))
        ),
        "sasl_* settings need security_protocol SASL_SSL or SASL_PLAINTEXT",
    ),
    (
        lambda s: not uses_tls(s) and bool(list_set(s, SSL_SETTINGS)),
        "ssl_* settings need security_protocol SSL or SASL_SSL",
    ),
    (
        lambda s: uses_password(s) and len(list_set(s, PASSWORD_SETTINGS)) < 2,
        "sasl_username and sasl_password are required for this sasl_mechanism",
    ),
    (
        lambda s: uses_password(s) and bool(list_set(s, OAUTH_SETTINGS)),
        "sasl_oauth_* settings need sasl_mechanism OAUTHBEARER",
    ),
    (
        lambda s: uses_token(s) and bool(list_set(s, PASSWORD_SETTINGS)),
        "sasl_username and sasl_password are not for sasl_mechanism OAUTHBEARER",
    ),
    (
        lambda s: uses_token(s) and len(list_set(s, TOKEN_SETTINGS)) != 1,
        "OAUTHBEARER needs just one of sasl_oauth_token_endpoint_url, _token_file, _token",
    ),
    (
        lambda s: (
            s.sasl_oauth_token_endpoint_url is not None
            and len(list_set(s, ENDPOINT_CREDENTIALS)) < 2
        ),
        "sasl_oauth_token_endpoint_url needs sasl_oauth_client_id and sasl_oauth_client_secret",
    ),
    (
        lambda s: s.sasl_oauth_token_endpoint_url is None and bool(list_set(s, ENDPOINT_SETTINGS)),
        "sasl_oauth_client_id, _client_secret and _scope need sasl_oauth_token_endpoint_url",
    ),
    (
        lambda s: s.ssl_certfile is None and bool(list_set(s, ("ssl_keyfile", "ssl_key_password"))),
        "ssl_keyfile and ssl_key_password need ssl_certfile",
    ),
    (
        lambda s: s.enable_idempotence and s.acks != "all",
        "enable_idempotence needs acks all; with fewer acks set enable_idempotence to false",
    ),
    (
        lambda s: s.max_body_bytes > s.max_in_flight_bytes,
        "max_body_bytes must not be above max_in_flight_bytes, or such a body never gets in",
    ),
    (
        lambda s: s.heartbeat_interval_ms >= s.session_timeout_ms,
        "heartbeat_interval_ms must be below session_timeout_ms, a third of it or less",
    ),
    (
        lambda s: s.consumer_request_timeout_ms > s.consumer_request_timeout_cap_ms,
        "consumer_request_timeout_ms must not be above consumer_request_timeout_cap_ms",
    ),
    (
        lambda s: s.consumer_request_max_bytes > s.consumer_request_cap_bytes,
        "consumer_request_max_bytes must not be above consumer_request_cap_bytes",
    ),
)


def check_settings(settings: Settings) -> None:
    """
    Refuse settings that are fine one by one and wrong together, or that name what is not there.

    Raises: ConfigurationError for the first that is wrong
    """
    for broken, message in BROKEN_WHEN:
        if broken(settings):
            raise ConfigurationError(message)
    for network in settings.trusted_proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError as exc:
            raise ConfigurationError(f"trusted_proxies: {exc}, it must be a network") from exc
    for name in list_set(settings, FILE_SETTINGS):
        path = Path(getattr(settings, name))
        if not path.is_file():
            raise ConfigurationError(f"{name}: there is no file {path}")
