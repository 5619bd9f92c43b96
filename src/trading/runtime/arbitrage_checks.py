"""Which settings of arbitrage cannot work together with the others."""

from typing import Final

from trading.config import Sections
from trading.errors import InvalidInput

TRADED: Final = ("binance", "binanceus")
"""Where an order is looked up by our name for it, and a request that comes after its window is refused: without both,
one whose answer was lost could come after it was taken for dead. Withdrawals carry a name of ours there too."""


def check(sections: Sections, *, is_real: bool) -> None:
    """Refuse settings that cannot work together, before anything is opened. Raises: InvalidInput naming the field."""
    section = sections.arbitrage
    if section.money == "real":
        _check_real(sections, is_real=is_real)
    for pair in section.pairs:
        if pair.market and not sections.exchange.id:
            msg = f"exchange.id is empty, and the pair {pair.name} has the market {pair.market} there"
            raise InvalidInput(msg, field="exchange.id", hint="TRADING_EXCHANGE__ID, an id of ccxt such as binance")
        if pair.evm_pool and pair.evm_pool not in {each.address for each in sections.evm.pools}:
            msg = f"arbitrage.pairs: {pair.name}: {pair.evm_pool} is none of TRADING_EVM__POOLS"
            raise InvalidInput(msg, field="arbitrage.pairs")


def _check_real(sections: Sections, *, is_real: bool) -> None:
    section = sections.arbitrage
    hint = "TRADING_ARBITRAGE__MONEY=paper needs nothing of this; see docs/arbitrage.md"
    wallets = {sections.live.wallet, *(each.address for each in sections.live.wallets)}
    found = (
        ("arbitrage.money", not is_real, "the desk's own money is paper, so arbitrage's is not real"),
        ("arbitrage.wallet", not section.wallet, "real money needs a wallet of arbitrage's own"),
        (
            "arbitrage.wallet",
            section.wallet in wallets,
            "it is the desk's own, whose books would not agree any more",
        ),
        ("exchange.api_key", not sections.exchange.has_key, "real money needs the exchange's api_key and secret"),
        (
            "arbitrage.withdraw_to",
            any(each != section.wallet for each in section.withdraw_to.values()),
            "a withdrawal goes to arbitrage.wallet and nowhere else, as only there its arrival is proven",
        ),
        (
            "exchange.id",
            sections.exchange.id not in TRADED,
            f"real money is traded at {' and '.join(TRADED)} alone, where a lost order can be proven dead",
        ),
        (
            "arbitrage.pairs",
            any(not each.market or not each.solana for each in section.pairs),
            "a trip with real money is between market and solana",
        ),
        ("arbitrage.pairs", any(each.evm_pool for each in section.pairs), "no command signs on the EVM chain"),
    )
    for field, is_wrong, message in found:
        if is_wrong:
            msg = f"{field}: {message}"
            raise InvalidInput(msg, field=field, hint=hint)
