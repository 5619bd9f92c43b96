"""The page of a report: whole in one file, safe whatever a token is called, and the figures of the terminal."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from trading.cli import app
from trading.cli.console import bps_text
from trading.cli.html_report import _span, render
from trading.cli.plots import curve

EVIL = "</script><script>alert(1)</script><b>&"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    result = run(home, "backtest", "--feed", "synthetic:7", "--cycles", "1600", "--profile", "aggressive",
                 "--run-dir", str(home / "run"))  # fmt: skip
    assert result.exit_code == 0, result.output
    return home / "run"


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "MEMMCP_DATA_DIR": str(home)})


def document_of(folder: Path) -> Any:
    found = run(folder.parent, "report", str(folder), "--json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def without_library(page: str) -> str:
    """Return the page without the bundle of the plotting library."""
    before, _, rest = page.partition("<script>")
    return before + rest.partition("</script>")[2]


@pytest.mark.requirement("O6")
def test_terminal_page_and_json_say_the_same(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    shown = run(folder.parent, "report", str(folder), "-o", str(page))
    assert shown.exit_code == 0, shown.output
    document, html = document_of(folder), without_library(page.read_text())
    assert document["trades"] > 5
    for lamports in (document["costs"]["fee_lamports"], document["tokens"][0]["realised_lamports"]):
        text = f"{lamports / 1e9:.9f}".rstrip("0").rstrip(".")
        assert text in shown.stdout
        assert text in html
    for name in ("deflated_sharpe", "sharpe"):
        text = "too little data" if document[name] is None else f"{document[name]:.2f}"
        assert text in shown.stdout
        assert text in html
    assert f"(trials: {document['trials']})" in shown.stdout
    assert document["rests_on"]["conventions"] in html
    assert document["rests_on"]["liquidity"] in html


def test_the_terminal_draws_the_equity_curve_and_the_drawdown_below_it(folder: Path) -> None:
    shown = run(folder.parent, "report", str(folder)).stdout
    series = document_of(folder)["series"]
    equity = series["equity_lamports"]
    above, _, below = shown.partition("\nDrawdown\n")
    drawn = [line for line in above.splitlines() if set(line) & set("▁▂▃▄▅▆▇█")]
    highest, lowest = drawn[0], drawn[-1]
    assert f"{max(equity) / 1e9:.9f}".rstrip("0") in highest
    assert f"{min(equity) / 1e9:.9f}".rstrip("0") in lowest
    assert f"the largest: {bps_text(max(series['drawdown_bps']))}" in below


def test_a_curve_rises_with_its_values_and_a_flat_one_is_a_line() -> None:
    assert curve([1, 2, 3, 4, 5, 6, 7, 8], 8, 1) == ["▁▂▃▄▅▆▇█"]
    assert curve([0, 100], 2, 2) == [" █", "▁█"]
    assert curve([7, 7, 7], 10, 2) == ["   ", "▁▁▁"]
    assert curve(list(range(1_000)), 10, 3)[0].endswith("█")
    assert curve([], 10, 3) == curve([1], 0, 3) == []


def test_a_backtests_own_page_is_that_of_its_run(folder: Path, tmp_path: Path) -> None:
    pages = []
    for name, more in (("memory", ()), ("disk", ("--run-dir", str(tmp_path / "run")))):
        page = tmp_path / f"{name}.html"
        done = run(
            tmp_path / "home", "backtest", "--feed", "synthetic:3", "--cycles", "300", "--html", str(page), *more
        )
        assert done.exit_code == 0, done.output
        pages.append(page.read_text())
    assert pages[0] == pages[1]


def test_the_page_fetches_nothing_and_holds_the_library_once(folder: Path) -> None:
    page = render(document_of(folder))
    assert page.count("plotly.js v") == 1
    rest = without_library(page)
    assert not re.search(r"(src|href)=|https?://|@import|url\(", rest)
    assert "default-src 'none'" in rest


def test_no_name_can_become_markup_or_script(folder: Path) -> None:
    document = document_of(folder)
    for group in ("strategies", "tokens", "newest_trades"):
        for each in document[group]:
            each["name" if group != "newest_trades" else "reason"] = EVIL
    document["prices"]["tokens"][0]["symbol"] = EVIL
    document["run_id"] = document["feed"]["detail"] = document["rests_on"]["liquidity"] = EVIL
    document["denials"] = {EVIL: 1}
    rest = without_library(render(document))
    assert "alert(1)</script>" not in rest
    assert "<b>" not in rest
    assert rest.count("<script") == 2
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', rest, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["prices"]["tokens"][0]["symbol"] == EVIL


def test_a_run_without_a_trade_has_a_page(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run(tmp_path, "backtest", "--feed", "synthetic:1", "--cycles", "5", "--report", str(page))
    assert done.exit_code == 0, done.output
    html = without_library(page.read_text())
    assert "Nothing was traded." in html
    assert "No opinion and no order was refused." in html


def test_a_page_that_cannot_be_written_is_said_before_the_work(folder: Path, tmp_path: Path) -> None:
    result = run(folder.parent, "report", str(folder), "-o", str(tmp_path / "no" / "where.html"))
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr
    assert run(tmp_path, "report", "-o", str(tmp_path / "x.html")).exit_code == 2, "no desk has a run here"


def test_how_long_a_trade_was_held_is_said_in_its_own_measure() -> None:
    assert [_span(seconds) for seconds in (None, 600, 7_200, 259_200)] == ["-", "10 min", "2.0 h", "3.0 d"]


def test_the_command_line_starts_without_the_plotting_library() -> None:
    code = "import sys, trading.cli; print([n for n in ('plotly', 'jinja2', 'sqlalchemy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
