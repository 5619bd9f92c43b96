"""Runs that need no daemon: backtest, check-curve, data check; help and bad input everywhere."""

import gzip
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from tests.unit.trading.feeds.bar_writers import START_S, bar_rows, write_csv
from typer.testing import CliRunner

from trading.cli import app

COMMANDS = [
    "backtest", "trials", "paper", "check-curve", "stop-entries", "reduce-only", "flatten-and-halt", "resume", "close",
    "deposit", "withdraw", "target", "report", "trades", "risk", "tier", "why", "why-not", "review", "night", "answer",
    "data fetch", "data list", "data check", "calibrate", "drift", "export-tax", "profile", "profiles", "profiles list",
    "profiles show", "profiles check", "signer", "data", "rehearse", "live", "fault-proxy", "evolve", "evm",
    "costs", "promote", "propose", "demote", "lineage", "sidecar", "sidecar status", "sidecar ask",
    "node", "node run", "node list", "node limits", "node order", "node cancel", "node give-up-desk", "node review",
    "node answer",
    "arbitrage", "arbitrage status", "arbitrage trips", "arbitrage opportunities", "arbitrage transfers",
    "arbitrage resume", "arbitrage settle", "arbitrage give-up",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _own_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials are counted in a person's data directory: not in that of whoever runs the tests."""
    monkeypatch.setenv("MEMMCP_DATA_DIR", str(tmp_path / "home"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def test_the_list_of_commands_is_complete() -> None:
    group = typer.main.get_command(app)
    inner = {
        f"{name} {each}"
        for name in ("arbitrage", "data", "profiles", "sidecar", "node")
        for each in group.commands[name].commands
    }  # type: ignore[attr-defined]
    assert set(group.commands) | inner == set(COMMANDS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_its_arguments(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    help_text = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)
    assert "Usage: " in help_text
    for line in help_text.splitlines():
        assert not re.search(r"--[a-z-]+\s*│$", line), line  # an option without a word about it


def test_a_wrong_option_is_wrong_use() -> None:
    assert run("backtest", "--nonsense").exit_code == 2
    assert run("nonsense").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "field", "message"),
    [
        (("backtest",), "data", "give either --data"),
        (("backtest", "--feed", "moon"), "feed", "allowed: auto, market"),
        (("backtest", "--feed", "market"), "feed", "not over 'market'"),
        (("backtest", "--feed", "synthetic", "--from", "2024-01-01"), "from", "cut with --cycles"),
        (("backtest", "--feed", "synthetic", "--equity-sol", "nan"), "equity_sol", "must be finite"),
        (("backtest", "--feed", "synthetic", "--equity-sol", "-1"), "equity_sol", "expected more than 0"),
        (("backtest", "--feed", "synthetic", "--equity-sol", "1.0000000001"), "equity_sol", "at most 9 decimals"),
        (("backtest", "--feed", "synthetic", "--equity-sol", "two"), "equity_sol", "expected a plain decimal number"),
        (("backtest", "--feed", "synthetic", "--to", "soon"), "to", "expected a date or time"),
        (("backtest", "--feed", "synthetic", "--profile", "yolo"), "profile", "yolo"),
        (("backtest", "--feed", "synthetic", "--profile", "none.toml"), "profile", "there is no file none.toml"),
        (("profiles", "show", "yolo"), "profile", "known are aggressive, baseline, cautious, foundation"),
        (("profiles", "check", "none.toml"), "profile", "there is no file none.toml"),
        (("backtest", "--feed", "synthetic", "--strategy", "hope"), "strategy", "hope"),
        (("backtest", "--data", "none.csv"), "data", "there is no file none.csv"),
        (("backtest", "--feed", "synthetic", "--json", "none/out.json"), "json", "there is no folder none"),
        (("backtest", "--feed", "synthetic", "--report", "."), "report", "it is a folder"),
        (("check-curve", "none.csv"), "file", "there is no file none.csv"),
        (("data", "check", "none.csv"), "data", "there is no file none.csv"),
        (("close", "MINT", "0"), "percent", "expected 1 to 100"),
        (("deposit", "0"), "amount_sol", "expected more than 0"),
        (("promote",), "candidate", "a candidate's id is needed"),
        (("propose", "hope", "--data", "none.csv"), "strategy", "hope"),
        (("lineage", "hope"), "candidate", "is no candidate and no strategy"),
        (("paper", "--feed", "moon"), "feed", "allowed: auto, market"),
        (("paper", "--feed", "synthetic", "--speed", "fast"), "speed", "expected max or a multiple"),
    ],
)
def test_bad_input_names_the_field_and_ends_with_2(arguments: tuple[str, ...], field: str, message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert f"error: {field}" in result.stderr
    assert result.stdout == ""


def test_a_bad_row_ends_with_1_and_names_file_and_row(tmp_path: Path) -> None:
    rows = bar_rows(5)
    rows[3] = f"{START_S + 900},1,1,2,1,1"
    bad = write_csv(tmp_path / "FROGSOL_5m.csv", rows)
    result = run("backtest", "--data", str(bad), "--json", "-")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["message"] == "FROGSOL_5m.csv: row 5: high 1 is below low 2"


def test_a_backtest_writes_its_json_its_page_and_its_journal(tmp_path: Path) -> None:
    out, page, kept = tmp_path / "out.json", tmp_path / "out.html", tmp_path / "run"
    result = run(
        "backtest", "--feed", "synthetic:11", "--cycles", "400", "--equity-sol", "5",
        "--json", str(out), "--report", str(page), "--run-dir", str(kept),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(out.read_text())
    assert document["equity_start_lamports"] == 5_000_000_000
    assert set(document) >= {
        "run_id", "journal_sha256", "bars", "engine_seconds", "bars_per_second", "equity_start_lamports",
        "equity_end_lamports", "max_drawdown_bps", "trades", "costs", "sharpe", "deflated_sharpe", "trials",
        "benchmarks", "strategies",
    }  # fmt: skip
    assert document["journal_sha256"] in result.stdout.replace("\n", "").replace(" ", "")
    html = page.read_text()
    assert document["run_id"] in html
    assert "plotly.js" in html
    assert (kept / "journal.db").exists()


OWN = 'extends = "cautious"\n[limits]\norder_bps_max = 1100\n'


@pytest.mark.requirement("T2")
def test_a_profile_of_a_file_is_checked_shown_listed_and_traded(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "profiles"
    folder.mkdir(parents=True)
    own = folder / "calm.toml"
    own.write_text(OWN)
    checked = json.loads(run("profiles", "check", str(own), "--json").stdout)
    assert checked["name"] == "calm"
    against = {each["profile"]: each for each in checked["against"]}
    raised = {"field": "limits.order_bps_max", "before": "1000", "after": "1100"}
    assert against["cautious"] == {"profile": "cautious", "changes": [raised], "riskier": [raised]}
    assert against["foundation"]["riskier"] == []
    assert "limits.order_bps_max" in run("profiles", "check", str(own)).stdout
    listed = json.loads(run("profiles", "list", "--json").stdout)
    assert [each["name"] for each in listed["profiles"]] == ["foundation", "cautious", "aggressive", "calm"]
    assert "calm.toml" in run("profiles", "list").stdout.replace("\n", "")
    shown = json.loads(run("profiles", "show", "calm", "--json").stdout)
    assert (shown["limits"]["order_bps_max"], shown["sha256"]) == (1_100, checked["sha256"])
    assert "1,100" in run("profiles", "show", str(own)).stdout
    for wanted in ("calm", str(own)):
        result = run(
            "backtest", "--feed", "synthetic:3", "--cycles", "50", "--profile", wanted, "--strategy", "sma_cross",
            "--json", "-",
        )  # fmt: skip
        assert json.loads(result.stdout)["profile"] == "calm"


@pytest.mark.requirement("T2")
def test_a_paper_session_takes_a_profile_of_a_file(tmp_path: Path) -> None:
    own = tmp_path / "calm.toml"
    own.write_text(OWN)
    result = run(
        "paper", "--feed", "synthetic:3", "--speed", "max", "--cycles", "30", "--run-dir", str(tmp_path / "run"),
        "--profile", str(own), "--json",
    )  # fmt: skip
    assert json.loads(result.stdout)["profile"] == "calm", result.output


def test_two_runs_on_the_same_bars_have_the_same_journal() -> None:
    documents = [
        json.loads(run("backtest", "--feed", "synthetic:3", "--cycles", "300", "--json", "-").stdout) for _ in "ab"
    ]
    assert documents[0]["journal_sha256"] == documents[1]["journal_sha256"]


def test_a_result_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    target = tmp_path / ("a name longer than any file system takes" * 10)
    result = run("backtest", "--feed", "synthetic", "--cycles", "20", "--json", str(target))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


CURVE_HEADER = (
    "ts,slot,mint,side,lamports,token_raw,virtual_sol_reserves,virtual_token_reserves,real_sol_reserves,"
    "real_token_reserves,fee_basis_points,fee_amount,creator_fee_basis_points,creator_fee_amount,trader_id,creator_id"
)


def curve_file(path: Path, fee: int) -> Path:
    """Two buys on one curve, exact but for the second's fee."""
    sol, tokens = 30_000_000_000, 1_073_000_000_000_000
    rows: list[str] = []
    for number, lamports in enumerate((1_000_000_000, 500_000_000)):
        bought = lamports * tokens // (sol + lamports)
        sol, tokens = sol + lamports, tokens - bought
        paid = lamports * 95 // 10_000 if number == 0 else fee
        fields: list[Any] = [1, number, "m", "buy", lamports, bought, sol, tokens, sol - 30_000_000_000]
        rows.append(
            ",".join(map(str, [*fields, tokens - 279_900_000_000_000, 95, paid, 5, lamports * 5 // 10_000, 1, 1]))
        )
    path.write_bytes(gzip.compress("\n".join([CURVE_HEADER, *rows, ""]).encode()))
    return path


def test_check_curve_agrees_or_shows_the_row_that_does_not(tmp_path: Path) -> None:
    good = run("check-curve", str(curve_file(tmp_path / "good.csv.gz", 4_750_000)), "--json")
    assert good.exit_code == 0, good.output
    assert json.loads(good.stdout) == {
        "trades": 2, "continuous": 1, "exact": 1, "fees_exact": 2, "mismatches": [],
    }  # fmt: skip
    bad = run("check-curve", str(curve_file(tmp_path / "bad.csv.gz", 4_750_001)), "--json")
    assert bad.exit_code == 1
    (mismatch,) = json.loads(bad.stdout)["mismatches"]
    assert mismatch == {"row": 2, "expected": {"fee_amount": 4_750_000}, "got": {"fee_amount": 4_750_001}}
    shown = run("check-curve", str(tmp_path / "bad.csv.gz"))
    assert shown.exit_code == 1
    assert "1 mismatches" in shown.stdout


@pytest.mark.market
def test_check_curve_is_exact_on_the_recorded_trades(market_dir: Path) -> None:
    result = run("check-curve", str(market_dir / "dex" / "pumpfun_curve_trades.csv.gz"), "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert [document[name] for name in ("trades", "continuous", "exact", "fees_exact")] == [1_499, 1_496, 1_496, 1_499]


def test_data_check_says_what_is_unusable(tmp_path: Path) -> None:
    good = write_csv(tmp_path / "FROGSOL_5m.csv", bar_rows(5))
    bad = write_csv(tmp_path / "BIRDSOL_5m.csv", [*bar_rows(3), f"{START_S},1,1,1,1,1"])
    assert run("data", "check", str(good)).exit_code == 0
    shown = run("data", "check", str(tmp_path))
    assert shown.exit_code == 1
    assert "1 disorder" in shown.stdout
    document = json.loads(run("data", "check", str(good), str(bad), "--json").stdout)
    assert [each["usable"] for each in document["files"]] == [True, False]


@pytest.mark.requirement("T11")
def test_every_backtest_is_counted_and_listed(tmp_path: Path) -> None:
    told = [
        json.loads(run("backtest", "--feed", f"synthetic:{seed}", "--cycles", "60", "--json", "-").stdout)
        for seed in (1, 2, 1)
    ]
    assert [each["trials"] for each in told] == [1, 2, 2]
    listed = json.loads(run("trials", "--json").stdout)
    assert listed["families"] == {"mean_reversion,momentum_breakout": 2}
    assert (listed["is_intact"], len(listed["trials"])) == (True, 2)
    assert "mean_reversion,momentum_breakout" in run("trials").stdout
    assert json.loads(run("trials", "--family", "momentum_breakout, mean_reversion", "--json").stdout)["trials"]
    assert json.loads(run("trials", "--family", "other", "--json").stdout)["trials"] == []
    ledger = tmp_path / "home" / "trials.db"
    with sqlite3.connect(ledger) as connection:
        connection.execute("DROP TRIGGER trials_no_update")
        connection.execute("UPDATE trials SET family = 'x' WHERE number = 1")
    connection.close()
    altered = run("trials", "--json")
    assert (altered.exit_code, json.loads(altered.stdout)["first_altered"]) == (1, 1)


def test_a_run_that_cannot_be_counted_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file in the way")
    target = tmp_path / "out.json"
    result = run("backtest", "--feed", "synthetic", "--cycles", "20", "--json", str(target))
    assert result.exit_code == 1
    assert "trial ledger" in result.stderr
    assert not target.exists()
