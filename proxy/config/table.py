"""
The table of settings: a row for each field of `Settings`, and what follows from name and type.

Flags, environment variables, help, checks, documentation and `--print-config` all walk `SETTINGS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import msgspec

from proxy.config.secret import Secret
from proxy.config.settings import MIB, Settings

# A group of the documentation begins at the field named here and ends where the next begins.
GROUPS = {
    "bootstrap_servers": "Kafka brokers",
    "host": "HTTP",
    "max_body_bytes": "Limits",
    "drain_delay_ms": "Stopping",
    "access_log": "Logs",
    "ssl_cafile": "TLS to brokers",
    "sasl_mechanism": "SASL to brokers",
    "acks": "Produce",
    "consumer_instance_timeout_ms": "Consumer instances",
}

ENVIRONMENT_PREFIX = "KOH_"
# Not a setting, but said in the same ways: where the YAML file is.
CONFIG_KEY = "config"

UNITS = {"ms": "milliseconds", "s": "seconds", "bytes": "bytes"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A row. `type` is the annotation; `choices` is empty where any value of the type will do."""

    name: str
    group: str
    type: object
    default: object
    help: str
    allowed: str
    choices: tuple[str, ...]
    secret: bool
    is_list: bool
    is_switch: bool

    @property
    def environment(self) -> str:
        return environment_of(self.name)

    @property
    def flag(self) -> str:
        return flag_of(self.name)

    @property
    def unit(self) -> str:
        return UNITS.get(self.name.rpartition("_")[2], "")

    def show(self, value: object) -> str:
        """A value of this setting as one writes it: `a,b` for a list, nothing where it is unset."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, tuple):
            return ",".join(value)
        return str(value)

    def show_default(self) -> str:
        """The default, with MiB or minutes said as well where the bare number is hard to read."""
        shown = self.show(self.default)
        if isinstance(self.default, int) and self.unit == "bytes" and self.default >= MIB:
            return f"{shown} ({self.default // MIB} MiB)"
        return shown


def environment_of(key: str) -> str:
    """The environment variable of a setting or of its file: `KOH_PORT`."""
    return ENVIRONMENT_PREFIX + key.upper()


def flag_of(key: str) -> str:
    """The command line flag of a setting or of its file: `--max-body-bytes`."""
    return "--" + key.replace("_", "-")


def unwrap(declared: object) -> tuple[object, list[msgspec.Meta]]:
    """The type within `Annotated` and `… | None`, with all that was annotated on the way."""
    metas: list[msgspec.Meta] = []
    while get_origin(declared) in (Annotated, Union, UnionType):
        arguments = get_args(declared)
        if get_origin(declared) is Annotated:
            declared = arguments[0]
            metas += arguments[1:]
        else:
            (declared,) = (argument for argument in arguments if argument is not NoneType)
    return declared, metas


def describe_type(declared: object) -> str:
    """What a type allows, in words that finish the sentence "it must be …"."""
    inner, metas = unwrap(declared)
    for meta in metas:
        if meta.extra is not None:
            return str(meta.extra["allowed"])
    if get_origin(inner) is tuple:
        item = get_args(inner)[0]
        return f"a list, separated by commas, each {describe_type(item)}"
    if get_origin(inner) is Literal:
        return "one of " + ", ".join(get_args(inner))
    if inner is int:
        lowest = max(meta.ge for meta in metas if meta.ge is not None)
        highest = [meta.le for meta in metas if meta.le is not None]
        return f"a whole number {f'from {lowest} to {highest[0]}' if highest else f'>= {lowest}'}"
    return "true or false" if inner is bool else "text"


def find_choices(declared: object) -> tuple[str, ...]:
    """The words that a type, or each item of a list, is limited to; none where it is not."""
    inner, _ = unwrap(declared)
    if get_origin(inner) is tuple:
        return find_choices(get_args(inner)[0])
    return get_args(inner) if get_origin(inner) is Literal else ()


def make_table() -> tuple[Setting, ...]:
    """The rows, in the order of the fields."""
    rows = []
    group = ""
    for field in msgspec.structs.fields(Settings):
        group = GROUPS.get(field.name, group)
        inner, metas = unwrap(field.type)
        rows.append(
            Setting(
                name=field.name,
                group=group,
                type=field.type,
                default=field.default,
                help=next(meta.description for meta in metas if meta.description is not None),
                allowed=describe_type(field.type),
                choices=find_choices(field.type),
                secret=inner is Secret,
                is_list=get_origin(inner) is tuple,
                is_switch=inner is bool,
            )
        )
    return tuple(rows)


SETTINGS = make_table()
SETTING_OF = {setting.name: setting for setting in SETTINGS}
# Each secret may come from a file instead. `sasl_oauth_token_file` is a setting in its own right,
# as a token file must be read again and again.
SECRET_FILE_OF = {
    f"{setting.name}_file": setting
    for setting in SETTINGS
    if setting.secret and f"{setting.name}_file" not in SETTING_OF
}
KEYS = (*SETTING_OF, *SECRET_FILE_OF, CONFIG_KEY)
