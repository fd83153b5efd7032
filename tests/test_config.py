"""Settings: each from every source, the nearest first, and one clear line for what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from proxy.cli import list_flags, parse_arguments
from proxy.config import Secret, Settings, load_settings
from proxy.config.show import show_settings
from proxy.config.table import SECRET_FILE_OF, SETTINGS, Setting, environment_of, flag_of

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
# What a setting cannot be without, or beside.
COMPANIONS: dict[str, dict[str, str]] = {
    "sasl_mechanism": PASSWORD,
    "sasl_username": PASSWORD,
    "sasl_password": PASSWORD,
    "sasl_oauth_token_endpoint_url": ENDPOINT,
    "sasl_oauth_client_id": ENDPOINT,
    "sasl_oauth_client_secret": ENDPOINT,
    "sasl_oauth_scope": ENDPOINT,
    "sasl_oauth_token": TOKEN,
    "sasl_oauth_token_file": TOKEN,
    "ssl_cafile": {"security_protocol": "SSL"},
    "ssl_certfile": {"security_protocol": "SSL"},
    "ssl_keyfile": {"security_protocol": "SSL", "ssl_certfile": __file__},
    "ssl_key_password": {"security_protocol": "SSL", "ssl_certfile": __file__},
    "ssl_ciphers": {"security_protocol": "SSL"},
    "acks": {"enable_idempotence": "false"},
    "security_protocol": {},
}
OTHER_TEXTS = {
    "bootstrap_servers": "a:1,[::1]:2",
    "advertised_url": "https://there/x",
    "root_path": "/kafka",
    "trusted_proxies": "10.0.0.0/8,::1",
    "sasl_oauth_token_endpoint_url": "http://there",
    "security_protocol": "SSL",
    "partition_assignment_strategy": "sticky,range",
    "sasl_mechanism": "SCRAM-SHA-512",
}


def other_text(setting: Setting) -> str:
    """A value that is not the default, as one would write it."""
    if setting.name in OTHER_TEXTS:
        return OTHER_TEXTS[setting.name]
    if setting.name.endswith("file"):
        return __file__
    if isinstance(setting.default, bool):
        return str(not setting.default).lower()
    if isinstance(setting.default, int):
        return str(setting.default + 1)
    if setting.choices:
        return next(choice for choice in setting.choices if choice != setting.default)
    return "some text"


def load_environment(values: Mapping[str, str]) -> Settings:
    """What a process gets from these variables, given by setting name."""
    environment = {environment_of(key): text for key, text in values.items()}
    return load_settings({}, environment).settings


def load_file(folder: Path, content: str) -> Settings:
    """What a process gets from such a YAML file."""
    path = folder / "koh.yaml"
    path.write_text(content, "utf-8")
    return load_settings({"config": str(path)}, {}).settings


def show_value(settings: Settings, setting: Setting) -> str:
    """A value of these settings as one would write it."""
    value = getattr(settings, setting.name)
    return value.reveal() if isinstance(value, Secret) else setting.show(value)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_is_read_from_environment_file_and_flag(
    setting: Setting, tmp_path: Path
) -> None:
    """Every setting means the same as a variable, as a YAML key and as a flag."""
    text = other_text(setting)
    values = COMPANIONS.get(setting.name, {}) | {setting.name: text}

    by_environment = load_environment(values)
    by_file = load_file(tmp_path, yaml.safe_dump(values))
    command_line = ["serve"]
    for name, value in values.items():
        if value == "false":
            command_line.append(f"--no-{name.replace('_', '-')}")
        else:
            command_line += [flag_of(name)] + ([] if value == "true" else [value])
    by_flag = load_settings(list_flags(parse_arguments(command_line)), {}).settings

    assert show_value(by_environment, setting) == text
    assert show_value(Settings(), setting) != text
    assert by_file == by_environment
    assert by_flag == by_environment


@pytest.mark.parametrize("key", SECRET_FILE_OF)
def test_each_secret_is_read_from_a_file(key: str, tmp_path: Path) -> None:
    """A secret may be in a file, whose last line feed is not part of it."""
    setting = SECRET_FILE_OF[key]
    (tmp_path / "secret").write_text(" geheim \n")
    values = {**COMPANIONS[setting.name], key: str(tmp_path / "secret")}
    values.pop(setting.name, None)

    by_environment = load_environment(values)

    assert show_value(by_environment, setting) == " geheim "
    assert load_file(tmp_path, yaml.safe_dump(values)) == by_environment
    command_line = ["serve", *(f"{flag_of(name)}={text}" for name, text in values.items())]
    assert load_settings(list_flags(parse_arguments(command_line)), {}).settings == by_environment


def test_every_setting_has_a_default() -> None:
    """Without any source there are settings, and the table shows what they are."""
    settings = load_settings({}, {}).settings
    assert settings == Settings()
    assert all(setting.help and setting.group and setting.allowed for setting in SETTINGS)


def test_flag_comes_before_environment_before_file_before_default(tmp_path: Path) -> None:
    """Of several sources the nearest counts, setting by setting, and its name is kept."""
    path = tmp_path / "koh.yaml"
    path.write_text("port: 1\nclient_id: file\nlog_level: error\n")
    loaded = load_settings(
        {"port": "3"},
        {"KOH_CONFIG": str(path), "KOH_PORT": "2", "KOH_CLIENT_ID": "environment"},
    )
    settings = loaded.settings
    assert (settings.port, settings.client_id, settings.log_level, settings.host) == (
        3,
        "environment",
        "error",
        "127.0.0.1",
    )
    assert loaded.origins == {
        "port": "flag --port",
        "client_id": "environment KOH_CLIENT_ID",
        "log_level": f"log_level in {path}",
    }
    assert loaded.list_given() == {"port": 3, "client_id": "environment", "log_level": "error"}


def test_a_secret_file_in_a_nearer_source_wins(tmp_path: Path) -> None:
    """A secret's file counts as the secret itself, also where a farther source has the secret."""
    (tmp_path / "secret").write_text("from the file\n")
    flags = {**PASSWORD, "sasl_password_file": str(tmp_path / "secret")}
    del flags["sasl_password"]
    settings = load_settings(flags, {"KOH_SASL_PASSWORD": "from the environment"}).settings
    assert settings.sasl_password == Secret("from the file")


def test_empty_and_null_are_not_set(tmp_path: Path) -> None:
    """An empty variable, an empty YAML value, null and an empty file leave the default."""
    assert load_environment({"port": "", "ssl_cafile": "", "config": ""}) == Settings()
    assert load_file(tmp_path, "port:\nssl_cafile: null\nclient_id: ~\nhost: ''\n") == Settings()
    assert load_file(tmp_path, "") == Settings()
    assert load_file(tmp_path, "# nothing yet\n") == Settings()


def test_yaml_values_mean_what_is_written(tmp_path: Path) -> None:
    """YAML's guesses do not touch values: numbers as text, text as numbers, leading zeros."""
    settings = load_file(
        tmp_path,
        "acks: 1\nenable_idempotence: False\nport: '80'\nbootstrap_servers: [a:1, b:2]\n"
        "security_protocol: sasl_plaintext\nsasl_mechanism: plain\nsasl_username: 1_0\n"
        "sasl_password: 0123\n",
    )
    assert settings.acks == "1"
    assert settings.port == 80
    assert settings.bootstrap_servers == ("a:1", "b:2")
    assert settings.security_protocol == "SASL_PLAINTEXT"
    assert settings.sasl_username == "1_0"
    assert settings.sasl_password == Secret("0123")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_password_mechanisms_are_accepted(mechanism: str) -> None:
    """User and password are all that these mechanisms need."""
    settings = load_environment({**PASSWORD, "sasl_mechanism": mechanism})
    assert settings.sasl_mechanism == mechanism


def test_settings_in_effect_can_be_loaded_again(tmp_path: Path) -> None:
    """What --print-config prints is a configuration file, and says where each value is from."""
    loaded = load_settings(
        {"bootstrap_servers": "a:1,b:2", "client_id": "x: y # z" * 30}, {"KOH_ACCESS_LOG": "true"}
    )
    shown = show_settings(loaded)
    assert load_file(tmp_path, shown) == loaded.settings
    assert "bootstrap_servers: ['a:1', 'b:2']  # flag --bootstrap-servers\n" in shown
    assert "access_log: true  # environment KOH_ACCESS_LOG\n" in shown
    assert "port: 8082  # default\n" in shown
    assert list(yaml.safe_load(shown)) == [setting.name for setting in SETTINGS]


def test_names_left_out_keep_their_defaults() -> None:
    """A command may leave settings out, as `dev` does with brokers, whoever gives them."""
    loaded = load_settings(
        {},
        {
            "KOH_BOOTSTRAP_SERVERS": "wrong",
            "KOH_SASL_PASSWORD_FILE": "/not/there",
            "KOH_PORT": "1",
        },
        without={"bootstrap_servers", "sasl_password"},
    )
    assert loaded.settings.bootstrap_servers == ()
    assert loaded.list_given() == {"port": 1}


def test_settings_cannot_be_changed() -> None:
    """Settings are read by everybody, and written by nobody."""
    with pytest.raises(AttributeError):
        Settings().port = 1  # type: ignore[misc] # that it cannot be is what is tested
