"""A paper session from the command line: it ends with its feed, goes on where it stopped, and stops at Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.trading.feeds.bar_writers import bar_rows, write_csv
from typer.testing import CliRunner

from trading.cli import app

WAIT_S = 30


def paper(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(app, ["paper", "--speed", "max", "--json", *arguments])
    assert result.exit_code == 0, result.output
    document: dict[str, object] = json.loads(result.stdout)
    return document


@pytest.mark.requirement("T1")
def test_a_recorded_feed_ends_the_session(tmp_path: Path) -> None:
    bars = write_csv(tmp_path / "FROGSOL_5m.csv", bar_rows(40, price="0.001"))
    snapshot = paper("--feed", f"replay:{bars}", "--run-dir", str(tmp_path / "run"), "--equity-sol", "3")
    assert snapshot["cycle"] == 40
    assert snapshot["next_evaluation"] is None
    assert snapshot["money"] == "paper"
    assert snapshot["equity"]["lamports"] == 3_000_000_000  # type: ignore[index]
    assert (tmp_path / "run" / "memory.jsonl").stat().st_size > 0


def test_a_session_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = paper("--feed", "synthetic:5", "--cycles", "300", "--run-dir", str(tmp_path))
    second = paper("--feed", "synthetic:5", "--cycles", "900", "--run-dir", str(tmp_path))
    assert second["run_id"] == first["run_id"]
    assert second["cycle"] >= 900 > first["cycle"] >= 300  # type: ignore[operator]


def test_ctrl_c_ends_a_session_in_good_order(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trading", "paper", "--feed", "synthetic", "--run-dir", str(tmp_path)]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("PAPER on synthetic")
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        stdout, stderr = process.communicate(timeout=WAIT_S)
    assert time.monotonic() - began < WAIT_S
    assert process.returncode == 0, stderr
    assert "stopped" in stderr
    assert "Traceback" not in stderr
    assert "equity" in stdout


def test_a_run_directory_that_cannot_be_made_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["paper", "--feed", "synthetic", "--run-dir", str(tmp_path / "file" / "run")])
    assert result.exit_code == 2
    assert "error: run_dir" in result.stderr
