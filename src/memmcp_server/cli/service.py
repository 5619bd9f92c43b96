"""service install and remove: the operating system keeps the daemon running."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from memmcp_server.daemon.places import resolve_data_dir

from .client import Failed
from .clients import own_command
from .console import exit_codes, note, print_json, say
from .options import DataDir, Json
from .service_units import MARK, Unit, unit_of

app = typer.Typer(no_args_is_help=True, help="Have the system start the daemon and keep it running.")

DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done; change nothing.")]
COMMAND_TIMEOUT_S = 90.0


@app.command()
def install(
    dry_run: DryRun = False,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Also start it, now and from now on.")] = True,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write the unit (systemd user unit, launchd agent) and start it. A repeat changes nothing.

    Settings of this shell's environment do not reach it: they belong into memmcp.toml.
    """
    with exit_codes():
        unit = _unit(data_dir)
        is_new = _text_of(unit.path) != unit.text
        _require_ours(unit.path)
        if is_new and not dry_run:
            _write(unit.path, unit.text)
        commands = (unit.start if is_new else unit.again) if start else ()
        failed = [] if dry_run else _run_all(commands)
    unseen = sorted(name for name in os.environ if name.startswith(("MEMMCP_", "TRADING_")))
    if json:
        lines = [" ".join(command) for command in commands]
        names = {"path": str(unit.path), "changed": is_new and not dry_run, "commands": lines}
        print_json({**names, "failed": failed, "unseen": unseen, "unit": unit.text})
    elif dry_run:
        typer.echo(unit.text, nl=False)
        note(f"this would be {unit.path}; then: {'; '.join(' '.join(each) for each in commands) or 'nothing'}")
    else:
        say(f"{unit.path} {'is written' if is_new else 'has it already'}")
        note(unit.hint)
    if unseen:
        note(f"the service does not see {', '.join(unseen)}: put them into memmcp.toml")
    _complain(failed)


@app.command()
def remove(dry_run: DryRun = False, data_dir: DataDir = None, json: Json = False) -> None:
    """Stop the service and take its unit away. The data directory stays. A repeat changes nothing."""
    with exit_codes():
        unit = _unit(data_dir)
        is_there = unit.path.exists()
        _require_ours(unit.path)
        failed: list[str] = []
        if is_there and not dry_run:
            failed = _run_all(unit.stop)
            unit.path.unlink(missing_ok=True)
            failed += _run_all(unit.after)
    if json:
        print_json({"path": str(unit.path), "removed": is_there and not dry_run, "failed": failed})
    elif not is_there:
        say(f"there is no {unit.path}: nothing to remove")
    else:
        say(f"{unit.path} {'would be removed' if dry_run else 'is removed'}")
    _complain(failed)


def _unit(data_dir: Path | None) -> Unit:
    # What names another directory here must name it for the service too, which does not see this environment.
    is_named = data_dir is not None or "MEMMCP_DATA_DIR" in os.environ
    wanted = resolve_data_dir(data_dir, os.environ) if is_named else None
    home = Path(os.environ.get("HOME") or Path.home())
    return unit_of(sys.platform, os.environ, home, Path(own_command()).absolute(), wanted)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise Failed(msg) from error


def _require_ours(path: Path) -> None:
    text = _text_of(path)
    if text and MARK not in text:
        msg = f"{path} was not written by memmcp"
        raise Failed(msg, hint="move it away first")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise Failed(msg) from error


def _run_all(commands: Sequence[Sequence[str]]) -> list[str]:
    """Run the commands in order; return those that failed, with why."""
    failed = []
    for command in commands:
        program = shutil.which(command[0])
        if program is None:
            failed.append(f"{' '.join(command)}: there is no {command[0]} here")
            continue
        try:
            done = subprocess.run(
                [program, *command[1:]], capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            failed.append(f"{' '.join(command)}: {error}")
            continue
        if done.returncode and command[1] != "unload":  # launchd: what was not loaded cannot be unloaded
            failed.append(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return failed


def _complain(failed: Sequence[str]) -> None:
    if failed:
        with exit_codes():
            msg = f"the system did not take it: {'; '.join(failed)}"
            raise Failed(msg, hint="run these commands where the system's service manager can be reached")
