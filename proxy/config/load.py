"""
Where settings come from: flag, then environment, then YAML file, then default.

Rule 1: every source gives text, also YAML (`acks: 1`, `sasl_password: 0123` mean what is written),
        so that a value means the same wherever it stands.
Rule 2: what is empty is not set (`KOH_PORT=` in a compose file).
Rule 3: what is unknown stops the start; a misspelt setting that is ignored is found in production.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from proxy.config.checks import ConfigurationError, check_settings
from proxy.config.secret import Secret
from proxy.config.settings import Settings
from proxy.config.table import (
    CONFIG_KEY,
    ENVIRONMENT_PREFIX,
    KEYS,
    SECRET_FILE_OF,
    SETTING_OF,
    Setting,
    environment_of,
    flag_of,
)


@dataclass(frozen=True, slots=True)
class Given:
    """A value as somebody wrote it, and where: `raw` is text, a YAML list or an argparse switch."""

    raw: object
    origin: str


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings, and where each that is no default was given: `environment KOH_PORT`."""

    settings: Settings
    origins: Mapping[str, str]

    def list_given(self) -> dict[str, object]:
        """The values that somebody gave, for `structs.replace`."""
        return {name: getattr(self.settings, name) for name in self.origins}


def load_settings(
    flags: Mapping[str, object],
    environment: Mapping[str, str],
    without: Collection[str] = (),
) -> LoadedSettings:
    """
    The settings from all sources, checked; those named in `without` keep their defaults.

    Shape: flags are by setting name (`config` too), as given; a switch may be a bool
    Raises: ConfigurationError, one line that names the setting and what it may be
    """
    by_flag = {name: Given(raw, f"flag {flag_of(name)}") for name, raw in flags.items()}
    by_environment = dict(read_environment(environment))
    config = by_flag.pop(CONFIG_KEY, None) or by_environment.pop(CONFIG_KEY, None)
    by_environment.pop(CONFIG_KEY, None)
    by_file = {} if config is None else dict(read_file(Path(str(config.raw))))
    given: dict[str, Given] = {}
    for source in (by_file, by_environment, by_flag):
        wanted = {
            key: value
            for key, value in source.items()
            if key not in without and key.removesuffix("_file") not in without
        }
        given |= read_secret_files(wanted)
    values = {name: convert_value(SETTING_OF[name], value) for name, value in given.items()}
    settings = msgspec.structs.replace(Settings(), **values)
    check_settings(settings)
    return LoadedSettings(settings, {name: value.origin for name, value in given.items()})


def read_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    """Each variable with our prefix, by setting name."""
    for variable, text in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if key not in KEYS or variable != environment_of(key):
            raise ConfigurationError(f"unknown {variable}{suggest(key, environment_of)}")
        if text:
            yield key, Given(text, f"environment {variable}")


def read_file(path: Path) -> Iterator[tuple[str, Given]]:
    """Each entry of a YAML file, by setting name."""
    try:
        # BaseLoader builds nothing but text, lists and mappings, see rule 1.
        content = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader)  # noqa: S506
    except OSError as exc:
        raise ConfigurationError(f"cannot read {path}: {exc.strerror}") from exc
    except yaml.MarkedYAMLError as exc:
        # Nothing of its text, which quotes the file: a password that begins with * is an alias.
        line = "" if exc.problem_mark is None else f", line {exc.problem_mark.line + 1}"
        raise ConfigurationError(f"{path}{line}: not YAML, a value may need quotes") from exc
    except yaml.YAMLError as exc:
        raise ConfigurationError(f"{path}: not YAML, unreadable characters") from exc
    if content in ("", None):
        return
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: must be a mapping of settings to values")
    for key, value in content.items():
        if key not in KEYS or key == CONFIG_KEY:
            raise ConfigurationError(f"unknown {key} in {path}{suggest(str(key), str)}")
        if value not in ("", "null", "~"):
            yield key, Given(value, f"{key} in {path}")


def read_secret_files(source: Mapping[str, Given]) -> dict[str, Given]:
    """One source's values, where `x_file` has become what the file holds for `x`."""
    values = {}
    for key, value in source.items():
        if key not in SECRET_FILE_OF:
            values[key] = value
            continue
        setting = SECRET_FILE_OF[key]
        if setting.name in source:
            raise ConfigurationError(
                f"{value.origin}: give either this or {source[setting.name].origin}"
            )
        try:
            # Editors and `echo` end a file with a line feed that is not part of the secret.
            text = Path(str(value.raw)).read_text("utf-8").rstrip("\r\n")
        except OSError as exc:
            raise ConfigurationError(
                f"{value.origin}: cannot read {value.raw}: {exc.strerror}"
            ) from exc
        except UnicodeDecodeError as exc:
            raise ConfigurationError(f"{value.origin}: {value.raw} is not UTF-8") from exc
        if not text:
            raise ConfigurationError(f"{value.origin}: {value.raw} is empty")
        values[setting.name] = Given(text, value.origin)
    return values


def convert_value(setting: Setting, given: Given) -> object:
    """The value in the setting's type. Choices are found in any case, as in `sasl_ssl`."""
    raw = given.raw
    if setting.is_list and isinstance(raw, str):
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    if setting.choices:
        spelling = {choice.casefold(): choice for choice in setting.choices}
        if isinstance(raw, list):
            raw = [spelling.get(str(item).casefold(), item) for item in raw]
        else:
            raw = spelling.get(str(raw).casefold(), raw)
    try:
        return msgspec.convert(raw, setting.type, strict=False, dec_hook=make_secret)
    except msgspec.ValidationError as exc:
        shown = "this value" if setting.secret else repr(given.raw)
        raise ConfigurationError(
            f"{given.origin}: {shown} will not do, it must be {setting.allowed}"
        ) from exc


def make_secret(wanted: type, raw: object) -> object:
    """Called by msgspec for the one type of ours."""
    if wanted is not Secret or not isinstance(raw, str):
        raise TypeError(wanted)
    return Secret(raw)


def suggest(key: str, spell: Callable[[str], str]) -> str:
    """`, did you mean KOH_PORT?`, or nothing where nothing is near."""
    nearest = difflib.get_close_matches(key.lower().replace("-", "_"), KEYS, n=1)
    return f", did you mean {spell(nearest[0])}?" if nearest else ""
