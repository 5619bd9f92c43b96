"""What an operating system is told so that it keeps the daemon running: a file and commands, neither with a secret."""

import hashlib
import plistlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memmcp_server.errors import InvalidInput

MARK: Final = "Written by `memmcp service install`."
LABEL: Final = "org.memmcp.daemon"
STOP_TIMEOUT_S: Final = 60
RESTART_S: Final = 5
BURST: Final = 5
BURST_INTERVAL_S: Final = 300


@dataclass(frozen=True, slots=True)
class Unit:
    """Commands to run: ``start`` after the file was written, ``again`` where it was there already (what runs is left
    alone), ``stop`` before it is removed, ``after`` once it is gone. ``hint`` is for the person."""

    path: Path
    text: str
    start: tuple[tuple[str, ...], ...]
    again: tuple[tuple[str, ...], ...]
    stop: tuple[tuple[str, ...], ...]
    after: tuple[tuple[str, ...], ...]
    hint: str


def unit_of(platform: str, environ: Mapping[str, str], home: Path, command: Path, data_dir: Path | None) -> Unit:
    """Return the unit for ``command serve``, of the default data directory where ``data_dir`` is None.

    ``platform`` is ``sys.platform``. Raises: InvalidInput where that has none, or a path cannot be written down.
    """
    for path in (command, data_dir):
        if path is not None and any(not char.isprintable() for char in str(path)):
            msg = f"{str(path)!r} cannot be written into a unit: it holds characters that do not print"
            raise InvalidInput(msg, field="data_dir")
    arguments = [str(command), "serve", *([] if data_dir is None else ["--data-dir", str(data_dir)])]
    suffix = "" if data_dir is None else f"-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:8]}"
    if platform.startswith("linux"):
        return _systemd(environ, home, arguments, suffix)
    if platform == "darwin":
        return _launchd(home, arguments, suffix)
    quoted = " ".join(f'\\"{each}\\"' if " " in each else each for each in arguments)
    msg = f"memmcp installs no service on {platform}"
    task = f'schtasks /Create /SC ONLOGON /TN memmcp /TR "{quoted}"'
    raise InvalidInput(msg, field="platform", hint=f"let the system's scheduler start it at log-on: {task}")


def _systemd(environ: Mapping[str, str], home: Path, arguments: list[str], suffix: str) -> Unit:
    given = environ.get("XDG_CONFIG_HOME", "").strip()
    folder = (Path(given) if given else home / ".config") / "systemd" / "user"
    name = f"memmcp{suffix}.service"
    text = f"""# {MARK}
[Unit]
Description=memMCP: one shared memory and one trading desk
StartLimitIntervalSec={BURST_INTERVAL_S}
StartLimitBurst={BURST}

[Service]
Type=exec
ExecStart={" ".join(map(_quoted, arguments))}
# An orderly end (memmcp stop) and wrong settings are answers; whatever else ended it is not.
Restart=on-failure
RestartPreventExitStatus=2
RestartSec={RESTART_S}
TimeoutStopSec={STOP_TIMEOUT_S}
UMask=0077
NoNewPrivileges=true

[Install]
WantedBy=default.target
"""
    control = ("systemctl", "--user")
    return Unit(
        path=folder / name,
        text=text,
        start=((*control, "daemon-reload"), (*control, "enable", name), (*control, "restart", name)),
        again=((*control, "enable", "--now", name),),
        stop=((*control, "disable", "--now", name),),
        after=((*control, "daemon-reload"),),
        hint="`loginctl enable-linger` keeps it running while you are logged out",
    )


def _quoted(text: str) -> str:
    """Return a word of ExecStart: systemd expands %, $ and escapes in it (systemd.service, systemd.syntax)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _launchd(home: Path, arguments: list[str], suffix: str) -> Unit:
    label = f"{LABEL}{suffix}"
    document = {
        "Label": label,
        "ProgramArguments": arguments,
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": RESTART_S,
        "ExitTimeOut": STOP_TIMEOUT_S,
        "Umask": 0o077,
    }
    path = home / "Library" / "LaunchAgents" / f"{label}.plist"
    body = plistlib.dumps(document, sort_keys=False).decode()
    head, _, rest = body.partition("<plist")
    return Unit(
        path=path,
        text=f"{head}<!-- {MARK} -->\n<plist{rest}",
        start=(("launchctl", "unload", str(path)), ("launchctl", "load", "-w", str(path))),
        again=(("launchctl", "load", "-w", str(path)),),
        stop=(("launchctl", "unload", "-w", str(path)),),
        after=(),
        hint="it runs while you are logged in",
    )
