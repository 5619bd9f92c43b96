"""What running costs."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from .base import Section

Price = Annotated[Decimal, Field(ge=0, le=1_000_000)]


class CostsSection(Section):
    """What running costs. ``plans_usd_a_month``: subscriptions by name, {"api.example.com": 49}; one pays for calls to
    an endpoint of its name. ``usd_a_million_credits``: by endpoint, 0: free, none: unknown. ``credits``: of a method's
    call, else 1. ``days_max`` rows of days are kept, older ones as one sum; written every ``save_s``."""

    plans_usd_a_month: dict[str, Price] = Field(default_factory=dict, max_length=64)
    usd_a_million_credits: dict[str, Price] = Field(default_factory=dict, max_length=64)
    credits: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(default_factory=dict, max_length=256)
    days_max: int = Field(default=400, ge=2, le=4_000)
    save_s: float = Field(default=30.0, gt=0, le=3_600)
