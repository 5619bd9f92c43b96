"""One EVM chain beside Solana: where it is asked, which pools, and what a swap there may take and cost."""

from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from trading.model.evm import BASE_CHAIN_ID, PoolKind, address_of

from .base import Section

_UNITS_MAX: Final = (1 << 128) - 1
Units = Annotated[int, Field(ge=1, le=_UNITS_MAX)]


class EvmPoolSection(Section):
    """A pool by its address; ``kind`` is constant_product (as Uniswap v2) or concentrated (as Uniswap v3)."""

    address: str
    kind: PoolKind

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        return address_of(value)


class EvmSection(Section):
    """An EVM chain, Base unless another is named: off while ``endpoints`` is empty. It is a JSON list of addresses of
    nodes, the best first; they are secrets. Nodes of another chain than ``chain_id`` are refused. ``router`` is
    Uniswap's SwapRouter02, ``v2_factory`` and ``v3_factory`` vouch for ``pools``, a JSON list of objects with
    ``address`` and ``kind``. Only prices are read with this. ``key_file`` holds the key of the account that swaps for
    arbitrage with real money (0x and 64 hex digits on one line, a plain file that nobody else may touch); the key is
    taken from nowhere else.

    ``token_max`` and ``token_day_max`` map the address of a token to the smallest units that one swap, and 24 hours,
    may give; a token without both is not given. Arbitrage has limits of its own beside them (docs/arbitrage.md).
    ``fee_wei_max`` bounds what one transaction may cost, ``tip_wei_max`` what is given on top of the base fee. A swap
    is told as done ``confirmations`` blocks deep. Bytes that are in no block after ``bump_after_s`` are replaced by
    dearer ones; the chain is asked every ``poll_s``. ``has_l1_fee``: the chain charges for data, as Base does.

    A newest block older than ``stale_s_max`` gives no quote. ``words`` of a concentrated pool's bitmap are read on each
    side of its price, and up to ``ticks_max`` ticks in them.
    """

    endpoints: tuple[SecretStr, ...] = Field(default=(), max_length=8)
    key_file: Path | None = None
    chain_id: int = Field(default=BASE_CHAIN_ID, ge=1, le=2**53)
    router: str = "0x2626664c2603336e57b271c5c0b26f421741e481"
    v2_factory: str = "0x8909dc15e40173ff4699343b6eb8132c65e18ec6"
    v3_factory: str = "0x33128a8fc17869897dce68ed026d694621f6fdfd"
    pools: tuple[EvmPoolSection, ...] = Field(default=(), max_length=32)
    token_max: dict[str, Units] = Field(default_factory=dict, max_length=64)
    token_day_max: dict[str, Units] = Field(default_factory=dict, max_length=64)
    fee_wei_max: int = Field(default=500_000_000_000_000, ge=1, le=10**18)
    tip_wei_max: int = Field(default=2_000_000_000, ge=1, le=10**15)
    has_l1_fee: bool = True
    confirmations: int = Field(default=5, ge=1, le=10_000)
    bump_after_s: float = Field(default=12.0, gt=0, le=3_600)
    poll_s: float = Field(default=1.0, gt=0, le=60)
    stale_s_max: float = Field(default=20.0, gt=0, le=86_400)
    words: int = Field(default=2, ge=0, le=16)
    ticks_max: int = Field(default=200, ge=1, le=4_096)
    calls_per_second: float = Field(default=10.0, gt=0, le=100_000)
    timeout_s: float = Field(default=8.0, gt=0, le=120)
    response_bytes_max: int = Field(default=4_000_000, ge=1_024)
    attempts_max: int = Field(default=2, ge=1, le=10)

    @field_validator("router", "v2_factory", "v3_factory")
    @classmethod
    def _contract(cls, value: str) -> str:
        return address_of(value)

    @field_validator("token_max", "token_day_max")
    @classmethod
    def _tokens(cls, value: dict[str, int]) -> dict[str, int]:
        return {address_of(token, "token"): most for token, most in value.items()}

    @field_validator("endpoints")
    @classmethod
    def _http(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for each in value:
            try:
                parts = urlsplit(each.get_secret_value())
                is_good = parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
            except ValueError:
                is_good = False
            if not is_good:
                msg = "each is an address that begins with https:// or http:// and names a host"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _each_is_listed_once(self) -> "EvmSection":
        urls = [each.get_secret_value().rstrip("/") for each in self.endpoints]
        pools = [each.address for each in self.pools]
        if len(set(urls)) < len(urls) or len(set(pools)) < len(pools):
            msg = "an endpoint or a pool is listed twice: two answers of one node are not two sources"
            raise ValueError(msg)
        return self
