"""The documentation says what the code does."""

from __future__ import annotations

from pathlib import Path

from proxy.config.show import show_page
from proxy.config.table import SECRET_FILE_OF, SETTINGS, environment_of

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"


def test_configuration_page_is_up_to_date() -> None:
    """The page is what scripts/write_configuration_docs makes of the settings today."""
    assert PAGE.read_text("utf-8") == show_page(), "run scripts/write_configuration_docs"


def test_configuration_page_has_every_setting() -> None:
    """Name, variable and flag of each setting are on the page, and its default."""
    page = PAGE.read_text("utf-8")
    for setting in SETTINGS:
        row = next(row for row in page.splitlines() if row.startswith(f"| `{setting.name}`<br>"))
        assert f"`{setting.environment}`" in row
        assert f"`{setting.flag}`" in row
        assert setting.show(setting.default) in row
    assert all(environment_of(key) in page for key in SECRET_FILE_OF)
