"""Arbitrage: between which venues, how large, for how much, how often, and within which limits."""

from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from trading.model.evm import address_of

from .base import Section

BPS_ONE: Final = 10_000
EXCHANGE, SOLANA, EVM = "exchange", "solana", "evm"
"""What the venues of a pair are called in settings."""
EVM_UNITS_MAX: Final = (1 << 128) - 1
Sol = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=9)]
Bps = Annotated[int, Field(ge=0, le=BPS_ONE)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,31}$")]
Mint = Annotated[str, Field(pattern="^[1-9A-HJ-NP-Za-km-z]{32,44}$")]


class ArbitragePairSection(Section):
    """SOL against one token, at two venues or three. Every trip begins and ends with SOL.

    ``mint`` is the token on Solana, ``decimals`` its own. ``market`` is the pair at the exchange of TRADING_EXCHANGE__*
    as it writes it, SOL on one side (SOL/USDC); empty for none. ``solana``: swaps through Jupiter. ``evm_pool`` is one
    of TRADING_EVM__POOLS whose token 0 (``evm_sol_is_0``, else token 1) stands for SOL with nine decimals and whose
    other token is the same token with the same decimals.

    A trip takes ``least_sol`` to ``most_sol`` and has to leave more than ``net_min_sol`` after its full cost.
    ``paper_sol`` and ``paper_units`` (smallest units of the token) are what each venue begins with on paper.
    ``split_bps`` says how the inventory is to lie over the venues (exchange, solana, evm; together 10000): where a
    venue has ``rebalance_bps`` of all more than its share, a transfer is planned; empty: none ever is.
    """

    name: Name
    mint: Mint
    decimals: int = Field(ge=0, le=18)
    market: str = Field(default="", max_length=40)
    solana: bool = True
    evm_pool: str = ""
    evm_sol_is_0: bool = True
    least_sol: Sol = Decimal("0.1")
    most_sol: Sol = Decimal(2)
    net_min_sol: Sol = Decimal("0.0005")
    paper_sol: Sol = Decimal(10)
    paper_units: int = Field(default=0, ge=0, le=10**36)
    split_bps: dict[str, int] = Field(default_factory=dict)
    rebalance_bps: int = Field(default=2_000, ge=1, le=BPS_ONE)

    @field_validator("market")
    @classmethod
    def _sol_on_one_side(cls, value: str) -> str:
        if value and value.split("/").count("SOL") != 1:
            msg = "a pair with SOL on one side, such as SOL/USDC, or nothing"
            raise ValueError(msg)
        return value

    @field_validator("evm_pool")
    @classmethod
    def _address(cls, value: str) -> str:
        return address_of(value) if value else value

    @property
    def venues(self) -> tuple[str, ...]:
        """What this pair's venues are called, in order."""
        named = ((EXCHANGE, bool(self.market)), (SOLANA, self.solana), (EVM, bool(self.evm_pool)))
        return tuple(name for name, is_there in named if is_there)

    @model_validator(mode="after")
    def _can_be_made(self) -> "ArbitragePairSection":
        if len(self.venues) < 2:
            msg = f"{self.name}: {len(self.venues)} venues; a trip needs two of market, solana and evm_pool"
            raise ValueError(msg)
        if not 0 < self.least_sol <= self.most_sol:
            msg = f"{self.name}: least_sol {self.least_sol} has to be above 0 and no more than most_sol {self.most_sol}"
            raise ValueError(msg)
        if self.split_bps and (set(self.split_bps) != set(self.venues) or sum(self.split_bps.values()) != BPS_ONE):
            msg = f"{self.name}: split_bps names {', '.join(self.venues)}, together {BPS_ONE}"
            raise ValueError(msg)
        if any(not 0 <= each <= BPS_ONE for each in self.split_bps.values()):
            msg = f"{self.name}: a share of split_bps lies between 0 and {BPS_ONE}"
            raise ValueError(msg)
        return self


class ArbitrageSection(Section):
    """Arbitrage between venues (docs/arbitrage.md): off while ``pairs`` is empty. It is a JSON list of objects with
    ``name``, ``mint``, ``decimals`` and two of ``market``, ``solana``, ``evm_pool``; see the document for the rest.

    ``money`` is paper (real prices, fills simulated, nothing is sent) or real, which takes a desk with real money whose
    operator has armed it, keys of the exchange and ``wallet``, the address of a wallet of the signer that the mandate
    names and nothing else of the desk uses; it is refused elsewhere. ``every_s`` lies between two looks at a pair; a
    venue is waited for ``look_s``, and a look older than ``stale_s`` is not acted on.

    Limits over all pairs: ``open_max`` trips that are not over, ``size_max_sol`` for one, ``day_loss_sol`` that the
    trips of a UTC day may lose, what is open counted at its worst. ``keep_bps`` of what lies at a venue stays there.

    The first leg may give ``first_slip_bps`` less than was quoted, the second ``second_slip_bps``, an unwinding may
    lose ``unwind_loss_bps``. An attempt is asked about after ``attempt_s``; the second leg is tried for ``hedge_s``,
    unwinding goes on until ``flat_s``.

    Costs that no quote tells: ``breaks_bps`` of the trips are unwound for ``unwind_bps``; bringing inventory back takes
    ``carry_bps`` and ``carry_fixed_sol`` for each ``carry_batch_sol``; capital costs ``capital_bps_year`` and
    ``funding_bps_year`` for ``turn_s``. ``chain_fee_sol`` is what an attempt on Solana pays, ``evm_fee_sol`` one on the
    EVM chain; ``chain_fails_bps`` of them fail.

    ``jupiter_calls_per_minute`` are arbitrage's own, beside TRADING_MARKET__JUPITER_CALLS_PER_MINUTE; a look takes two
    for each of ``sizes`` sizes. On paper a fill takes ``paper_latency_s``, a transfer ``paper_transfer_s``, and it
    costs ``carry_fixed_sol`` and ``carry_bps``. Every ``rebalance_every_s``, between trips, the splits are looked at.

    A transfer that is not there after ``transfer_late_s`` is late. With real money only withdrawals from the exchange
    are made, and only to ``withdraw_to``, a JSON object of the exchange's word for a coin and its network, as
    ``SOL:SOL``, and the address; empty: none is ever asked for. One withdrawal is at most ``withdraw_max_sol`` of SOL,
    or ``withdraw_max_units`` of a pair's token.

    With real money an EVM pool needs the key of TRADING_EVM__KEY_FILE, ``evm_order_max_units`` and
    ``evm_day_max_units``: how much of the pool's money token, in its smallest units, one first leg and all first legs
    of 24 hours may give there; and ``evm_sol_per_ether``, what an ether is worth in SOL, by which gas is counted.
    """

    pairs: tuple[ArbitragePairSection, ...] = Field(default=(), max_length=8)
    money: Literal["paper", "real"] = "paper"
    wallet: str = Field(default="", pattern="^([1-9A-HJ-NP-Za-km-z]{32,44})?$")
    every_s: Seconds = 20.0
    look_s: float = Field(default=6.0, gt=0, le=60)
    stale_s: float = Field(default=8.0, gt=0, le=120)
    open_max: int = Field(default=1, ge=1, le=16)
    size_max_sol: Sol = Decimal(2)
    day_loss_sol: Sol = Decimal("0.1")
    keep_bps: int = Field(default=500, ge=0, lt=BPS_ONE)
    first_slip_bps: int = Field(default=10, ge=0, lt=BPS_ONE)
    second_slip_bps: int = Field(default=100, ge=0, lt=BPS_ONE)
    unwind_loss_bps: int = Field(default=300, ge=0, lt=BPS_ONE)
    attempt_s: float = Field(default=10.0, gt=0, le=300)
    hedge_s: float = Field(default=60.0, gt=0, le=3_600)
    flat_s: float = Field(default=240.0, gt=0, le=7_200)
    breaks_bps: Bps = 200
    unwind_bps: Bps = 50
    carry_bps: Bps = 2
    carry_fixed_sol: Sol = Decimal("0.002")
    carry_batch_sol: Sol = Decimal(10)
    capital_bps_year: int = Field(default=800, ge=0, le=1_000_000)
    funding_bps_year: int = Field(default=0, ge=0, le=1_000_000)
    turn_s: int = Field(default=86_400, ge=0, le=31_536_000)
    chain_fee_sol: Sol = Decimal("0.00002")
    evm_fee_sol: Sol = Decimal("0.0001")
    chain_fails_bps: int = Field(default=300, ge=0, le=9_000)
    sizes: int = Field(default=3, ge=2, le=8)
    jupiter_calls_per_minute: int = Field(default=30, ge=1, le=100_000)
    paper_latency_s: float = Field(default=0.8, ge=0, le=60)
    paper_transfer_s: float = Field(default=300.0, ge=0, le=86_400)
    rebalance_every_s: Seconds = 60.0
    transfer_late_s: float = Field(default=3_600.0, gt=0, le=604_800)
    withdraw_to: dict[str, str] = Field(default_factory=dict, max_length=16)
    withdraw_max_sol: Sol = Decimal(0)
    withdraw_max_units: int = Field(default=0, ge=0)
    evm_order_max_units: int = Field(default=0, ge=0, le=EVM_UNITS_MAX)
    evm_day_max_units: int = Field(default=0, ge=0, le=EVM_UNITS_MAX)
    evm_sol_per_ether: Sol = Decimal(0)

    @property
    def is_on(self) -> bool:
        return bool(self.pairs)

    @field_validator("withdraw_to")
    @classmethod
    def _coins_on_networks(cls, value: dict[str, str]) -> dict[str, str]:
        for coin, address in value.items():
            if coin.count(":") != 1 or not all(coin.split(":")) or not 20 <= len(address) <= 128:
                msg = f"COIN:NETWORK and an address, such as SOL:SOL, not {coin[:40]!r}"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _fits(self) -> "ArbitrageSection":
        names = [each.name for each in self.pairs]
        if len(set(names)) < len(names):
            msg = f"pairs: each has a name of its own, not {', '.join(names)}"
            raise ValueError(msg)
        if not self.attempt_s < self.hedge_s < self.flat_s:
            msg = f"attempt_s {self.attempt_s}, hedge_s {self.hedge_s} and flat_s {self.flat_s} have to rise"
            raise ValueError(msg)
        if self.look_s > self.stale_s:
            msg = f"stale_s {self.stale_s} has to be look_s {self.look_s} or longer"
            raise ValueError(msg)
        for name in ("size_max_sol", "day_loss_sol", "carry_batch_sol"):
            if getattr(self, name) <= 0:
                msg = f"{name} is {getattr(self, name)}; it has to be above 0"
                raise ValueError(msg)
        return self
