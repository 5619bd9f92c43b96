"""Commands between two cycles: each is a journalled input, and says what it did to open positions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trading.errors import DataError, InvalidInput
from trading.model import commands, events
from trading.model.account import Level
from trading.model.event_codec import decode, encode
from trading.model.order import Denied, Order
from trading.model.profile import Profile, profile_named
from trading.model.profile_content import changes, content_of, profile_of, riskier, sha256_of
from trading.model.promotion import Stage
from trading.model.units import LAMPORTS_MAX, sol_text
from trading.model.wallet import MAIN
from trading.portfolio.buckets import split_lamports
from trading.portfolio.flow_booking import events_of
from trading.recall.situations import DIMENSIONS, VERSION, levels_of
from trading.strategies.registry import create_all

from .kernel import Kernel
from .promoting import refusal, with_candidate, worth_lamports
from .routing import check_wallets, gathered
from .trader import Plan
from .treasury import capital_of, fund_strategies, shares_of, weights_of


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command. ``effect`` says what happens to open positions; ``plan``: an order by hand."""

    effect: str
    orders: tuple[Order, ...] = ()
    denied: Denied | None = None
    plan: Plan | None = None


class Control:
    """Takes commands for one kernel, in its thread. The caller has checked who may command what."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._handlers: Mapping[type, Callable[[Any], Outcome]] = {
            commands.StopEntries: self._stop_entries,
            commands.AllowEntries: self._allow_entries,
            commands.ReduceOnly: self._reduce_only,
            commands.FlattenAndHalt: self._flatten_and_halt,
            commands.Resume: self._resume,
            commands.ClosePosition: self._close,
            commands.Deposit: self._deposit,
            commands.Withdraw: self._withdraw,
            commands.PlaceOrder: self._place,
            commands.SetTarget: self._set_target,
            commands.SwitchProfile: self._switch_profile,
            commands.MoveCapital: self._move_capital,
            commands.BookFlow: self._book_flow,
            commands.UseWallets: self._use_wallets,
            commands.HoldWallet: self._hold_wallet,
            commands.GiveSituations: self._give_situations,
            commands.PromoteStrategy: self._promote,
            commands.DemoteStrategy: self._demote,
        }

    def take(self, command: commands.Command) -> Outcome:
        """Check the command, journal it, carry it out. One that makes no sense changes nothing.

        Raises: InvalidInput naming the field.
        """
        self._check(command)
        _require_readable(command)
        self._kernel.levels.refresh()
        self._kernel.emit(command)
        return self._handlers[type(command)](command)

    def plan(self, command: commands.PlaceOrder) -> Plan:
        """Return what the order would be and what the gate says to it; nothing happens."""
        self._check(command)
        return self._kernel.trader.plan(command, self._kernel.valuer.value())

    def _check(self, command: commands.Command) -> None:
        kernel = self._kernel
        match command:
            case commands.PlaceOrder():
                self._require_mint(command.mint)
                if command.amount_in <= 0:
                    msg = f"amount: must be above 0, not {command.amount_in}"
                    raise InvalidInput(msg, field="amount_in")
            case commands.ClosePosition():
                self._require_mint(command.mint)
                if type(command.percent) is not int or not 1 <= command.percent <= 100:
                    msg = f"percent: a whole number from 1 to 100, not {command.percent!r}"
                    raise InvalidInput(msg, field="percent")
            case commands.Deposit() | commands.Withdraw() | commands.SetTarget() | commands.MoveCapital():
                if command.lamports <= 0:
                    msg = f"amount: must be above 0, not {sol_text(command.lamports)} SOL"
                    raise InvalidInput(msg, field="amount_sol")
                owned = kernel.state.equity_lamports if isinstance(command, commands.Deposit) else 0
                if command.lamports + owned > LAMPORTS_MAX:
                    most = sol_text(max(0, LAMPORTS_MAX - owned))
                    msg = f"amount: at most {most} SOL, not {sol_text(command.lamports)}"
                    raise InvalidInput(msg, field="amount_sol")
            case commands.BookFlow():
                events_of(command.key, kernel.state.now_ns, command.steps)
            case commands.UseWallets():
                check_wallets(kernel.state, command.wallets)
            case commands.HoldWallet():
                self._require_wallet(command.wallet)
            case commands.GiveSituations():
                _require_whole(command)
            case commands.PromoteStrategy():
                create_all(with_candidate(kernel.state.profile, command).strategies)
            case commands.SwitchProfile():
                create_all(_profile_of(command).strategies)
            case commands.ReduceOnly() | commands.FlattenAndHalt() | commands.Resume():
                if command.level:
                    kernel.levels.key_of(command.level)
            case _:
                return
        if isinstance(command, commands.MoveCapital) and command.from_bucket not in kernel.state.ledger.buckets:
            msg = f"bucket: {command.from_bucket!r} is unknown; known are {', '.join(kernel.state.ledger.buckets)}"
            raise InvalidInput(msg, field="from_bucket")

    def _require_mint(self, mint: str) -> None:
        if mint not in self._kernel.valuer.instruments:
            count = len(self._kernel.valuer.instruments)
            msg = f"mint: {mint!r} is not among the {count} tokens of this feed"
            raise InvalidInput(msg, field="mint", hint="give the mint address of a token that the feed lists")

    def _require_wallet(self, name: str) -> None:
        book = self._kernel.state.wallets
        known = [] if book is None else list(book.wallets)
        if name not in known:
            msg = f"wallet: {name!r} is unknown; known are {', '.join(known) or 'none but the one'}"
            raise InvalidInput(msg, field="wallet")

    def _stop_entries(self, command: commands.StopEntries) -> Outcome:
        self._kernel.update_state(f"{command.actor}: {command.reason}", entries_allowed=False)
        return Outcome("Nothing new is opened. Open positions stay and are managed by their exit rules.")

    def _allow_entries(self, command: commands.AllowEntries) -> Outcome:
        self._kernel.update_state(f"{command.actor}: {command.reason}", entries_allowed=True)
        return Outcome("Entries are allowed again.")

    def _reduce_only(self, command: commands.ReduceOnly) -> Outcome:
        if command.level:
            self._kernel.levels.tell()
            return Outcome(f"Exposure of {command.level} can only shrink. Its positions stay until they are sold.")
        self._kernel.update_state(f"{command.actor}: {command.reason}")
        return Outcome("Exposure can only shrink. Open positions stay until their exit rules or a person sells them.")

    def _flatten_and_halt(self, command: commands.FlattenAndHalt) -> Outcome:
        kernel = self._kernel
        if command.level:
            kernel.levels.tell()
            key = kernel.levels.key_of(command.level)
            held = kernel.levels.positions_of(key)
            wallet = key[1] if key[0] is Level.WALLET and kernel.valuer.routing.are_several else ""
            orders = kernel.trader.flatten(f"halted: {command.reason}", kernel.valuer.value(), held, wallet)
            effect = (
                f"{len(held)} positions of {command.level} are being sold; nothing is bought there until it resumes."
            )
            return Outcome(effect, tuple(orders))
        kernel.update_state(f"{command.actor}: {command.reason}")
        orders = kernel.trader.flatten(f"halted: {command.reason}", kernel.valuer.value())
        open_tokens = len(kernel.state.ledger.held_mints())
        effect = (
            f"All {open_tokens} open positions are being sold at the next price of each, and again until they are "
            "gone. Nothing is bought until a person resumes."
            if open_tokens
            else "Nothing is held. Nothing is bought until a person resumes."
        )
        return Outcome(effect, tuple(orders))

    def _resume(self, command: commands.Resume) -> Outcome:
        self._kernel.levels.tell()
        if command.level:
            return Outcome(f"{command.level} may enter again; its drawdown is measured anew from here.")
        self._kernel.update_state(f"{command.actor}: {command.reason}", entries_allowed=True)
        return Outcome("Entries are allowed; drawdown is measured anew from here. Open positions are not touched.")

    def _close(self, command: commands.ClosePosition) -> Outcome:
        kernel = self._kernel
        held = kernel.state.ledger.holding(command.mint)
        if held is None:
            return Outcome("Nothing is held of this token.", denied=Denied("no_position", "nothing is held of it"))
        reason = f"{command.actor}: {command.reason}"
        orders = kernel.trader.close(command.mint, command.percent, reason, kernel.valuer.value())
        if not orders:
            denied = Denied("unsellable", "it is on sale already, or nobody buys it now")
            return Outcome("No order was sent.", denied=denied)
        return Outcome(f"{command.percent} % of the position is sold at the next price.", tuple(orders))

    def _deposit(self, command: commands.Deposit) -> Outcome:
        """Split it like the start capital, so that every strategy has its share of it."""
        self._bring_in(command.key, command.lamports, command.reason, MAIN)
        return Outcome(f"{sol_text(command.lamports)} SOL came in. Open positions and limits are not touched.")

    def _bring_in(self, key: str, lamports: int, reason: str, wallet: str) -> None:
        kernel = self._kernel
        shares = split_lamports(lamports, shares_of(kernel.state))
        shares[next(iter(shares))] += lamports - sum(shares.values())
        for bucket, share in shares.items():
            if share:
                where = (kernel.state.now_ns, bucket, share)
                kernel.emit(events.CapitalDeposited(f"{key}/{bucket}", *where, reason, wallet))

    def _withdraw(self, command: commands.Withdraw) -> Outcome:
        """Take it from the buckets with the most cash, and never what the exits need."""
        kernel = self._kernel
        account = kernel.valuer.account(kernel.valuer.value())
        reserve = kernel.state.profile.limits.exit_reserve_lamports * account.tokens_held
        free = account.cash_lamports - reserve
        if kernel.state.wallets is not None:
            spare = [kernel.valuer.routing.spare_lamports(name) for name in kernel.state.wallets.wallets]
            free = min(free, sum(spare))
        if command.lamports > free:
            message = f"{sol_text(max(0, free))} SOL can be withdrawn; the rest is invested or kept for exits"
            return Outcome("Nothing was withdrawn.", denied=Denied("not_enough_cash", message, free, command.lamports))
        for move in gathered(kernel.state, kernel.valuer.routing, command.key, command.lamports):
            kernel.emit(move)
        self._take_out(command.key, command.lamports, command.reason, MAIN)
        return Outcome(f"{sol_text(command.lamports)} SOL went out. Open positions and limits are not touched.")

    def _take_out(self, key: str, lamports: int, reason: str, wallet: str) -> None:
        kernel = self._kernel
        left = lamports
        cash = {name: kernel.valuer.free_lamports(name) for name in kernel.state.ledger.buckets}
        for bucket in sorted(cash, key=lambda name: (-cash[name], name)):
            part = min(left, cash[bucket])
            if part > 0:
                where = (kernel.state.now_ns, bucket, part)
                kernel.emit(events.CapitalWithdrawn(f"{key}/{bucket}", *where, reason, wallet))
                left -= part

    def _use_wallets(self, command: commands.UseWallets) -> Outcome:
        kernel = self._kernel
        state = kernel.state
        before = {} if state.wallets is None else dict(state.wallets.wallets)
        named = {each.name for each in command.wallets}
        for name, wallet in before.items():
            if name not in named and wallet.lamports > 0:
                self._take_out(f"{command.key}/{name}", wallet.lamports, f"the wallet {name!r} left the desk", name)
        kernel.emit(events.WalletsNamed(state.now_ns, command.wallets))
        for each in command.wallets:
            if each.name not in before and each.name != MAIN and each.lamports:
                key = f"{command.key}/{each.name}"
                self._bring_in(key, each.lamports, f"the wallet {each.name!r} joined the desk", each.name)
        return Outcome(f"The desk trades with {len(named)} wallets. Open positions are not touched.")

    def _hold_wallet(self, command: commands.HoldWallet) -> Outcome:
        if command.problem:
            return Outcome(f"The wallet {command.wallet!r} is left alone; the others go on.")
        return Outcome(f"The wallet {command.wallet!r} trades again.")

    def _give_situations(self, command: commands.GiveSituations) -> Outcome:
        return Outcome(
            f"{len(command.situations)} situations of earlier runs can be recalled from when they were known."
        )

    def _place(self, command: commands.PlaceOrder) -> Outcome:
        plan, *others = self._kernel.trader.place(command, self._kernel.valuer.value())
        if isinstance(plan.verdict, Denied):
            return Outcome("No order was sent.", denied=plan.verdict, plan=plan)
        orders = (plan.order, *(each.order for each in others))
        return Outcome("The order is filled at the next price of the token.", orders, plan=plan)

    def _set_target(self, command: commands.SetTarget) -> Outcome:
        return Outcome(f"The target is {sol_text(command.lamports)} SOL. Open positions are not touched.")

    def _switch_profile(self, command: commands.SwitchProfile) -> Outcome:
        kernel = self._kernel
        before, after = kernel.state.profile, _profile_of(command)
        found = changes(before, after)
        if (before.name, found) == (after.name, ()):
            return Outcome(f"The desk trades under {after.name} already; nothing has changed.")
        risks = riskier(before, after) if command.actor.startswith(commands.AGENT) else ()
        if risks:
            told = ", ".join(f"{each.field} {each.before or 'none'} -> {each.after or 'none'}" for each in risks)
            message = f"{after.name} may risk more than {before.name}, which is the operator's to decide: {told}"
            return Outcome("The profile stays as it is.", denied=Denied("riskier_profile", message))
        self._use_profile(after, command.reason)
        fund_strategies(kernel.state, kernel.valuer, weights_of(before), command.key, kernel.emit)
        return Outcome(
            f"From {before.name} to {after.name}, {len(found)} fields changed. Open positions are managed by its exit "
            "rules from now on."
        )

    def _use_profile(self, after: Profile, reason: str) -> None:
        kernel, content = self._kernel, content_of(after)
        before = kernel.state.profile
        found, sha256 = changes(before, after), sha256_of(content)
        kernel.emit(
            events.ProfileSwitched(kernel.state.now_ns, before.name, after.name, reason, content, sha256, found)
        )
        kernel.switch_profile(after)

    def _promote(self, command: commands.PromoteStrategy) -> Outcome:
        kernel, state = self._kernel, self._kernel.state
        denied = refusal(state, kernel.setup.mode, command)
        if denied is not None:
            return Outcome("The strategy stays as it is.", denied=denied)
        name, standing = command.strategy, state.promotions.of(command.strategy)
        after = with_candidate(state.profile, command)
        if after != state.profile:
            self._use_profile(after, f"{command.candidate} is promoted to {command.stage.value}")
        goes_on = standing is not None and standing.candidate == command.candidate
        before = standing.stage if standing is not None and goes_on else Stage.CANDIDATE
        valuation = kernel.valuer.value()
        kernel.emit(
            events.StrategyPromoted(
                ts_ns=state.now_ns,
                strategy=name,
                candidate=command.candidate,
                before=before,
                stage=command.stage,
                terms=command.terms,
                gates=command.gates,
                capital_lamports=capital_of(state, kernel.valuer, valuation).get(name, 0),
                base_lamports=worth_lamports(state, kernel.valuer, valuation, name),
                reason=f"{command.actor}: {command.reason}",
            )
        )
        return Outcome(
            f"{name} trades with the parameters of {command.candidate} ({command.stage.value}). Open positions stay "
            "and are managed by their exit rules."
        )

    def _demote(self, command: commands.DemoteStrategy) -> Outcome:
        state, name = self._kernel.state, command.strategy
        standing = state.promotions.of(name)
        if standing is None or standing.stage is Stage.DEMOTED:
            message = f"no candidate of {name} is promoted here; reduce-only --level strategy:{name} stops its entries"
            return Outcome("Nothing was demoted.", denied=Denied("nothing_promoted", message))
        reason = f"{command.actor}: {command.reason}"
        where = (state.now_ns, name, standing.candidate, standing.stage)
        self._kernel.emit(events.StrategyDemoted(*where, (), reason))
        return Outcome(f"{name} enters nothing any more. Its open positions are managed by their exit rules.")

    def _book_flow(self, command: commands.BookFlow) -> Outcome:
        for event in events_of(command.key, self._kernel.state.now_ns, command.steps):
            if isinstance(event, events.WalletMoved):
                self._kernel.emit(event)
            else:
                self._kernel.book(event, command.reason)
        return Outcome("What happened on the chain is in the books. Open positions are managed by their exit rules.")

    def _move_capital(self, command: commands.MoveCapital) -> Outcome:
        kernel = self._kernel
        free = kernel.valuer.free_lamports(command.from_bucket)
        if command.lamports > free:
            message = f"bucket {command.from_bucket!r} has {sol_text(max(0, free))} SOL in cash"
            return Outcome("Nothing was moved.", denied=Denied("not_enough_cash", message, free, command.lamports))
        kernel.emit(
            events.CapitalMoved(
                command.key,
                kernel.state.now_ns,
                command.from_bucket,
                command.to_bucket,
                command.lamports,
                command.reason,
            )
        )
        return Outcome("Cash was moved between buckets. Open positions are not touched.")


def _profile_of(command: commands.SwitchProfile) -> Profile:
    """Return the profile that the command means. Raises: InvalidInput."""
    if not command.content:
        return profile_named(command.profile)
    try:
        profile = profile_of(command.content)
    except DataError as error:
        raise InvalidInput(error.message, field="profile") from error
    if profile.name != command.profile:
        msg = f"profile: the command names {command.profile!r}, its content {profile.name!r}"
        raise InvalidInput(msg, field="profile")
    return profile


def _require_readable(command: commands.Command) -> None:
    """Raises InvalidInput for a command that its journal row could not give back: it would bar every later start."""
    try:
        is_readable = decode(*encode(command)) == command
    except (DataError, TypeError):
        is_readable = False
    if not is_readable:
        msg = f"{type(command).__name__}: a field has a value of the wrong type: {command}"
        raise InvalidInput(msg, field="command")


def _require_whole(command: commands.GiveSituations) -> None:
    for each in command.situations:
        try:
            levels = levels_of(each.situation.vector)
        except ValueError as error:
            msg = f"situation {each.situation.id}: {error}"
            raise InvalidInput(msg, field="situations") from error
        if each.situation.version == VERSION and len(levels) != DIMENSIONS:
            msg = f"situation {each.situation.id}: {DIMENSIONS} levels, not {len(levels)}"
            raise InvalidInput(msg, field="situations")
