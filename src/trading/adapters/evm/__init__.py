"""One EVM chain (Base) through web3.py, which takes a second to import: nothing here is imported before it is used.

One of its packages raises Python's limit of recursion to 100,000, for the whole process and for good. A text nested
that deep, from anybody, would then overrun the stack and end the process instead of being refused, so the limit is put
back before anything else comes to import that package.
"""

import contextlib
import sys

_limit = sys.getrecursionlimit()
with contextlib.suppress(ModuleNotFoundError):  # an extra
    import py_ecc  # noqa: F401
sys.setrecursionlimit(_limit)
