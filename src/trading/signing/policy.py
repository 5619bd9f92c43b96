"""Whether a message may be signed, as one pure decision: every reason why not, in words to count by.

A message is a swap, a round trip that wins, a sweep to the cold address, or it closes empty accounts. A round trip is
held to all that a buy is, although its SOL comes back in the same transaction. A sale of a mandated token for SOL is
signed also after the arming ended: it only makes the desk safer. Everything else about it (wallet, fee, attempts, the
message itself) is checked as ever. Nothing is signed by a locked signer.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from trading.model.chain import SignWanted
from trading.model.intent import SOL_MINT, IntentKind
from trading.model.mandate import Mandate, Side

from .book import DAY_NS, ApprovalState, Arming, Book, Signed

CLOCK_SLACK_NS: Final = 5_000_000_000
"""How far the clock may stand behind the newest line of the record before it counts as set back."""
BLOCKHASH_BLOCKS: Final = 150
"""A blockhash is good for that many blocks; what is signed now can land no later, whatever its asker says."""


@dataclass(frozen=True, slots=True)
class HeightsSeen:
    """What the signer's own endpoints say: the lowest finalized block height, the highest confirmed one."""

    finalized: int
    confirmed: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """``refusals`` empty: it may be signed, and ``entry`` is to be written down before it is. ``entry`` None: this
    very message was signed before, so that nothing is counted twice."""

    refusals: tuple[str, ...]
    entry: Signed | None = None


def side_of(in_mint: str, out_mint: str) -> Side | None:
    """Return which side a swap is; None where SOL is on both or on neither."""
    if (in_mint == SOL_MINT) == (out_mint == SOL_MINT):
        return None
    return Side.BUY if in_mint == SOL_MINT else Side.SELL


def _side(wanted: SignWanted) -> Side | None:
    if wanted.kind is not IntentKind.ROUND_TRIP:
        return side_of(wanted.in_mint, wanted.out_mint)
    is_one = wanted.in_mint == wanted.out_mint == SOL_MINT and len(wanted.accounts) == 1
    return Side.BUY if is_one else None


def armed_problem(book: Book, now_ns: int, file_problem: str) -> str:
    """Return why buys are not armed, "" where they are. ``file_problem``: what is wrong with the mandate's file."""
    if book.arming is None:
        return "not_armed"
    if book.is_disarmed:
        return "disarmed"
    if file_problem:
        return "mandate_changed"
    if not book.arming.armed_ns - CLOCK_SLACK_NS <= now_ns < book.arming.ends_ns:
        return "arming_ended"
    return ""


def judge(wanted: SignWanted, book: Book, now_ns: int, file_problem: str, heights: HeightsSeen) -> Verdict:
    """Decide. ``heights`` are of the signer's own endpoints, not of the asker."""
    arming = book.arming
    if arming is None:
        return Verdict(("not_armed",))
    if now_ns < book.newest_ns - CLOCK_SLACK_NS:
        return Verdict(("clock_set_back",))
    if wanted.kind not in (IntentKind.SWAP, IntentKind.ROUND_TRIP):
        return _judge_upkeep(wanted, book, now_ns, file_problem, heights)
    side = _side(wanted)
    if side is None:
        return Verdict(("pair",))
    digest = hashlib.sha256(wanted.message).hexdigest()
    earlier = book.by_intent.get(wanted.intent_id, [])
    entry = _entry(wanted, arming, side, now_ns, heights)
    known = any(each.message_sha256 == digest for each in earlier)
    refusals = [*_bounds(wanted, arming.mandate, side), *_attempts(wanted, arming.mandate, earlier, digest, heights)]
    if known:
        return Verdict(tuple(refusals))
    if side is Side.BUY:
        problem = armed_problem(book, now_ns, file_problem)
        refusals += [problem] if problem else []
        refusals += _approval(wanted, arming.mandate, book, now_ns)
        refusals += _ramp(wanted, arming.mandate, book)
    refusals += _day(entry, arming.mandate, book, now_ns)
    return Verdict(tuple(refusals), entry)


def _judge_upkeep(wanted: SignWanted, book: Book, now_ns: int, file_problem: str, heights: HeightsSeen) -> Verdict:
    """A sweep, or accounts that are closed: only while armed, for it can wait until a person arms again."""
    arming = book.arming
    assert arming is not None
    mandate, digest = arming.mandate, hashlib.sha256(wanted.message).hexdigest()
    earlier = book.by_intent.get(wanted.intent_id, [])
    is_sweep = wanted.kind is IntentKind.SWEEP
    problem = armed_problem(book, now_ns, file_problem)
    wrong = {
        problem: bool(problem),
        "wallet": wanted.wallet not in mandate.wallets,
        "pair": wanted.in_mint != SOL_MINT or wanted.out_mint != SOL_MINT,
        "amount": wanted.last_valid_block_height <= 0 or (wanted.amount_in > 0) is not is_sweep,
        "cold_address": wanted.to_address != (mandate.cold_address if is_sweep else ""),
        "fee": not 0 <= wanted.fee_lamports_max <= mandate.fee_lamports_max,
    }
    refusals = [name for name, is_wrong in wrong.items() if is_wrong]
    refusals += _attempts(wanted, mandate, earlier, digest, heights)
    if any(each.message_sha256 == digest for each in earlier):
        return Verdict(tuple(refusals))
    entry = _entry(wanted, arming, None, now_ns, heights)
    swept = book.swept_since(now_ns - DAY_NS)
    if is_sweep and swept + entry.spent_lamports > mandate.sweep_day_lamports_max:
        refusals.append("sweep_day")
    if book.spent_since(now_ns - DAY_NS)[1] + entry.fee_lamports_max > mandate.fee_day_lamports_max:
        refusals.append("fee_day")
    return Verdict(tuple(refusals), entry)


def _bounds(wanted: SignWanted, mandate: Mandate, side: Side) -> list[str]:
    token = wanted.out_mint if side is Side.BUY else wanted.in_mint
    is_round_trip = wanted.kind is IntentKind.ROUND_TRIP
    if is_round_trip:
        token = wanted.accounts[0].mint
    wrong = {
        "wallet": wanted.wallet not in mandate.wallets,
        "mint": token not in mandate.mints,
        # A sale is never kept from leaving by a mandate that allows buys alone.
        "side": side is Side.BUY and side not in mandate.sides,
        "venue": bool(mandate.venues) and not (wanted.venues and set(wanted.venues) <= set(mandate.venues)),
        "amount": wanted.amount_in <= 0 or wanted.min_out <= 0 or wanted.last_valid_block_height <= 0,
        "round_trip_loses": is_round_trip and wanted.min_out <= wanted.amount_in + wanted.fee_lamports_max,
        "order_size": side is Side.BUY and wanted.amount_in > mandate.order_lamports_max,
        "fee": not 0 <= wanted.fee_lamports_max <= mandate.fee_lamports_max,
    }
    return [name for name, is_wrong in wrong.items() if is_wrong]


def _attempts(
    wanted: SignWanted, mandate: Mandate, earlier: list[Signed], digest: str, heights: HeightsSeen
) -> list[str]:
    """One intent has one wish, and one message that can land at a time."""
    refusals = []
    if earlier and not all(_same_wish(wanted, each) for each in earlier):
        refusals.append("intent_changed")
    others = [each for each in earlier if each.message_sha256 != digest]
    is_new = len(others) == len(earlier)
    if is_new and len(earlier) >= mandate.attempts_max:
        refusals.append("attempts")
    # An older message is signed again only as long as it is the newest: a later attempt exists because it was dead.
    if not is_new and earlier[-1].message_sha256 != digest:
        refusals.append("attempt_superseded")
    if is_new and any(heights.finalized <= each.alive_until for each in others):
        refusals.append("attempt_alive")
    return refusals


def _same_wish(wanted: SignWanted, earlier: Signed) -> bool:
    return (wanted.wallet, wanted.in_mint, wanted.out_mint, wanted.amount_in, wanted.kind, _what(wanted)) == (
        earlier.wallet,
        earlier.in_mint,
        earlier.out_mint,
        earlier.amount_in,
        earlier.kind,
        earlier.what,
    ) and wanted.min_out >= earlier.min_out


def _approval(wanted: SignWanted, mandate: Mandate, book: Book, now_ns: int) -> list[str]:
    if wanted.amount_in <= mandate.approval_above_lamports:
        return []
    good = (ApprovalState.APPROVED, ApprovalState.DONE)
    for each in book.all_approvals(now_ns):
        order = each.order
        if (
            each.state in good
            and now_ns < order.expires_ns
            and (order.intent_id, order.wallet) == (wanted.intent_id, wanted.wallet)
            and (order.in_mint, order.out_mint) == (wanted.in_mint, wanted.out_mint)
            and order.amount_in == wanted.amount_in
            and wanted.min_out >= order.min_out
            and wanted.fee_lamports_max <= order.fee_lamports_max
        ):
            return []
    return ["approval_missing"]


def _ramp(wanted: SignWanted, mandate: Mandate, book: Book) -> list[str]:
    is_small = wanted.amount_in <= mandate.ramp_lamports_max
    return [] if is_small or book.buys_of_arming() >= mandate.ramp_trades else ["ramp"]


def _day(entry: Signed, mandate: Mandate, book: Book, now_ns: int) -> list[str]:
    """Every message counts in full, also one whose attempt died: that it did is not for the asker to say."""
    spent, fees = book.spent_since(now_ns - DAY_NS)
    refusals = []
    if entry.spent_lamports and spent + entry.spent_lamports > mandate.day_lamports_max:
        refusals.append("day_size")
    if fees + entry.fee_lamports_max > mandate.fee_day_lamports_max:
        refusals.append("fee_day")
    return refusals


def _what(wanted: SignWanted) -> str:
    """Return where a sweep goes and what is closed; nothing for a swap, whose mints say it all."""
    return " ".join([wanted.to_address, *sorted(each.address for each in wanted.accounts)]).strip()


def _entry(wanted: SignWanted, arming: Arming, side: Side | None, now_ns: int, heights: HeightsSeen) -> Signed:
    return Signed(
        ts_ns=now_ns,
        arming=arming.number,
        intent_id=wanted.intent_id,
        wallet=wanted.wallet,
        in_mint=wanted.in_mint,
        out_mint=wanted.out_mint,
        amount_in=wanted.amount_in,
        min_out=wanted.min_out,
        fee_lamports_max=wanted.fee_lamports_max,
        spent_lamports=wanted.amount_in if side is Side.BUY or wanted.kind is IntentKind.SWEEP else 0,
        message_sha256=hashlib.sha256(wanted.message).hexdigest(),
        alive_until=max(wanted.last_valid_block_height, heights.confirmed + BLOCKHASH_BLOCKS + 1),
        side=side,
        kind=wanted.kind,
        what=_what(wanted),
    )
