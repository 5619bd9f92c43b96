"""Which settings of arbitrage cannot work together with the others."""

from typing import Final

from trading.config import Sections
from trading.errors import InvalidInput

from .evm_key import evm_key_of

TRADED: Final = ("binance", "binanceus")
"""Where an order is looked up by our name for it, and a request that comes after its window is refused: without both,
one whose answer was lost could come after it was taken for dead. Withdrawals carry a name of ours there too."""
BLOCK_S: Final = 2.0
"""Of Base. An allowance and a swap are each waited for until they are deep enough."""


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
    found: tuple[tuple[str, bool, str], ...] = (
        ("arbitrage.money", not is_real, "the desk's own money is paper, so arbitrage's is not real"),
        (
            "arbitrage.wallet",
            not section.wallet and any(each.solana for each in section.pairs),
            "real money on Solana needs a wallet of arbitrage's own",
        ),
        (
            "arbitrage.wallet",
            bool(section.wallet) and section.wallet in wallets,
            "it is the desk's own, whose books would not agree any more",
        ),
        (
            "exchange.api_key",
            not sections.exchange.has_key and any(each.market for each in section.pairs),
            "real money needs the exchange's api_key and secret",
        ),
        (
            "arbitrage.withdraw_to",
            any(each != section.wallet for each in section.withdraw_to.values()),
            "a withdrawal goes to arbitrage.wallet and nowhere else, as only there its arrival is proven",
        ),
        (
            "exchange.id",
            sections.exchange.id not in TRADED and any(each.market for each in section.pairs),
            f"real money is traded at {' and '.join(TRADED)} alone, where a lost order can be proven dead",
        ),
    )
    if any(each.evm_pool for each in section.pairs):
        found += _of_evm(sections)
    for field, is_wrong, message in found:
        if is_wrong:
            msg = f"{field}: {message}"
            raise InvalidInput(msg, field=field, hint=hint)
    if any(each.evm_pool for each in section.pairs):
        evm_key_of(sections.evm)


def _of_evm(sections: Sections) -> tuple[tuple[str, bool, str], ...]:
    section, evm = sections.arbitrage, sections.evm
    order_max, day_max = section.evm_order_max_units, section.evm_day_max_units
    attempt_s = 2 * (evm.confirmations + 2) * BLOCK_S
    return (
        ("evm.endpoints", not evm.endpoints, "a pool of the EVM chain needs a node that is asked"),
        ("evm.key_file", evm.key_file is None, "a pool of the EVM chain with real money needs the key of its account"),
        (
            "arbitrage.evm_order_max_units",
            order_max < 1,
            "it is 0; say how much of the pool's money token one first leg may give",
        ),
        (
            "arbitrage.evm_day_max_units",
            day_max < order_max,
            f"it is {day_max}; it has to be evm_order_max_units, {order_max}, or more",
        ),
        (
            "arbitrage.evm_sol_per_ether",
            section.evm_sol_per_ether <= 0,
            "it is 0; say what an ether is worth in SOL, by which gas is counted",
        ),
        (
            "arbitrage.attempt_s",
            section.attempt_s < attempt_s,
            f"it is {section.attempt_s:g}; an allowance and a swap, each evm.confirmations deep, take {attempt_s:g} s",
        ),
    )
