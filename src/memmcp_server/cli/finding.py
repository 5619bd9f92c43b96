"""What the doctor says: one thing that was looked at, and what to do about it."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """``hint`` says what to do; empty when there is nothing to do."""

    name: str
    level: Level
    text: str
    hint: str = ""
