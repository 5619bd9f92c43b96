"""Frozen sections. Only ``settings`` reads the environment; everybody else is handed a section."""

from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AccountSection(Section):
    """The paper account. ``target_sol`` is what the compounding tracker measures against."""

    equity_sol: Decimal = Field(default=Decimal(2), gt=0, le=1_000_000, decimal_places=9)
    target_sol: Decimal = Field(default=Decimal(20), gt=0, le=100_000_000, decimal_places=9)
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            msg = f"{value!r} is not a time zone name such as UTC or Europe/Berlin"
            raise ValueError(msg) from error
        return value


class PaperSection(Section):
    """Pacing and bounds of the paper loop.

    ``speed`` is a multiple of real time for recorded and generated feeds, ``max`` for no pacing; unset means one bar
    interval a second. ``fill_wait_s`` bounds how long a confirmed order waits for its fill before it answers
    ``working``. ``stale_after_s`` (unset: three bar intervals) is the age of the newest event at which the feed counts
    as stale.
    """

    speed: Literal["max"] | float | None = None
    commands_len_max: int = Field(default=64, ge=1)
    command_timeout_s: float = Field(default=20.0, gt=0)
    fill_wait_s: float = Field(default=3.0, ge=0)
    snapshot_interval_s: float = Field(default=1.0, ge=0)
    stale_after_s: float | None = Field(default=None, gt=0)
    seed: int = Field(default=7, ge=0)

    @field_validator("speed")
    @classmethod
    def _positive_speed(cls, value: Literal["max"] | float | None) -> Literal["max"] | float | None:
        if isinstance(value, float) and not 0 < value <= 1_000_000_000:
            msg = f"speed is 'max' or a multiple of real time in (0, 1e9], not {value}"
            raise ValueError(msg)
        return value


class PreviewSection(Section):
    """``drift_bps_max``: a confirmed order whose price moved further than this since the preview is stale."""

    expiry_s: float = Field(default=60.0, gt=0)
    previews_max: int = Field(default=256, ge=1)
    drift_bps_max: int = Field(default=100, ge=0, le=10_000)


class RelaySection(Section):
    """Copies to memory: batches, back-off and the poll that catches what a wake-up missed."""

    batch_len_max: int = Field(default=200, ge=1)
    write_timeout_s: float = Field(default=30.0, gt=0)
    backoff_base_s: float = Field(default=0.5, gt=0)
    backoff_cap_s: float = Field(default=30.0, gt=0)
    poll_s: float = Field(default=2.0, gt=0)


class Sections(Section):
    """Everything the desk is configured by, apart from what its caller decides (data directory, feed, money)."""

    account: AccountSection = AccountSection()
    paper: PaperSection = PaperSection()
    preview: PreviewSection = PreviewSection()
    relay: RelaySection = RelaySection()
