"""Every panel of the page has its picture in the document about it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "src" / "memmcp_server" / "web" / "ui" / "index.html"
DOCUMENT = ROOT / "docs" / "dashboard.md"
PANEL = re.compile(r'class="panel[ "][^>]*\bid="(panel-[a-z_-]+)"')
PICTURE = re.compile(r"!\[[^\]]+\]\(images/([a-z_-]+)\.png\)")


@pytest.mark.requirement("D11")
def test_every_panel_is_shown_in_the_document_of_the_page() -> None:
    panels = PANEL.findall(PAGE.read_text(encoding="utf-8"))
    assert len(panels) >= 20
    shown = set(PICTURE.findall(DOCUMENT.read_text(encoding="utf-8")))
    missing = [panel for panel in panels if panel not in shown]
    assert missing == [], f"say in docs/dashboard.md what they show: ![...](images/{missing[0]}.png); make screenshots"


def test_every_part_of_the_page_has_a_section_and_its_key() -> None:
    views = (PAGE.parent / "src" / "views.ts").read_text(encoding="utf-8")
    parts = re.findall(r'\{ id: "[a-z]+", key: "(.)", title: "([A-Za-z]+)" \}', views)
    assert len(parts) >= 9
    document = DOCUMENT.read_text(encoding="utf-8")
    assert [title for _, title in parts if f"\n## {title}\n" not in document] == []
    keys = next(line for line in document.splitlines() if line.startswith("| `g` then"))
    assert [key for key, _ in parts if f"`{key}`" not in keys] == []
