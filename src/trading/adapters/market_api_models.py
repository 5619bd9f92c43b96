"""What the public APIs send, as far as it is read here. Unknown fields are allowed: these APIs grow.

Sources: the OpenAPI files of coingecko/coingecko-api-oas (on-chain), jup-ag/docs (price/v3) and DexScreener's
reference. Numbers come as strings or numbers; ``reserve_in_usd`` can be negative and many fields null.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from trading.model.instrument import token_name


def _finite(value: Any) -> Any:
    """Return what can't be a number as None; a NaN in a price field is a missing price."""
    if isinstance(value, bool) or value == "":
        return None
    if isinstance(value, str) and value.strip().lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return None
    return value


Number = Annotated[Decimal | None, BeforeValidator(_finite)]


def _named(value: Any) -> Any:
    """Return a name as it can be kept: how somebody named a token is no reason to lose sight of it."""
    return token_name(value, NAME_CHARS_MAX) if isinstance(value, str) else value


NAME_CHARS_MAX = 200
Name = Annotated[str, BeforeValidator(_named)]
Address = Annotated[str, Field(min_length=32, max_length=44, pattern=r"^[1-9A-HJ-NP-Za-km-z]+$")]


class _Page(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class GeckoReference(_Page):
    id: str = Field(max_length=128)


class GeckoRelation(_Page):
    data: GeckoReference


class GeckoRelations(_Page):
    base_token: GeckoRelation
    quote_token: GeckoRelation


class GeckoVolume(_Page):
    h24: Number = None


class GeckoPoolAttributes(_Page):
    address: Address
    name: Name = ""
    base_token_price_quote_token: Number = None
    base_token_price_usd: Number = None
    quote_token_price_usd: Number = None
    reserve_in_usd: Number = None
    volume_usd: GeckoVolume = GeckoVolume()
    pool_created_at: datetime | None = None


class GeckoPool(_Page):
    """An element of ``data`` of trending_pools, new_pools and pools/multi."""

    attributes: GeckoPoolAttributes
    relationships: GeckoRelations


class GeckoTokenAttributes(_Page):
    address: Address
    symbol: Name = ""
    decimals: int | None = Field(default=None, ge=0, le=18)


class GeckoToken(_Page):
    """An element of ``included``."""

    attributes: GeckoTokenAttributes


class GeckoOhlcvAttributes(_Page):
    ohlcv_list: list[list[Any]] = Field(max_length=1_000)


class GeckoOhlcvData(_Page):
    attributes: GeckoOhlcvAttributes


class GeckoOhlcv(_Page):
    """Bars newest first: [open time in Unix seconds, open, high, low, close, volume]; intervals without trades are
    left out."""

    data: GeckoOhlcvData


class _CamelPage(_Page):
    model_config = ConfigDict(alias_generator=to_camel)


class DexToken(_Page):
    address: Address
    symbol: Name = ""


class DexLiquidity(_Page):
    usd: Number = None
    base: Number = None
    quote: Number = None


class DexPair(_CamelPage):
    """An element of DexScreener's tokens/v1. ``price_native`` is in the quote token."""

    chain_id: str
    pair_address: Address
    base_token: DexToken
    quote_token: DexToken
    price_native: Number = None
    price_usd: Number = None
    liquidity: DexLiquidity = DexLiquidity()


class JupiterPrice(_CamelPage):
    """A value of price/v3, by mint. Tokens without a reliable price are left out of the answer."""

    usd_price: Number = None
