"""
The README's tour, executed: every `$ curl …` line against a real proxy, its answer held against the
answer that the README shows.

Values that differ from run to run (offsets, partitions, times) are compared by type, all else by
value; so is the order of members.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import anyio
import orjson
import pytest

from tests.conftest import TopicFactory

pytestmark = pytest.mark.anyio

README = Path(__file__).parents[1] / "README.md"
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
# What depends on the broker's history. The rest of an answer is compared as it stands.
VARIES = {"partition", "offset", "timestamp", "beginning_offset", "end_offset"}
# As `dev` makes it.
PARTITIONS = 1


class Step(NamedTuple):
    """A command and the answer that is shown under it, "" for none."""

    command: str
    shown: str


def read_tour() -> list[Step]:
    """The commands of the README's console blocks, in order."""
    steps = []
    for block in CONSOLE.findall(README.read_text()):
        for part in block.split("$ ")[1:]:
            command, _, shown = part.partition("\n")
            steps.append(Step(command, shown.strip()))
    return steps


def same_shape(shown: object, real: object, member: str = "") -> bool:
    """Whether a real answer is what is shown, but for what varies."""
    if isinstance(shown, dict) and isinstance(real, dict):
        return list(shown) == list(real) and all(
            same_shape(value, real[name], name) for name, value in shown.items()
        )
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(same_shape, shown, real))
    if member in VARIES:
        return type(shown) is type(real)
    return shown == real


async def test_every_line_of_the_tour_answers_as_shown(proxy_url: str, topic: TopicFactory) -> None:
    """The tour works as a newcomer would paste it, with the answers shown."""
    tour = read_tour()
    assert len(tour) >= 10
    name = await topic(partitions=PARTITIONS)
    names = {"http://localhost:8082": proxy_url, "playground": name, "tea-lovers": f"group-{name}"}
    for step in tour:
        command, shown = step
        for told, real in names.items():
            command, shown = command.replace(told, real), shown.replace(told, real)
        answer = (await anyio.run_process(["bash", "-c", command])).stdout
        if not shown:
            assert answer == b"", f"{command}\nanswered {answer!r}, nothing is shown"
        elif command.endswith("/topics"):
            # The broker of a test has the topics of other tests too.
            assert name in orjson.loads(answer)
        else:
            # The one value that a JSON parser would change: each digit of it counts.
            assert (b"12345678901234567890.10" in answer) == ("12345678901234567890.10" in shown)
            assert same_shape(orjson.loads(shown), orjson.loads(answer)), (
                f"{command}\nanswered {answer!r}\nshown is {shown}"
            )


def test_the_two_commands_exist() -> None:
    """What the README tells a newcomer to type is a target of the Makefile."""
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target} is not there"
