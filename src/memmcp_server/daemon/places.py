"""Where one daemon keeps its files. Standard library only: the bridge starts through this module."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

UNIX_PATH_BYTES_MAX = 100
"""AF_UNIX allows 107 bytes on Linux and 103 on macOS; a longer socket path moves to the temporary directory."""


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Return what ``platformdirs.user_data_dir("memmcp", appauthor=False)`` returns, without importing it."""
    home = Path(environ.get("HOME") or Path.home())
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "memmcp"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "memmcp"
    xdg = environ.get("XDG_DATA_HOME", "").strip()
    return (Path(xdg) if xdg else home / ".local" / "share") / "memmcp"


def resolve_data_dir(given: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Path:
    """The option, else MEMMCP_DATA_DIR, else the platform's folder; absolute, since a daemon changes directory."""
    named = given or environ.get("MEMMCP_DATA_DIR")
    return Path(named or default_data_dir(environ)).expanduser().absolute()


class Places:
    """The files of one data directory."""

    __slots__ = ("data_dir",)

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    @property
    def lock(self) -> Path:
        """Held with an advisory lock for the daemon's life."""
        return self.data_dir / "daemon.lock"

    @property
    def record(self) -> Path:
        """``daemon.json``: pid, version, http, token, socket, started_at."""
        return self.data_dir / "daemon.json"

    @property
    def socket(self) -> Path:
        return self.data_dir / "daemon.sock"

    @property
    def spawn_lock(self) -> Path:
        """Held by the one bridge that starts a daemon."""
        return self.data_dir / "spawn.lock"

    @property
    def stopped(self) -> Path:
        """The stop marker: bridges come back on their client's next message, not by themselves."""
        return self.data_dir / "stopped"

    @property
    def handshakes(self) -> Path:
        """What the last daemon answered to ``initialize``, so that the next one's client need not wait for it."""
        return self.data_dir / "handshakes.json"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def log(self) -> Path:
        return self.logs / "daemon.log"

    @property
    def start_output(self) -> Path:
        """What a spawned daemon printed before its log was open, and native crashes."""
        return self.logs / "daemon.start.log"

    @property
    def settings(self) -> Path:
        return self.data_dir / "memmcp.toml"

    @property
    def index_lock(self) -> Path:
        return self.data_dir / "index.lock"
