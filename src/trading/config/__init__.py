"""Frozen sections. Only ``settings`` reads the environment; everybody else is handed a section."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator

from trading.model.wallet import MAIN, NAME_PATTERN

from .arbitrage import ArbitrageSection as ArbitrageSection
from .bars import BarsSection as BarsSection
from .base import Section as Section
from .costs import CostsSection as CostsSection
from .evm import EvmSection as EvmSection
from .exchange import ExchangeSection as ExchangeSection
from .nodes import NodesSection as NodesSection

MAINNET_GENESIS: Final = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"


class WalletSection(Section):
    """A wallet beside ``main``. ``buckets``: whose purchases it makes, empty for those of all. With the ``role`` exit
    it buys nothing and sells what it holds."""

    name: str = Field(pattern=NAME_PATTERN)
    buckets: tuple[str, ...] = Field(default=(), max_length=64)
    role: Literal["trade", "exit"] = "trade"


class PaperWalletSection(WalletSection):
    """``equity_sol`` is what it begins with."""

    equity_sol: Decimal = Field(gt=0, le=1_000_000, decimal_places=9)


class LiveWalletSection(WalletSection):
    """``address`` is its public key; the signer holds the key, and the mandate names the wallet."""

    address: str = Field(pattern="^[1-9A-HJ-NP-Za-km-z]{32,44}$")


def _named_once(wallets: Sequence[WalletSection]) -> None:
    names = [MAIN, *(each.name for each in wallets)]
    if len(set(names)) < len(names):
        msg = f"each wallet has a name of its own, and {MAIN!r} is the first one's, not {', '.join(names[1:])}"
        raise ValueError(msg)


class AccountSection(Section):
    """The paper account. ``target_sol`` is what the compounding tracker measures against. ``wallets``: a JSON list of
    wallets beside the one, ``main``, that ``equity_sol`` lies in, each with ``name``, ``equity_sol`` and, where wished,
    ``buckets`` and ``role`` (trade or exit)."""

    wallets: tuple[PaperWalletSection, ...] = Field(default=(), max_length=15)
    equity_sol: Decimal = Field(default=Decimal(2), gt=0, le=1_000_000, decimal_places=9)
    target_sol: Decimal = Field(default=Decimal(20), gt=0, le=100_000_000, decimal_places=9)
    zone: str = "UTC"

    @field_validator("wallets")
    @classmethod
    def _wallets_are_named_once(cls, value: tuple[PaperWalletSection, ...]) -> tuple[PaperWalletSection, ...]:
        _named_once(value)
        return value

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
    as stale. ``conditions`` is the state of the chain that fills are simulated in: ideal, calm, congested, or a file.
    ``snapshot_window_s``: how much of the desk's time lies between the snapshots that are remembered in words too.
    """

    speed: Literal["max"] | float | None = None
    commands_len_max: int = Field(default=64, ge=1)
    command_timeout_s: float = Field(default=20.0, gt=0)
    fill_wait_s: float = Field(default=3.0, ge=0)
    snapshot_interval_s: float = Field(default=1.0, ge=0)
    snapshot_window_s: int = Field(default=3_600, ge=60, le=604_800)
    stale_after_s: float | None = Field(default=None, gt=0)
    seed: int = Field(default=0, ge=0)
    conditions: str = Field(default="ideal", min_length=1)

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


class MarketSection(Section):
    """The ``market`` feed: public pool and price APIs (docs/feeds.md names endpoints, budgets and rules).

    The bar at a close is asked for ``settle_s`` after it, and once more ``retry_s`` later where it was missing.
    ``age_limit_s`` (unset: three bar intervals) is the age of the newest bar at which the feed counts as stale.
    ``deviation_bps_max`` is how far a bar's close may lie from the second source before it is withheld.
    """

    gecko_url: str = "https://api.geckoterminal.com/api/v2"
    gecko_key: SecretStr | None = None
    gecko_calls_per_minute: int = Field(default=10, ge=1, le=100_000)
    dexscreener_url: str = "https://api.dexscreener.com"
    dexscreener_calls_per_minute: int = Field(default=60, ge=1, le=100_000)
    jupiter_url: str = "https://api.jup.ag"
    jupiter_key: SecretStr | None = None
    jupiter_calls_per_minute: int = Field(default=30, ge=1, le=100_000)
    interval_s: Literal[60, 300, 900, 3_600] = 300
    settle_s: float = Field(default=20.0, ge=0, le=600)
    retry_s: float = Field(default=25.0, ge=0, le=600)
    age_limit_s: float | None = Field(default=None, gt=0)
    deviation_bps_max: int = Field(default=1_000, ge=1, le=10_000)
    tokens_max: int = Field(default=8, ge=1, le=30)
    liquidity_usd_min: Decimal = Field(default=Decimal(50_000), ge=0)
    volume_usd_day_min: Decimal = Field(default=Decimal(100_000), ge=0)
    pool_age_min_s: float = Field(default=3_600.0, ge=0)
    universe_refresh_s: float = Field(default=1_800.0, gt=0)
    timeout_s: float = Field(default=10.0, gt=0, le=120)
    probe_timeout_s: float = Field(default=4.0, gt=0, le=60)
    response_bytes_max: int = Field(default=2_000_000, ge=1_024)
    backoff_base_s: float = Field(default=2.0, gt=0)
    backoff_cap_s: float = Field(default=120.0, gt=0)
    retry_after_cap_s: float = Field(default=600.0, gt=0)
    events_len_max: int = Field(default=4_096, ge=64)


class FetchSection(Section):
    """``data fetch``: bars of public sources to Parquet files.

    A page that fails is asked for ``attempts_max`` times, with ``backoff_base_s`` doubling up to ``backoff_cap_s`` in
    between, or as long as the source asks for, up to ``retry_after_cap_s``. ``overlap_bars`` of the newest known bars
    are asked for again, to notice a source that tells its past otherwise. A bar counts as closed ``settle_s`` after its
    end. What was fetched is written every ``store_pages`` pages.
    """

    attempts_max: int = Field(default=5, ge=1, le=100)
    backoff_base_s: float = Field(default=1.0, gt=0)
    backoff_cap_s: float = Field(default=60.0, gt=0)
    retry_after_cap_s: float = Field(default=600.0, gt=0)
    timeout_s: float = Field(default=15.0, gt=0, le=120)
    pages_max: int = Field(default=5_000, ge=1, le=1_000_000)
    overlap_bars: int = Field(default=50, ge=0, le=1_000)
    settle_s: float = Field(default=20.0, ge=0, le=600)
    store_pages: int = Field(default=20, ge=1, le=1_000)
    since_days_default: int = Field(default=30, ge=1, le=3_650)


class EndpointSection(Section):
    """One Solana endpoint. The whole URL is a secret, because providers put keys into its path or query.

    ``websocket_url`` only wakes the desk earlier; without it the desk polls. ``has_helius_fees``: it answers
    ``getPriorityFeeEstimate``.
    """

    url: SecretStr
    websocket_url: SecretStr | None = None
    calls_per_second: float = Field(default=10.0, gt=0, le=100_000)
    has_helius_fees: bool = False

    @field_validator("url")
    @classmethod
    def _http(cls, value: SecretStr) -> SecretStr:
        return _url_of(value, ("https", "http"))

    @field_validator("websocket_url")
    @classmethod
    def _websocket(cls, value: SecretStr | None) -> SecretStr | None:
        return value and _url_of(value, ("wss", "ws"))


def _url_of(value: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        is_good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        msg = f"is not an address that begins with {' or '.join(f'{each}://' for each in schemes)} and names a host"
        raise ValueError(msg)
    return value


class ChainSection(Section):
    """Solana itself: off while ``endpoints`` is empty. It is a JSON list, the best endpoint first, of objects with
    ``url`` and, where wished, ``websocket_url`` (only wakes the desk earlier), ``calls_per_second`` and
    ``has_helius_fees``; their addresses are secrets, because providers put keys into them.

    ``genesis_hash`` pins the cluster: an endpoint of another one is left out and reported. An endpoint more than
    ``lag_slots_max`` behind gives no blockhash and no balance. ``grace_s``: where several endpoints are asked at once,
    how long the others are waited for after the first answer. ``health_age_s``: how old may be what is known of an
    endpoint's height. ``fee_percentile`` is taken of the priority fees above zero that were paid lately for the same
    accounts; ``fee_floor_lamports`` is the least for a transaction of ``fee_units`` compute units,
    ``fee_cap_lamports`` the most for any, whatever its limit. ``facts_per_cycle``: of how many tokens the ``market``
    feed asks the chain at one bar close; what it found is good for ``facts_age_s``.
    """

    endpoints: tuple[EndpointSection, ...] = Field(default=(), max_length=16)
    genesis_hash: str = Field(default=MAINNET_GENESIS, pattern="^[1-9A-HJ-NP-Za-km-z]{32,44}$")
    lag_slots_max: int = Field(default=30, ge=0, le=10_000)
    timeout_s: float = Field(default=8.0, gt=0, le=120)
    grace_s: float = Field(default=1.0, gt=0, le=60)
    health_age_s: float = Field(default=2.0, ge=0, le=600)
    response_bytes_max: int = Field(default=8_000_000, ge=1_024)
    attempts_max: int = Field(default=2, ge=1, le=10)
    backoff_base_s: float = Field(default=0.5, gt=0)
    backoff_cap_s: float = Field(default=30.0, gt=0)
    retry_after_cap_s: float = Field(default=60.0, gt=0)
    subscriptions_max: int = Field(default=256, ge=0, le=10_000)
    fee_percentile: int = Field(default=75, ge=1, le=100)
    fee_floor_lamports: int = Field(default=300, ge=0)
    fee_cap_lamports: int = Field(default=2_000_000, ge=0, le=1_000_000_000)
    fee_units: int = Field(default=300_000, ge=1_000, le=1_400_000)
    fee_age_s: float = Field(default=2.0, ge=0, le=600)
    facts_per_cycle: int = Field(default=4, ge=0, le=100)
    facts_age_s: float = Field(default=1_800.0, gt=0)

    @model_validator(mode="after")
    def _sources_differ(self) -> "ChainSection":
        urls = [each.url.get_secret_value().rstrip("/") for each in self.endpoints]
        if len(set(urls)) < len(urls):
            msg = "an endpoint is listed twice: two answers of one endpoint are not two sources"
            raise ValueError(msg)
        return self


class RouterSection(Section):
    """Swaps through Jupiter, and the second price that an offer is held against. The address, the key and the calls a
    minute of Jupiter's API are those of ``market``: its limit is one for all that use a key.

    ``compute_unit_price_percentile`` is the advice that is asked for: medium, high, veryHigh or basis points (0 to
    10000). ``dexes_excluded`` are labels as Jupiter writes them. A call waits at most ``budget_wait_s`` for its turn.
    ``second_price`` is where the second price comes from: DexScreener, a pool's reserves on chain or Pyth.
    ``pools`` maps a mint to the token account of its pool and the wrapped SOL account of that pool; ``pyth_feeds``
    maps a mint to the id of its USD feed, and needs wrapped SOL's. A price of a pool with less than
    ``pool_lamports_min`` on the SOL side does not count; a Pyth price does not where it is older than
    ``pyth_age_s_max`` or its confidence is wider than ``pyth_confidence_bps_max``.
    """

    timeout_s: float = Field(default=5.0, gt=0, le=60)
    execute_timeout_s: float = Field(default=40.0, gt=0, le=180)
    execute_calls_per_minute: int = Field(default=1_200, ge=1, le=100_000)
    budget_wait_s: float = Field(default=6.0, ge=0, le=120)
    response_bytes_max: int = Field(default=1_000_000, ge=1_024)
    backoff_base_s: float = Field(default=0.5, gt=0)
    backoff_cap_s: float = Field(default=15.0, gt=0)
    retry_after_cap_s: float = Field(default=120.0, gt=0)
    dexes_excluded: tuple[str, ...] = ()
    blockhash_slots: int = Field(default=150, ge=1, le=300)
    compute_unit_price_percentile: Literal["medium", "high", "veryHigh"] | int = "high"
    second_price: Literal["dexscreener", "pool", "pyth"] = "dexscreener"
    pool_lamports_min: int = Field(default=10 * 10**9, ge=0)
    pools: dict[str, tuple[str, str]] = Field(default_factory=dict)
    pyth_url: str = "https://pyth.dourolabs.app/hermes"
    pyth_key: SecretStr | None = None
    pyth_calls_per_minute: int = Field(default=60, ge=1, le=100_000)
    pyth_feeds: dict[str, str] = Field(default_factory=dict)
    pyth_age_s_max: float = Field(default=30.0, gt=0)
    pyth_confidence_bps_max: int = Field(default=100, ge=0, le=10_000)

    @field_validator("compute_unit_price_percentile")
    @classmethod
    def _known_percentile(cls, value: str | int) -> str | int:
        if isinstance(value, int) and not 0 <= value <= 10_000:
            msg = f"a percentile in basis points lies in [0, 10000], not {value}"
            raise ValueError(msg)
        return value


class LiveSection(Section):
    """Real money. ``wallet`` is the public key whose money the desk trades; its key lies with the signer. ``wallets``:
    a JSON list of more, each with ``name``, ``address`` and, where wished, ``buckets`` and ``role`` (trade or exit).

    ``signer_socket`` (unset: signer/signer.sock in the data directory) is where the signer answers, ``signer_user`` who
    it must be: a user's name or number, unset for the desk's own. ``mints`` maps names that a feed uses to mints of
    the chain, for a rehearsal. An order's own least amount binds; a router is asked for at most
    ``slippage_bps_max``. An entry that is not signed after ``entry_wait_s`` is given up, an exit after ``exit_wait_s``,
    and decided anew; one that needs the operator's approval waits ``approval_wait_s`` for him. ``exit_fee_times``: up
    to how many times the profile's priority fee an exit may pay, within the mandate's ``fee_lamports_max``: it offers
    three times what the chain asks, and twice that with each new attempt.
    ``reserve_lamports`` stay in the wallet for fees of exits, whatever an entry wants.
    ``oracle_deviation_bps_max``: how far an offer may lie from the second price. ``foreign``: what becomes of tokens
    that nobody bought: adopt (they are the hand's, at what they could be sold for), leave (told of, never traded) or
    ignore. ``banned`` mints are bought by nobody, on paper neither, under no profile; what is paid for them by hand has
    left the desk.

    Accounts that the desk opened and that have been empty for ``close_after_s`` are closed where ``close_accounts`` is
    on: their deposits come back. With ``sweep_above_sol`` above 0, profit goes to the mandate's cold address while
    equity is above it, at most once a day: so much that ``sweep_keep_sol`` of equity stay. What the desk looks for is
    looked for every ``upkeep_poll_s``; one such transaction costs at most ``upkeep_fee_lamports``.
    """

    wallet: str = ""
    wallets: tuple[LiveWalletSection, ...] = Field(default=(), max_length=15)
    signer_socket: Path | None = None
    signer_user: str | None = None
    mints: dict[str, str] = Field(default_factory=dict)
    slippage_bps_max: int = Field(default=300, ge=1, le=5_000)
    attempts_max: int = Field(default=3, ge=1, le=10)
    entry_wait_s: float = Field(default=20.0, gt=0, le=600)
    exit_wait_s: float = Field(default=200.0, gt=0, le=600)
    exit_fee_times: int = Field(default=4, ge=1, le=20)
    approval_wait_s: float = Field(default=600.0, gt=0, le=890)
    foreign: Literal["adopt", "leave", "ignore"] = "leave"
    banned: tuple[str, ...] = ()
    reserve_lamports: int = Field(default=10_000_000, ge=1_000_000)
    oracle_deviation_bps_max: int = Field(default=300, ge=1, le=5_000)
    exit_deviation_bps_max: int = Field(default=2_000, ge=1, le=10_000)
    arming_poll_s: float = Field(default=2.0, gt=0, le=60)
    poll_s: float = Field(default=0.8, gt=0, le=10)
    resend_s: float = Field(default=2.0, gt=0, le=30)
    close_accounts: bool = True
    close_after_s: float = Field(default=1_800.0, ge=0, le=30 * 86_400)
    sweep_above_sol: Decimal = Field(default=Decimal(0), ge=0, max_digits=18, decimal_places=9)
    sweep_keep_sol: Decimal = Field(default=Decimal(0), ge=0, max_digits=18, decimal_places=9)
    upkeep_fee_lamports: int = Field(default=20_000, ge=5_000, le=1_000_000)
    upkeep_poll_s: float = Field(default=30.0, gt=0, le=3_600)

    @model_validator(mode="after")
    def _wallets_differ(self) -> "LiveSection":
        _named_once(self.wallets)
        addresses = [self.wallet, *(each.address for each in self.wallets)]
        if self.wallets and (not self.wallet or len(set(addresses)) < len(addresses)):
            msg = "wallets come beside `wallet`, each with an address of its own"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _keeps_no_more_than_it_waits_for(self) -> "LiveSection":
        if self.sweep_keep_sol > self.sweep_above_sol:
            msg = f"sweep_keep_sol {self.sweep_keep_sol} is above sweep_above_sol {self.sweep_above_sol}"
            raise ValueError(msg)
        return self


class PromotionSection(Section):
    """The bounds of the gates between candidate, paper and real money, and of demotion (docs/learning.md).

    A candidate goes to paper with a deflated Sharpe of at least ``dsr_bps_min`` against every trial that its family
    ever made, a probability of backtest overfitting of at most ``pbo_bps_max``, ``trades_min`` trades, no drawdown
    beyond ``drawdown_bps_max``, and, on ``holdout_days_min`` days that no search saw, a probability of
    ``holdout_psr_bps_min`` that it earns anything. It goes to real money after ``paper_days_min`` days and
    ``paper_trades_min`` trades on paper with ``paper_psr_bps_min``, ``drift_matched_bps_min`` of its trades the same
    in a replay of the run, and within the terms that demote: no drawdown beyond ``drawdown_times_bps`` of what its
    evidence had (at least ``drawdown_floor_bps``); after ``demote_trades_min`` trades a probability of at least
    ``demote_psr_bps_min`` that they earn anything, and of ``demote_drift_bps_min`` that they earn what they should.
    """

    dsr_bps_min: int = Field(default=9_500, ge=5_000, le=9_999)
    pbo_bps_max: int = Field(default=5_000, ge=0, le=10_000)
    trades_min: int = Field(default=30, ge=5, le=10_000)
    drawdown_bps_max: int = Field(default=3_500, ge=100, le=10_000)
    holdout_days_min: int = Field(default=60, ge=10, le=3_650)
    holdout_psr_bps_min: int = Field(default=9_000, ge=5_000, le=9_999)
    paper_days_min: int = Field(default=30, ge=1, le=3_650)
    paper_trades_min: int = Field(default=30, ge=5, le=10_000)
    paper_psr_bps_min: int = Field(default=8_000, ge=5_000, le=9_999)
    drift_matched_bps_min: int = Field(default=9_500, ge=0, le=10_000)
    drawdown_times_bps: int = Field(default=15_000, ge=10_000, le=50_000)
    drawdown_floor_bps: int = Field(default=500, ge=100, le=10_000)
    demote_trades_min: int = Field(default=20, ge=5, le=1_000)
    demote_psr_bps_min: int = Field(default=500, ge=1, le=5_000)
    demote_drift_bps_min: int = Field(default=100, ge=1, le=5_000)


class EvolutionSection(Section):
    """The search in the background: off while ``strategies`` is empty. It searches each of them once a day, with
    ``trials_per_day`` candidates in all, on ``data`` (a JSON list of files or folders of bars; empty: the bars of the
    desk's own run), of which it takes the last ``days_max`` days and keeps a fifth from the search. What it finds is
    proposed as candidates and changes nothing by itself.

    It runs in a process of its own at the lowest priority, and rests so much between its batches that it takes no more
    than ``cpu_budget_percent`` of one core.
    """

    strategies: tuple[str, ...] = Field(default=(), max_length=16)
    data: tuple[Path, ...] = Field(default=(), max_length=64)
    trials_per_day: int = Field(default=500, ge=1, le=100_000)
    cpu_budget_percent: int = Field(default=10, ge=1, le=100)
    days_max: int = Field(default=365, ge=30, le=3_650)


class SidecarSection(Section):
    """Advice from a language model: off while ``url`` is empty, which is kept as a secret. ``kind`` says what is asked
    there: openai (any endpoint of the chat-completions API; ``url`` ends before ``/chat/completions``) or assess (a
    server of ``POST /assess``).

    A question takes at most ``timeout_s``, with ``attempts_max`` tries; between them it waits ``backoff_base_s``,
    doubling up to ``backoff_cap_s``, or as long as the server asks for, up to ``retry_after_cap_s``. After
    ``failures_max`` failures in a row nobody asks for ``open_s`` (doubling up to ``open_s_max``). ``price_*`` are
    micro-USD for a million tokens. ``calls_per_day_max``, ``tokens_per_day_max`` and ``micro_usd_per_day_max`` bound
    a day (UTC) also over restarts. An answer is good for ``cache_s`` where the same is asked again. ``questions_max``
    wait at most; of a token and kind the newest, asked again after ``again_s`` of the market's time at the soonest.
    """

    url: SecretStr = SecretStr("")
    kind: Literal["openai", "assess"] = "openai"
    model: str = Field(default="", max_length=128)
    key: SecretStr | None = None
    timeout_s: float = Field(default=30.0, gt=0, le=300)
    attempts_max: int = Field(default=3, ge=1, le=10)
    backoff_base_s: float = Field(default=0.5, gt=0)
    backoff_cap_s: float = Field(default=8.0, gt=0)
    retry_after_cap_s: float = Field(default=120.0, gt=0)
    response_bytes_max: int = Field(default=262_144, ge=1_024, le=16_000_000)
    tokens_out_max: int = Field(default=800, ge=64, le=32_000)
    price_in_micro_usd: int = Field(default=1_000_000, ge=0, le=10**9)
    price_out_micro_usd: int = Field(default=4_000_000, ge=0, le=10**9)
    calls_per_day_max: int = Field(default=500, ge=0, le=1_000_000)
    tokens_per_day_max: int = Field(default=1_000_000, ge=0, le=10**10)
    micro_usd_per_day_max: int = Field(default=1_000_000, ge=0, le=10**10)
    failures_max: int = Field(default=3, ge=1, le=100)
    open_s: float = Field(default=30.0, gt=0, le=3_600)
    open_s_max: float = Field(default=900.0, gt=0, le=86_400)
    cache_s: float = Field(default=300.0, ge=0, le=86_400)
    questions_max: int = Field(default=16, ge=1, le=1_000)
    again_s: int = Field(default=900, ge=0, le=86_400)

    @field_validator("url")
    @classmethod
    def _http(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value():
            return value
        parts = urlsplit(_url_of(value, ("https", "http")).get_secret_value())
        if parts.username or parts.password or parts.query or parts.fragment:
            msg = "is an address that holds no user, query or fragment; the key is a setting of its own"
            raise ValueError(msg)
        return SecretStr(value.get_secret_value().rstrip("/"))

    @property
    def is_on(self) -> bool:
        return bool(self.url.get_secret_value())

    @model_validator(mode="after")
    def _a_model_is_named(self) -> "SidecarSection":
        if self.is_on and self.kind == "openai" and not self.model:
            msg = "model: an endpoint of chat completions is asked for a model by its name"
            raise ValueError(msg)
        return self


class Sections(Section):
    """Everything the desk is configured by, apart from what its caller decides (data directory, feed, money)."""

    account: AccountSection = AccountSection()
    paper: PaperSection = PaperSection()
    preview: PreviewSection = PreviewSection()
    relay: RelaySection = RelaySection()
    bars: BarsSection = BarsSection()
    market: MarketSection = MarketSection()
    fetch: FetchSection = FetchSection()
    chain: ChainSection = ChainSection()
    router: RouterSection = RouterSection()
    live: LiveSection = LiveSection()
    promotion: PromotionSection = PromotionSection()
    evolution: EvolutionSection = EvolutionSection()
    sidecar: SidecarSection = SidecarSection()
    costs: CostsSection = CostsSection()
    evm: EvmSection = EvmSection()
    exchange: ExchangeSection = ExchangeSection()
    nodes: NodesSection = NodesSection()
    arbitrage: ArbitrageSection = ArbitrageSection()
