"""The commands around real money, where no person is at the terminal."""

from pathlib import Path

import pytest
from tests.support.signing import PASSPHRASE, REHEARSAL_GENESIS, key_folder, mandate, mandate_toml
from typer.testing import CliRunner

from trading.cli import app

RUNNER = CliRunner()


@pytest.mark.parametrize(
    "words",
    [
        ("signer", "init", "--live"),
        ("signer", "key", "--genesis-hash", REHEARSAL_GENESIS),
        ("signer", "keyring"),
        ("signer", "run"),
        ("signer", "unlock"),
        ("signer", "passkey"),
        ("live", "arm"),
    ],
)
def test_a_passphrase_is_taken_from_no_pipe_and_no_environment(
    tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMMCP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MEMMCP_PASSPHRASE", PASSPHRASE)
    if words[1] != "init":
        key_folder(tmp_path)
    ran = RUNNER.invoke(app, list(words), input=f"{PASSPHRASE}\n{PASSPHRASE}\nyes\n")
    assert ran.exit_code == 2
    assert "not a terminal" in ran.output
    assert PASSPHRASE not in ran.output


def test_no_command_has_an_option_for_a_passphrase() -> None:
    from typer.main import get_command

    root = get_command(app)
    names = [
        option
        for group in ("signer", "live")
        for command in root.commands[group].commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for option in parameter.opts
    ]
    assert "--folder" in names
    assert not [each for each in names if "pass" in each.replace("passkey", "") or "secret" in each or "seed" in each]


@pytest.mark.parametrize("words", [("--live", "--genesis-hash", REHEARSAL_GENESIS), ()])
def test_a_key_is_for_one_chain(tmp_path: Path, words: tuple[str, ...]) -> None:
    ran = RUNNER.invoke(app, ["signer", "init", "--folder", str(tmp_path / "s"), *words])
    assert ran.exit_code == 2
    assert "either --live or" in ran.output


def test_without_a_signer_there_is_a_hint_and_nothing_is_ready(tmp_path: Path) -> None:
    ran = RUNNER.invoke(app, ["live", "status", "--folder", str(tmp_path)])
    assert ran.exit_code == 1
    assert "signer run" in ran.output
    path = tmp_path / "mandate.toml"
    path.write_text(mandate_toml(mandate(endpoints=("http://127.0.0.1:9",))))
    ran = RUNNER.invoke(app, ["live", "ready", "--data-dir", str(tmp_path), "--folder", str(tmp_path), "--json"])
    assert ran.exit_code == 1
    assert '"evidence": "0 of 1 answer' in ran.output


def test_a_mandate_that_is_wrong_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "mandate.toml").write_text("version = 1")
    ran = RUNNER.invoke(app, ["live", "ready", "--data-dir", str(tmp_path)])
    assert ran.exit_code == 2
    assert "order_lamports_max" in ran.output


@pytest.mark.requirement("T10")
def test_no_command_sweeps_and_a_preview_needs_a_desk_that_looked(tmp_path: Path) -> None:
    ran = RUNNER.invoke(app, ["live", "sweep", "--data-dir", str(tmp_path)])
    assert ran.exit_code == 2
    assert "--preview" in ran.output
    ran = RUNNER.invoke(app, ["live", "sweep", "--preview", "--data-dir", str(tmp_path)])
    assert ran.exit_code == 2
    assert "no desk with real money" in ran.output
    (tmp_path / "trading").mkdir()
    (tmp_path / "trading" / "upkeep.json").write_text("{")
    ran = RUNNER.invoke(app, ["live", "sweep", "--preview", "--data-dir", str(tmp_path)])
    assert ran.exit_code == 2
    assert "cannot be read" in ran.output
