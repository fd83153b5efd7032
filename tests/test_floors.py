"""
The rules about the code itself. Source: ARCHITECTURE.md, "Rooms and floors"; STYLE.md.

A room is a folder or a file right below `proxy/`. Imports run down only.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# `proxy/__init__.py` (the version) is below them all.
FLOORS = [
    {"model", "errors", "observe", "config"},
    {"wire"},
    {"kafka", "registry", "auth"},
    {"api"},
    {"app"},
    {"server", "dev"},
    {"cli"},
    {"__main__"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Bytes and JSON meet in an endpoint, nowhere else.
STRANGERS = {("kafka", "wire")}
# `server/` is our subclass of uvicorn's server and protocol.
LIBRARY_ROOMS = {
    "aiokafka": {"kafka"},
    "starlette": {"api", "app"},
    "uvicorn": {"cli", "server"},
    "httpx": {"registry", "auth", "client"},
}
# `--help` and a wrong setting are answered without the load time of everything else.
LATE_IMPORTERS = {"cli.py"}
MAX_LINES = 300
VAGUE_NAMES = {
    *("utils", "util", "helpers", "helper", "common", "misc", "base", "manager", "handler"),
    *("processor", "impl", "data", "info2"),
}

SOURCES = sorted((ROOT / "proxy").rglob("*.py"))
TEST_SOURCES = sorted((ROOT / "tests").rglob("*.py"))


def name_of(path: Path) -> str:
    """`proxy/wire/records.py` is `proxy.wire.records`, `proxy/wire/__init__.py` is `proxy.wire`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in SOURCES}
each_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def room_of(module: str) -> str:
    """`proxy.wire.records` is in `wire`; the package itself is in no room, ""."""
    return [*module.split("."), ""][1]


def imports_of(path: Path) -> Iterator[str]:
    """What a file imports, wherever in it; `from proxy.wire import records` as the module it is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield longer if longer in MODULES else node.module


@each_source
def test_imports_run_down(path: Path) -> None:
    """A room imports from the floors below it and its own; the lowest also from neighbours."""
    room = room_of(name_of(path))
    assert room == "" or room in FLOOR_OF, f"which floor is {room} on? Say so in FLOORS"
    for module in imports_of(path):
        other = room_of(module)
        if not module.startswith("proxy.") or other == room:
            continue
        assert (room, other) not in STRANGERS, f"{module}: these two rooms never meet"
        below = FLOOR_OF[other] < FLOOR_OF[room] or FLOOR_OF[other] == FLOOR_OF[room] == 0
        assert below, f"{module} is not below {room}"


@each_source
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    """A library that could be exchanged is imported in its own room alone."""
    for module in imports_of(path):
        rooms = LIBRARY_ROOMS.get(module.split(".")[0])
        assert rooms is None or room_of(name_of(path)) in rooms, f"{module} belongs into {rooms}"


def test_no_import_goes_round_in_a_circle() -> None:
    """The modules can be put in an order in which each imports earlier ones alone."""
    graph = {
        name: {module for module in imports_of(path) if module in MODULES and module != name}
        for name, path in MODULES.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@each_source
def test_imports_are_absolute_and_at_the_top(path: Path) -> None:
    """No dots, and none within a function."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno} is relative"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            path.name not in LATE_IMPORTERS
        ):
            late = [one for one in ast.walk(node) if isinstance(one, ast.Import | ast.ImportFrom)]
            assert not late, f"line {late[0].lineno} imports within {node.name}"


@each_source
def test_a_file_is_short(path: Path) -> None:
    """Past 300 lines a file is split by what a reader looks for."""
    assert len(path.read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", [*SOURCES, *TEST_SOURCES], ids=lambda path: path.stem)
def test_a_file_bears_the_name_of_its_thing(path: Path) -> None:
    """No utils, helpers, managers: such a name says nothing about what is in there."""
    assert path.stem.split("_")[-1] not in VAGUE_NAMES


@pytest.mark.parametrize(
    "path",
    [path for path in TEST_SOURCES if path.name.startswith("test_")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_test_says_what_it_shows(path: Path) -> None:
    """A test has a docstring, one sentence: the behaviour."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            silent = node.name.startswith("test_") and ast.get_docstring(node) is None
            assert not silent, f"line {node.lineno}: {node.name} has no docstring"
