"""Random disorder over several wallets: nothing is promised twice, lost or made, to the unit."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trading.model.intent import SOL_MINT
from trading.model.order import Denied
from trading.portfolio.wallets import Reservation, WalletBook, WalletRules, Wish

WALLETS = ("w1", "w2", "w3")
MINTS = ("AAA", "BBB")
RULES = WalletRules(exit_fee_lamports=1_000, rent_lamports=5_000, reservations_len_max=5)
START = 1_000_000


class Disorder(RuleBasedStateMachine):
    """Orders begin, settle, end, are told of twice and out of order, while money comes in and goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.book = WalletBook(RULES)
        self.held = {wallet: {SOL_MINT: START} for wallet in WALLETS}
        for wallet, units in self.held.items():
            self.book.observe(wallet, units)
        self.alive: dict[str, Reservation] = {}
        self.over: list[str] = []
        self.count = 0

    @rule(
        wallet=st.sampled_from((*WALLETS, None)),
        mint=st.sampled_from(MINTS),
        is_exit=st.booleans(),
        amount=st.integers(1, START),
    )
    def begin(self, wallet: str | None, mint: str, is_exit: bool, amount: int) -> None:
        self.count += 1
        mints = (mint, SOL_MINT) if is_exit else (SOL_MINT, mint)
        wish = Wish(f"i{self.count}", "s", *mints, amount, 700, is_exit)
        chosen = wallet or self.book.choose(wish)
        if isinstance(chosen, Denied):
            return
        answer = self.book.reserve(wish, chosen)
        if isinstance(answer, Denied):
            assert wallet is not None, "what was chosen is refused"
            return
        if not is_exit:
            left = self.book.free(chosen, SOL_MINT)
            assert left >= self.book.exit_reserve_lamports(chosen)
        self.alive[wish.id] = answer

    @rule(data=st.data(), share=st.integers(0, 100))
    def settle(self, data: st.DataObject, share: int) -> None:
        if not self.alive:
            return
        intent_id = data.draw(st.sampled_from(sorted(self.alive)))
        found = self.alive.pop(intent_id)
        wish, units = found.wish, self.held[found.wallet]
        changes = {wish.in_mint: -wish.amount_in, wish.out_mint: share}
        changes[SOL_MINT] = changes.get(SOL_MINT, 0) - 600
        for mint, change in changes.items():
            units[mint] = units.get(mint, 0) + change
        assert self.book.settle(intent_id, changes)
        self.over.append(intent_id)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        if self.alive:
            intent_id = data.draw(st.sampled_from(sorted(self.alive)))
            del self.alive[intent_id]
            assert self.book.release(intent_id)
            self.over.append(intent_id)

    @rule(data=st.data())
    def hear_again(self, data: st.DataObject) -> None:
        if self.over:
            intent_id = data.draw(st.sampled_from(self.over))
            assert not self.book.settle(intent_id, {SOL_MINT: 1_000})
            assert not self.book.release(intent_id)
        for found in self.alive.values():
            assert self.book.reserve(found.wish, found.wallet) == found

    @rule(wallet=st.sampled_from(WALLETS), lamports=st.integers(0, START))
    def come_in(self, wallet: str, lamports: int) -> None:
        units = self.held[wallet]
        units[SOL_MINT] = units.get(SOL_MINT, 0) + lamports
        assert self.book.observe(wallet, units) == {}

    @invariant()
    def nothing_is_lost_made_or_promised_twice(self) -> None:
        for wallet in WALLETS:
            for mint in (SOL_MINT, *MINTS):
                promised = sum(each.claims.get(mint, 0) for each in self.alive.values() if each.wallet == wallet)
                assert self.book.units(wallet, mint) == self.held[wallet].get(mint, 0)
                assert self.book.reserved(wallet, mint) == promised
                assert self.book.free(wallet, mint) == self.held[wallet].get(mint, 0) - promised >= 0

    @invariant()
    def no_two_open_orders_cross(self) -> None:
        bought = {each.wish.out_mint for each in self.alive.values()} - {SOL_MINT}
        sold = {each.wish.in_mint for each in self.alive.values()} - {SOL_MINT}
        assert not bought & sold


Disorder.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.requirement("T16")
@pytest.mark.requirement("T10")
class TestDisorder(Disorder.TestCase):
    pass
