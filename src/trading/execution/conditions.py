"""The state of the chain that a run is simulated in: what it takes for a transaction to land, and what happens to it.

Declared, validated, part of the run's scope. The presets are declared too, not measured; ``calibrate`` estimates the
figures from a journal and writes a file that takes their place.
"""

import json
from decimal import Context, Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trading.errors import InvalidInput
from trading.model.network import COMPUTE_UNITS_PER_TRANSACTION_MAX
from trading.model.units import BPS_ONE, LAMPORTS_MAX

EXPIRY_SLOTS: Final = 150
"""How long the blockhash of a transaction lives."""
PPM_ONE: Final = 1_000_000
FILE_BYTES_MAX: Final = 100_000
_MILLI: Final = 1_000
_NS_PER_MS: Final = 1_000_000
_EXACT: Final = Context(prec=40)
"""Decimal logarithms are correctly rounded, so every machine finds the same probability."""


class Conditions(BaseModel):
    """Each figure is what the name says; the defaults are ``ideal``: all lands at once, nothing fails.

    - ``latency_slots`` pass from the decision to the leader's slot, and up to ``jitter_slots`` more, evenly drawn.
    - Each slot has a congestion level, the price of a compute unit that it takes, drawn from a log-logistic
      distribution with median ``level_micro_lamports`` (0: nothing is ever crowded out) and shape
      ``steepness_milli / 1000``. A transaction lands if it pays the level of the slot it arrives in, so its landing
      probability is logistic in the logarithm of what it pays; all in one slot meet the same level.
    - One that does not land is dead after 150 slots of ``slot_ms``: an entry has expired, uncharged; an exit is sent
      again with a new blockhash until it lands.
    - One that lands fails with ``failure_ppm`` for reasons of its own, and with ``adverse_ppm`` others trade around it
      and take ``adverse_bps`` of what its ``min_out`` leaves to be taken.
    - A bar's price moves while a transaction is under way: from the open through both extremes (which one first is
      drawn) to the close; the fill price lies ``path_bps`` of the way from the open to where the price then is.
    - Bars without reserves: ``liquidity`` is the constant depth that is declared for the instrument, or
      ``depth_volume_bps`` of the mean SOL volume of the last ``depth_bars`` bars, within a floor and a cap.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(default="ideal", min_length=1, max_length=60, pattern=r"^[a-z0-9_.-]+$")
    slot_ms: int = Field(default=600, ge=1, le=10_000)
    latency_slots: int = Field(default=0, ge=0, lt=EXPIRY_SLOTS)
    jitter_slots: int = Field(default=0, ge=0, lt=EXPIRY_SLOTS)
    compute_units: int = Field(default=200_000, ge=1, le=COMPUTE_UNITS_PER_TRANSACTION_MAX)
    level_micro_lamports: int = Field(default=0, ge=0, le=10**12)
    steepness_milli: int = Field(default=1_000, ge=50, le=50_000)
    failure_ppm: int = Field(default=0, ge=0, le=PPM_ONE)
    adverse_ppm: int = Field(default=0, ge=0, le=PPM_ONE)
    adverse_bps: int = Field(default=0, ge=0, le=BPS_ONE)
    path_bps: int = Field(default=BPS_ONE, ge=0, le=BPS_ONE)
    liquidity: Literal["declared", "volume"] = "declared"
    depth_volume_bps: int = Field(default=50_000, ge=1, le=100_000_000)
    depth_bars: int = Field(default=24, ge=1, le=10_000)
    depth_lamports_min: int = Field(default=10_000_000_000, ge=1, le=LAMPORTS_MAX)
    depth_lamports_max: int = Field(default=2_000_000_000_000, ge=1, le=LAMPORTS_MAX)

    @model_validator(mode="after")
    def _fits(self) -> "Conditions":
        if self.latency_slots + self.jitter_slots >= EXPIRY_SLOTS:
            msg = f"latency_slots + jitter_slots: less than {EXPIRY_SLOTS}, the life of a blockhash"
            raise ValueError(msg)
        if self.depth_lamports_min > self.depth_lamports_max:
            msg = f"depth_lamports_min: at most depth_lamports_max, not {self.depth_lamports_min}"
            raise ValueError(msg)
        return self

    @property
    def slot_ns(self) -> int:
        return self.slot_ms * _NS_PER_MS

    @property
    def expiry_ns(self) -> int:
        return EXPIRY_SLOTS * self.slot_ns

    def landing_ppm(self, priority_fee_lamports: int) -> int:
        """Return the probability that a transaction with this fee lands in the slot it arrives in."""
        price = priority_fee_lamports * PPM_ONE // self.compute_units
        return _landing_ppm(price, self.level_micro_lamports, self.steepness_milli)

    def liquidity_text(self) -> str:
        """Say where the depth comes from when bars have no reserves."""
        if self.liquidity == "declared":
            return "declared: a constant depth per instrument"
        return (
            f"volume: {Decimal(self.depth_volume_bps) / BPS_ONE} x the mean SOL volume of the last {self.depth_bars} "
            f"bars, {self.depth_lamports_min} to {self.depth_lamports_max} lamports"
        )


@lru_cache(maxsize=4_096)
def _landing_ppm(price: int, level: int, steepness_milli: int) -> int:
    if level == 0:
        return PPM_ONE
    if price == 0:
        return 0
    distance = _EXACT.subtract(_EXACT.ln(Decimal(level)), _EXACT.ln(Decimal(price)))
    crowded_out = _EXACT.exp(_EXACT.divide(_EXACT.multiply(distance, Decimal(steepness_milli)), Decimal(_MILLI)))
    return int(_EXACT.divide(Decimal(PPM_ONE), _EXACT.add(Decimal(1), crowded_out)))


IDEAL: Final = Conditions()
CALM: Final = Conditions(
    name="calm",
    slot_ms=400,
    latency_slots=2,
    jitter_slots=6,
    level_micro_lamports=20_000,
    steepness_milli=2_000,
    failure_ppm=10_000,
    adverse_ppm=20_000,
    adverse_bps=2_500,
)
CONGESTED: Final = Conditions(
    name="congested",
    slot_ms=450,
    latency_slots=4,
    jitter_slots=40,
    level_micro_lamports=80_000,
    steepness_milli=1_500,
    failure_ppm=100_000,
    adverse_ppm=100_000,
    adverse_bps=5_000,
)
PRESETS: Final = (IDEAL, CALM, CONGESTED)


def conditions_of(wanted: "Conditions | str") -> Conditions:
    """Return the conditions of a name, or of a file (JSON, as ``memmcp-trade calibrate --json`` prints them).

    Raises: InvalidInput naming what was given and what is known, or every field of a file that does not fit.
    """
    if isinstance(wanted, Conditions):
        return wanted
    for preset in PRESETS:
        if preset.name == wanted:
            return preset
    path = Path(wanted)
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        names = ", ".join(preset.name for preset in PRESETS)
        msg = f"conditions: {wanted[:200]!r} is neither one of {names} nor a file that can be read"
        raise InvalidInput(msg, field="conditions") from error
    if len(text) > FILE_BYTES_MAX:
        msg = f"conditions: {path.name} has more than {FILE_BYTES_MAX} bytes"
        raise InvalidInput(msg, field="conditions")
    return parse_conditions(text, path.name)


def parse_conditions(text: str | bytes, source: str) -> Conditions:
    """Return the conditions of a JSON document, or of its member ``conditions``.

    Raises: InvalidInput naming every field that does not fit.
    """
    try:
        document = json.loads(text)
        if isinstance(document, dict):
            document = document.get("conditions", document)
        return Conditions.model_validate(document)
    except ValidationError as error:
        found = [_said(".".join(map(str, each["loc"])), each["msg"], each["input"]) for each in error.errors()]
        raise InvalidInput(f"{source}: {'; '.join(found)}", field="conditions") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{source}: is no JSON document: {error}", field="conditions") from error


def _said(name: str, message: str, given: Any) -> str:
    text = message.removeprefix("Value error, ")
    return text if isinstance(given, dict) and not name else f"{name or 'conditions'}: {text}, not {str(given)[:60]}"
