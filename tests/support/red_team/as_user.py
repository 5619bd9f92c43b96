"""Run a Python file as another user: ``as_user.py UID FILE ...``. What it needs is imported while we may read it."""

import ctypes
import importlib
import os
import sys
from pathlib import Path

PR_SET_DUMPABLE = 4
NEEDED = """asyncio base64 contextlib hashlib struct typing concurrent.futures.thread ctypes encodings.hex_codec
    encodings.idna fcntl getpass http.client json pty resource select signal socket ssl subprocess termios tomllib
    traceback warnings"""


def main() -> None:
    uid, file = int(sys.argv[1]), Path(sys.argv[2])
    for name in NEEDED.split():
        importlib.import_module(name)
    sys.argv = sys.argv[2:]
    if file.name == "signer_process.py":
        for name in ("trading.runtime.signer_run", "httpcore2", "anyio._backends._asyncio", "email.policy"):
            importlib.import_module(name)
    code = compile(file.read_text(encoding="utf-8"), str(file), "exec")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        # A change of user closes a process to others; one that its user starts is open until it closes itself.
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    exec(code, {"__name__": "__main__", "__file__": str(file)})


if __name__ == "__main__":
    main()
