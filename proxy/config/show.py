"""Settings for people: in effect, as `--print-config` prints them, and all there are, as a page."""

from __future__ import annotations

import sys
from itertools import groupby

import yaml

from proxy.config.load import LoadedSettings
from proxy.config.table import SECRET_FILE_OF, SETTINGS, Setting, environment_of

PAGE_OPENING = """\
# Configuration

<!-- Made by scripts/write_configuration_docs from proxy/config/settings.py; do not edit. -->

Each setting can be given in four ways; the first that is there counts:

1. a flag: `--max-body-bytes 1048576`
2. an environment variable: `KOH_MAX_BODY_BYTES=1048576`
3. the YAML file that `--config` or `KOH_CONFIG` names: `max_body_bytes: 1048576`
4. its default

Values are written alike in all of them. A list is separated by commas, or a YAML list. Choices are
found in any case. A switch takes `true` or `false`; its flag is `--access-log` or
`--no-access-log`. An empty variable is the same as none.

A variable that begins with `KOH_`, a YAML key or a flag that is not in this list stops the start,
with exit code 2 and the name that was probably meant. `kafka-over-http serve --print-config` prints
what is in effect and where each value comes from, as YAML, with secrets hidden.

In Kubernetes, a Service named `koh` makes Kubernetes set variables such as `KOH_PORT` in every pod
of its namespace: give it another name, or set `enableServiceLinks: false` in the pod.

A secret may also come from a file: `KOH_SASL_PASSWORD_FILE=/run/secrets/password`, the flag
`--sasl-password-file`, the key `sasl_password_file`. A line feed at the file's end is not part of
it. Prefer this to flags, which everybody on the machine can see.
"""


def show_settings(loaded: LoadedSettings) -> str:
    """The settings in effect as YAML, loadable but for the secrets; origins in comments."""
    lines = []
    for group, rows in groupby(SETTINGS, lambda setting: setting.group):
        lines.append(f"# {group}")
        for setting in rows:
            value = getattr(loaded.settings, setting.name)
            origin = loaded.origins.get(setting.name, "default")
            if setting.secret and value is not None:
                value = "***"
            elif setting.is_list:
                value = list(value)
            # A list on one line (None), and no line folded, so that the comment has its place.
            flow = None if setting.is_list else False
            entry = yaml.safe_dump(
                {setting.name: value}, default_flow_style=flow, width=sys.maxsize
            )
            lines.append(f"{entry.rstrip()}  # {origin}")
    return "\n".join(lines) + "\n"


def show_page() -> str:
    """`docs/configuration.md`."""
    parts = [PAGE_OPENING]
    for group, rows in groupby(SETTINGS, lambda setting: setting.group):
        parts.append(f"\n## {group}\n")
        parts.append("| setting, variable, flag | default | allowed | what it is |")
        parts.append("|---|---|---|---|")
        parts += [show_row(setting) for setting in rows]
    return "\n".join(parts) + "\n"


def show_row(setting: Setting) -> str:
    """A row of the page."""
    names = [f"`{setting.name}`", f"`{setting.environment}`", f"`{setting.flag}`"]
    file_key = f"{setting.name}_file"
    if file_key in SECRET_FILE_OF:
        names.insert(2, f"`{environment_of(file_key)}`")
    default = setting.show_default()
    cells = (
        "<br>".join(names),
        f"`{default}`" if default else "unset",
        setting.allowed + (f", in {setting.unit}" if setting.unit else ""),
        setting.help + (" Secret." if setting.secret else ""),
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(show_page())
