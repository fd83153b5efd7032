"""The command as one types it: what it prints, where, and its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from proxy import __version__
from proxy.config.table import SETTINGS

MISSING_BROKERS = (
    "kafka-over-http: which Kafka brokers? Give --bootstrap-servers host:port,...,"
    " KOH_BOOTSTRAP_SERVERS, or bootstrap_servers in the file of --config"
    " (without Kafka: kafka-over-http dev)\n"
)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command, with these variables and none of ours besides."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("KOH_")}
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        env=kept | {"COLUMNS": "100", "PYTHONIOENCODING": "utf-8"} | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=20,
        check=False,
    )


def refuse(*arguments: str, **environment: str) -> str:
    """The line of a command that is refused with exit code 2."""
    done = run(*arguments, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_help_names_the_commands_with_examples() -> None:
    """--help says what there is to type, and exits with 0."""
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for text in ("serve", "dev", "version", "examples:", "--print-config"):
        assert text in done.stdout


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_help_of_a_command_has_every_setting(command: str) -> None:
    """Each setting's flag, variable and default are in the help; `dev` has none for brokers."""
    done = run(command, "--help", COLUMNS="1000")
    assert (done.returncode, done.stderr) == (0, "")
    for setting in SETTINGS:
        named = f"{setting.flag} " in done.stdout or f"{setting.flag}," in done.stdout
        assert named == (command == "serve" or "broker" not in setting.group)
        if named:
            assert f"{setting.environment}]" in done.stdout
            assert setting.show(setting.default) in done.stdout


def test_help_answers_at_once() -> None:
    """The heavy libraries are not loaded for what does not need them."""
    fastest_s = 60.0
    for _ in range(5):
        start = time.perf_counter()
        assert run("--help").returncode == 0
        fastest_s = min(fastest_s, time.perf_counter() - start)
    assert fastest_s < 0.5


def test_version_is_printed() -> None:
    """`version` and `--version` print name and version."""
    for argument in ("version", "--version"):
        done = run(argument)
        assert (done.returncode, done.stdout) == (0, f"kafka-over-http {__version__}\n")


def test_print_config_needs_no_brokers_and_shows_where_values_come_from(tmp_path: Path) -> None:
    """The settings in effect are printed as YAML, each with its source."""
    path = tmp_path / "koh.yaml"
    path.write_text("log_level: debug\nport: 1\n")
    done = run("serve", "--print-config", "--access-log", KOH_CONFIG=str(path), KOH_PORT="2")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"log_level: debug  # log_level in {path}\n" in done.stdout
    assert "port: 2  # environment KOH_PORT\n" in done.stdout
    assert "access_log: true  # flag --access-log\n" in done.stdout
    assert "host: 127.0.0.1  # default\n" in done.stdout
    assert list(yaml.safe_load(done.stdout)) == [setting.name for setting in SETTINGS]


def test_print_config_hides_secrets(tmp_path: Path) -> None:
    """A secret is shown as ***, wherever it came from."""
    (tmp_path / "secret").write_text("geheim\n")
    done = run(
        "serve",
        "--print-config",
        "--security-protocol=SASL_SSL",
        "--sasl-mechanism=PLAIN",
        "--sasl-username=u",
        KOH_SASL_PASSWORD_FILE=str(tmp_path / "secret"),
    )
    assert done.returncode == 0
    assert "geheim" not in done.stdout + done.stderr
    assert "sasl_password: '***'  # environment KOH_SASL_PASSWORD_FILE\n" in done.stdout


def test_serve_without_brokers_says_how_to_name_them() -> None:
    """Brokers are the one thing that serve cannot guess."""
    assert refuse("serve") == MISSING_BROKERS
    assert refuse("serve", KOH_BOOTSTRAP_SERVERS="") == MISSING_BROKERS


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "the following arguments are required: COMMAND (see kafka-over-http --help)"),
        (["serve", "--prot", "1"], "unknown flag --prot, did you mean --port?"),
        (["serve", "--por=1"], "unknown flag --por, did you mean --port?"),
        (["serve", "kafka:9092"], "unexpected argument kafka:9092, flags begin with --"),
        (
            ["serve", "--port"],
            "argument --port: expected one argument (see kafka-over-http serve --help)",
        ),
        (
            ["serve", "--port", "x"],
            "flag --port: 'x' will not do, it must be a whole number from 0 to 65535",
        ),
        (["dev", "--bootstrap-servers", "a:1"], "unknown flag --bootstrap-servers"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: list[str], line: str) -> None:
    """A wrong command line is answered with what is wrong with it."""
    assert refuse(*arguments) == f"kafka-over-http: {line}\n"


def test_unknown_command_is_answered_with_those_there_are() -> None:
    """A misspelt command is one line, with the commands."""
    line = refuse("srve")
    assert "srve" in line
    assert all(command in line for command in ("serve", "dev", "version"))


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_unknown_variable_stops_the_start(command: str) -> None:
    """A misspelt variable with our prefix is refused, and the right one named."""
    assert refuse(command, KOH_MAX_BODY_SIZE="1") == (
        "kafka-over-http: unknown KOH_MAX_BODY_SIZE, did you mean KOH_MAX_BODY_BYTES?\n"
    )
