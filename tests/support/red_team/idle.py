"""A process that does nothing."""

import sys

print("ready", flush=True)
sys.stdin.read()
