"""
The door: `kafka-over-http serve`, `dev` and `version`.

Exit codes: 0 done or stopped as asked, 1 failed, 2 wrong usage or configuration, with one line that
says what.
"""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from proxy import __version__
from proxy.config import ConfigurationError, load_settings
from proxy.config.show import show_settings
from proxy.config.table import (
    CONFIG_KEY,
    SECRET_FILE_OF,
    SETTINGS,
    Setting,
    environment_of,
    flag_of,
)

PROGRAM = "kafka-over-http"

EXAMPLES = """\
examples:
  kafka-over-http dev
      try it out: an embedded broker, a demo topic, and the proxy on 127.0.0.1:8082
  kafka-over-http serve --bootstrap-servers kafka-1:9092,kafka-2:9092 --host 0.0.0.0
      production, on every network
  KOH_BOOTSTRAP_SERVERS=kafka:9092 kafka-over-http serve --config /etc/kafka-over-http.yaml
      the same from the environment and a file
  kafka-over-http serve --print-config
      what is in effect, and where each value comes from

kafka-over-http serve --help lists every setting."""

SETTINGS_NOTE = """\
Every setting is a flag, an environment variable (in brackets) and a key of the YAML file (the
variable's name in lower case, without koh_); the first that is there counts."""

SERVE_EXAMPLES = """\
examples:
  kafka-over-http serve --bootstrap-servers kafka-1:9092,kafka-2:9092
  kafka-over-http serve --bootstrap-servers kafka:9093 --security-protocol SASL_SSL \\
      --sasl-mechanism SCRAM-SHA-512 --sasl-username proxy --sasl-password-file /run/secrets/kafka

exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or configuration"""

NO_BROKERS = (
    "which Kafka brokers? Give --bootstrap-servers host:port,..., KOH_BOOTSTRAP_SERVERS, or"
    " bootstrap_servers in the file of --config (without Kafka: kafka-over-http dev)"
)

# `dev` starts its own broker: how to reach others is not asked, and not read.
BROKER_GROUPS = {"Kafka brokers", "TLS to brokers", "SASL to brokers"}
BROKER_SETTINGS = {setting.name for setting in SETTINGS if setting.group in BROKER_GROUPS}

# What argparse's namespace holds besides settings.
NO_SETTINGS = {"command", "print_config", "data_dir"}


class OneLineParser(argparse.ArgumentParser):
    """argparse, but a wrong command line is answered by one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, by default the process's own, and answer the exit code."""
    try:
        given = parse_arguments(arguments)
        return {"serve": run_serve, "dev": run_dev, "version": run_version}[given.command](given)
    except ConfigurationError as exc:
        sys.stderr.write(f"{PROGRAM}: {exc}\n")
        return 2


def run_serve(given: argparse.Namespace) -> int:
    """`serve`: the proxy in front of the brokers that the settings name."""
    loaded = load_settings(list_flags(given), os.environ)
    if given.print_config:
        sys.stdout.write(show_settings(loaded))
        return 0
    if not loaded.settings.bootstrap_servers:
        raise ConfigurationError(NO_BROKERS)
    # Until the server takes signals: as PID 1 of a container we would not see them at all.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Imported here, so that --help and a wrong setting are answered without aiokafka's load time.
    from proxy.observe.logs import configure_logging
    from proxy.server import serve

    configure_logging(loaded.settings.log_level, loaded.settings.log_format)
    return serve(loaded.settings)


def run_dev(given: argparse.Namespace) -> int:
    """`dev`: the same with a broker of its own, for a look and for development."""
    loaded = load_settings(list_flags(given), os.environ, without=BROKER_SETTINGS)
    overrides = loaded.list_given()
    overrides.pop("host", None)
    overrides.pop("port", None)
    # Imported here for the same reason.
    from proxy import dev

    return dev.run_dev(loaded.settings.host, loaded.settings.port, Path(given.data_dir), overrides)


def run_version(given: argparse.Namespace) -> int:
    """`version`: the version alone, for scripts."""
    sys.stdout.write(f"{PROGRAM} {__version__}\n")
    return 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """
    The command and its flags; a flag that was not given is not there.

    Raises: ConfigurationError for a wrong command line, with the flag that was probably meant
    """
    parser = OneLineParser(
        prog=PROGRAM,
        description="An HTTP proxy for Kafka: produce, consume and look around with HTTP alone.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    serve = add_command(commands, "serve", "run the proxy in front of your brokers")
    serve.description, serve.epilog = SETTINGS_NOTE, SERVE_EXAMPLES
    serve.usage = f"{PROGRAM} serve [SETTING ...] [--config FILE] [--print-config]"
    serve.add_argument(
        "--print-config",
        action="store_true",
        help="print the settings in effect as YAML, secrets hidden, and exit",
    )
    add_settings(serve, SETTINGS)
    dev = add_command(commands, "dev", "run it with an embedded broker, to try it out")
    dev.usage = f"{PROGRAM} dev [--data-dir PATH] [SETTING ...]"
    dev.description = SETTINGS_NOTE + "\nThose for brokers are left out: dev starts its own."
    dev.add_argument(
        "--data-dir",
        metavar="PATH",
        default=".koh-dev",
        help="where the embedded broker keeps its data (default .koh-dev)",
    )
    add_settings(dev, [s for s in SETTINGS if s.name not in BROKER_SETTINGS])
    add_command(commands, "version", "print the version")

    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        # The first alone, without its value: what follows may be a secret after a misspelt flag.
        flag = unknown[0].partition("=")[0]
        if not flag.startswith("-"):
            raise ConfigurationError(f"unexpected argument {flag}, flags begin with --")
        # argparse has no public way to list a parser's flags.
        known = commands.choices[given.command]._option_string_actions
        nearest = difflib.get_close_matches(flag, known, n=1)
        meant = f", did you mean {nearest[0]}?" if nearest else ""
        raise ConfigurationError(f"unknown flag {flag}{meant}")
    return given


def add_command(
    commands: argparse._SubParsersAction[OneLineParser], name: str, summary: str
) -> OneLineParser:
    """A parser for a command, which shares the manners of the whole."""
    return commands.add_parser(
        name,
        help=summary,
        description=summary,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_settings(parser: argparse.ArgumentParser, settings: Sequence[Setting]) -> None:
    """A flag for each setting, by groups, and those for the YAML file and for files of secrets."""
    parser.add_argument(
        flag_of(CONFIG_KEY),
        metavar="FILE",
        default=argparse.SUPPRESS,
        help=f"YAML file of settings [{environment_of(CONFIG_KEY)}]",
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for setting in settings:
        if setting.group not in groups:
            groups[setting.group] = parser.add_argument_group(setting.group)
        group = groups[setting.group]
        if setting.is_switch:
            group.add_argument(
                setting.flag,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=describe_flag(setting),
            )
            continue
        metavar = setting.unit.upper() or ("CHOICE" if setting.choices else "VALUE")
        group.add_argument(
            setting.flag,
            metavar=metavar,
            default=argparse.SUPPRESS,
            help=describe_flag(setting),
        )
        file_key = f"{setting.name}_file"
        if file_key in SECRET_FILE_OF:
            group.add_argument(
                flag_of(file_key),
                metavar="PATH",
                default=argparse.SUPPRESS,
                help=f"File that holds it, and is seen by fewer. [{environment_of(file_key)}]",
            )


def describe_flag(setting: Setting) -> str:
    """The help of a flag: what it is, what it may be, its default and its variable."""
    default = setting.show_default()
    parts = [
        setting.help,
        f"One of {', '.join(setting.choices)}." if setting.choices else "",
        f"[{f'default {default}, ' if default else ''}{setting.environment}]",
    ]
    # argparse formats help with %.
    return " ".join(part for part in parts if part).replace("%", "%%")


def list_flags(given: argparse.Namespace) -> dict[str, object]:
    """The settings that were given as flags, by name."""
    return {name: value for name, value in vars(given).items() if name not in NO_SETTINGS}
