"""Settings that are wrong: each is refused with one clear line, and no secret in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from proxy.cli import parse_arguments
from proxy.config import ConfigurationError, Settings, load_settings
from proxy.config.show import show_settings
from proxy.config.table import environment_of, flag_of

PASSWORD = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "PLAIN",
    "sasl_username": "u",
    "sasl_password": "geheim",
}
TOKEN = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
ENDPOINT = {
    **TOKEN,
    "sasl_oauth_token_endpoint_url": "https://issuer/token",
    "sasl_oauth_client_id": "c",
    "sasl_oauth_client_secret": "geheim",
}


def refuse(flags: Mapping[str, object], environment: Mapping[str, str]) -> str:
    """The line with which these are refused."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(flags, environment)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_unknown_names_stop_the_start_with_a_suggestion(tmp_path: Path) -> None:
    """A misspelt variable, YAML key or flag is refused, and the right one named."""
    path = tmp_path / "koh.yaml"
    path.write_text("max_body_byte: 1\n")
    assert refuse({}, {"KOH_BOOTSTRAP_SERVER": "a:1"}) == (
        "unknown KOH_BOOTSTRAP_SERVER, did you mean KOH_BOOTSTRAP_SERVERS?"
    )
    assert refuse({}, {"KOH_port": "1"}) == "unknown KOH_port, did you mean KOH_PORT?"
    assert refuse({}, {"KOH_XYZZY": "1"}) == "unknown KOH_XYZZY"
    assert refuse({"config": str(path)}, {}) == (
        f"unknown max_body_byte in {path}, did you mean max_body_bytes?"
    )
    with pytest.raises(ConfigurationError, match=r"^unknown flag --prot, did you mean --port\?$"):
        parse_arguments(["serve", "--prot=1"])
    assert load_settings({}, {"OTHER": "x", "PORT": "x"}).settings == Settings()


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("port", "abc", "a whole number from 0 to 65535"),
        ("port", "65536", "a whole number from 0 to 65535"),
        ("port", "-1", "a whole number from 0 to 65535"),
        ("port", "1.5", "a whole number from 0 to 65535"),
        ("max_body_bytes", "64MB", "a whole number >= 1"),
        ("session_timeout_ms", "0", "a whole number >= 1"),
        ("shutdown_timeout_ms", "1999", "a whole number >= 2000"),
        ("access_log", "on", "true or false"),
        ("acks", "2", "one of all, 1, 0"),
        ("bootstrap_servers", "kafka", "a list, separated by commas, each host:port"),
        ("bootstrap_servers", "http://kafka:1", "a list, separated by commas, each host:port"),
        ("advertised_url", "proxy:8082", "an http:// or https:// address"),
        ("root_path", "/kafka/", "a path without a slash at its end"),
        (
            "partition_assignment_strategy",
            "range,best",
            "a list, separated by commas, each one of range, roundrobin, sticky",
        ),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, text: str, allowed: str) -> None:
    """A value that will not do is refused with where it stands, what it is and what it may be."""
    variable = environment_of(name)
    assert refuse({}, {variable: text}) == (
        f"environment {variable}: {text!r} will not do, it must be {allowed}"
    )
    assert refuse({name: text}, {}) == (
        f"flag {flag_of(name)}: {text!r} will not do, it must be {allowed}"
    )


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"security_protocol": "SASL_SSL"},
            "sasl_mechanism is required when security_protocol is SASL_PLAINTEXT or SASL_SSL",
        ),
        (
            {"sasl_password": "geheim"},
            "sasl_* settings need security_protocol SASL_SSL or SASL_PLAINTEXT",
        ),
        (
            {**ENDPOINT, "security_protocol": "SSL"},
            "sasl_* settings need security_protocol SASL_SSL or SASL_PLAINTEXT",
        ),
        (
            {"sasl_oauth_client_secret": "geheim", "sasl_oauth_scope": "z"},
            "sasl_* settings need security_protocol SASL_SSL or SASL_PLAINTEXT",
        ),
        (
            {"sasl_oauth_scope": "z"},
            "sasl_* settings need security_protocol SASL_SSL or SASL_PLAINTEXT",
        ),
        ({"ssl_cafile": __file__}, "ssl_* settings need security_protocol SSL or SASL_SSL"),
        (
            {**TOKEN, "sasl_mechanism": "PLAIN", "sasl_username": "u"},
            "sasl_username and sasl_password are required for this sasl_mechanism",
        ),
        (
            {**PASSWORD, "sasl_oauth_token": "geheim"},
            "sasl_oauth_* settings need sasl_mechanism OAUTHBEARER",
        ),
        (
            {**PASSWORD, "sasl_oauth_client_id": "c", "sasl_oauth_client_secret": "geheim"},
            "sasl_oauth_* settings need sasl_mechanism OAUTHBEARER",
        ),
        (
            {**TOKEN, "sasl_oauth_token": "geheim", "sasl_username": "u"},
            "sasl_username and sasl_password are not for sasl_mechanism OAUTHBEARER",
        ),
        (
            TOKEN,
            "OAUTHBEARER needs just one of sasl_oauth_token_endpoint_url, _token_file, _token",
        ),
        (
            {**ENDPOINT, "sasl_oauth_token": "geheim"},
            "OAUTHBEARER needs just one of sasl_oauth_token_endpoint_url, _token_file, _token",
        ),
        (
            {**TOKEN, "sasl_oauth_token_endpoint_url": "https://x", "sasl_oauth_client_id": "c"},
            "sasl_oauth_token_endpoint_url needs sasl_oauth_client_id and sasl_oauth_client_secret",
        ),
        (
            {**TOKEN, "sasl_oauth_token": "geheim", "sasl_oauth_client_id": "c"},
            "sasl_oauth_client_id, _client_secret and _scope need sasl_oauth_token_endpoint_url",
        ),
        (
            {**TOKEN, "sasl_oauth_token_file": __file__, "sasl_oauth_scope": "z"},
            "sasl_oauth_client_id, _client_secret and _scope need sasl_oauth_token_endpoint_url",
        ),
        (
            {"security_protocol": "SSL", "ssl_keyfile": __file__},
            "ssl_keyfile and ssl_key_password need ssl_certfile",
        ),
        (
            {"acks": "1"},
            "enable_idempotence needs acks all; with fewer acks set enable_idempotence to false",
        ),
        (
            {"max_body_bytes": "9", "max_in_flight_bytes": "8"},
            "max_body_bytes must not be above max_in_flight_bytes, or such a body never gets in",
        ),
        (
            {"heartbeat_interval_ms": "10000"},
            "heartbeat_interval_ms must be below session_timeout_ms, a third of it or less",
        ),
        (
            {"consumer_request_timeout_ms": "300001"},
            "consumer_request_timeout_ms must not be above consumer_request_timeout_cap_ms",
        ),
        (
            {"consumer_request_cap_bytes": "1"},
            "consumer_request_max_bytes must not be above consumer_request_cap_bytes",
        ),
        (
            {"trusted_proxies": "10.0.0.1/8"},
            "trusted_proxies: 10.0.0.1/8 has host bits set, it must be a network",
        ),
        (
            {"security_protocol": "SSL", "ssl_cafile": "/not/there"},
            "ssl_cafile: there is no file /not/there",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values: dict[str, str], line: str) -> None:
    """What is fine alone and wrong together stops the start with the reason."""
    assert refuse(values, {}) == line


def test_a_secret_is_shown_to_nobody_who_does_not_ask(tmp_path: Path) -> None:
    """Neither the settings nor an error show a secret; `reveal` does."""
    loaded = load_settings(PASSWORD, {})
    shown = [repr(loaded), str(loaded.settings), f"{loaded.settings.sasl_password}"]
    shown.append(show_settings(loaded))
    assert all("geheim" not in text and "***" in text for text in shown)
    assert loaded.settings.sasl_password is not None
    assert loaded.settings.sasl_password.reveal() == "geheim"
    with pytest.raises(TypeError):
        json.dumps(loaded.settings.sasl_password)
    with pytest.raises(TypeError):
        msgspec.json.encode(loaded.settings)

    path = tmp_path / "koh.yaml"
    path.write_text("sasl_password: {geheim: 1}\n")
    assert refuse({"config": str(path)}, {}) == (
        f"sasl_password in {path}: this value will not do, it must be text"
    )
    for content in (
        'sasl_password: "geheim\n',
        "sasl_password: *geheim\n",
        "sasl_password=geheim\n",
    ):
        path.write_text("port: 1\n" + content)
        assert "geheim" not in refuse({"config": str(path)}, {})
    with pytest.raises(ConfigurationError) as caught:
        parse_arguments(["serve", "--sasl-pasword", "geheim"])
    assert str(caught.value) == "unknown flag --sasl-pasword, did you mean --sasl-password?"
    with pytest.raises(ConfigurationError) as caught:
        parse_arguments(["serve", "--sasl-pasword=geheim"])
    assert str(caught.value) == "unknown flag --sasl-pasword, did you mean --sasl-password?"


def test_secret_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    """A secret's file that is missing, empty, no text, or given beside the secret is named."""
    empty = tmp_path / "empty"
    empty.write_text("\n")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    variable = "KOH_SASL_PASSWORD_FILE"
    assert refuse({}, {variable: "/not/there"}) == (
        "environment KOH_SASL_PASSWORD_FILE: cannot read /not/there: No such file or directory"
    )
    assert refuse({}, {variable: str(empty)}) == f"environment {variable}: {empty} is empty"
    assert refuse({}, {variable: str(binary)}) == f"environment {variable}: {binary} is not UTF-8"
    assert refuse({}, {variable: __file__, "KOH_SASL_PASSWORD": "x"}) == (
        "environment KOH_SASL_PASSWORD_FILE: give either this or environment KOH_SASL_PASSWORD"
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"- port\n", "koh.yaml: must be a mapping of settings to values"),
        (b"port\n", "koh.yaml: must be a mapping of settings to values"),
        (b"port: 1\nhost: [\n", "koh.yaml, line 3: not YAML, a value may need quotes"),
        (b"host: \xff\n", "koh.yaml: not YAML, unreadable characters"),
        (b"config: x\n", "unknown config in "),
        (b"port: [1]\n", "koh.yaml: ['1'] will not do, it must be a whole number from 0 to 65535"),
    ],
)
def test_a_file_that_is_no_mapping_of_settings_is_refused(
    content: bytes, line: str, tmp_path: Path
) -> None:
    """A broken file is refused with its name and the line."""
    path = tmp_path / "koh.yaml"
    path.write_bytes(content)
    assert line in refuse({}, {"KOH_CONFIG": str(path)})


def test_a_config_file_that_is_not_there_is_refused() -> None:
    """A missing configuration file is never passed over."""
    assert refuse({}, {"KOH_CONFIG": "/not/there"}) == (
        "cannot read /not/there: No such file or directory"
    )
