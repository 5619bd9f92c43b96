"""Data models of pydantic made ready when they are first used, not when their module is imported.

A daemon imports some two thousand of them, of the protocol's four versions alone half of that, and uses a few dozen.
Making one ready takes a millisecond at most; all of them take a quarter of a second of every start.
"""

from typing import Final

import pydantic

VERSION_MIN: Final = (2, 14)
"""Before, two threads that used a model first at the same time could get in each other's way."""


def make_models_late() -> bool:
    """Have it so in this process, for the models defined from now on; return whether the library can."""
    if tuple(int(part) for part in pydantic.VERSION.split(".")[:2]) < VERSION_MIN:
        return False
    # Every model inherits it; one that says otherwise is obeyed.
    pydantic.BaseModel.model_config["defer_build"] = True
    return True
