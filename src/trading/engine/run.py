"""What a run is made of, and a row of its journal as the kernel reads it back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trading.model.profile import Profile
from trading.model.trading_day import UTC


@dataclass(frozen=True, slots=True)
class RunSetup:
    """What a run is made of. ``scope`` goes into every id and is a function of the inputs alone, so that a replay names
    everything the same; ``by_reference``: bars can be looked up in a recorded or generated feed;
    ``zone``: whose days limits and digests count by, from its begin to its end."""

    run_id: str
    scope: str
    mode: str
    feed: str
    profile: Profile
    equity_lamports: int
    target_lamports: int
    by_reference: bool
    seed: int = 0
    conditions: str = ""
    zone: str = UTC


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A journal row with its body parsed."""

    ts_ns: int
    kind: str
    body: Mapping[str, Any]
