"""Tries to look into processes of its own user: ``tracer.py PID ...``; writes what it got of each as JSON."""

import ctypes
import json
import sys
from pathlib import Path


def got(pid: int) -> list[str]:
    found = []
    for name in ("environ", "mem", "maps"):
        try:
            with Path(f"/proc/{pid}/{name}").open("rb") as file:
                if name == "mem" or file.read(1):
                    found.append(name)
        except OSError:
            continue
    libc = ctypes.CDLL(None)
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(16, pid, None, None) == 0:
        found.append("ptrace")
        libc.ptrace(17, pid, None, None)
    return found


json.dump({each: got(int(each)) for each in sys.argv[1:]}, sys.stdout)
