"""DESIGN.md's file map is complete and true."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAPPED = set(re.findall(r"`([\w./]+\.py)`", (ROOT / "DESIGN.md").read_text()))
FILES = {
    str(path.relative_to(ROOT / "proxy"))
    for path in (ROOT / "proxy").rglob("*.py")
    if path.name != "__init__.py"
}


def test_every_file_is_in_the_map() -> None:
    """Whoever looks for a line finds the file that it belongs in."""
    # The nouns at the bottom are in the picture of the rooms.
    assert FILES - MAPPED - {"model.py", "errors.py"} == set()


def test_the_map_names_no_file_that_is_gone() -> None:
    """A file that moved takes its row along."""
    gone = {name for name in MAPPED if not (ROOT / "proxy" / name).exists()}
    assert {name for name in gone if not (ROOT / name).exists()} == set()
