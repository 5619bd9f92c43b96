"""What waits for a person: each with its evidence and the answers that are allowed. Anything else goes on by itself.

What became of an intent is never taken from a person: before an answer about one is carried out, every endpoint of the
chain is asked again.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio.to_thread

from trading.adapters.canonical import parse_json
from trading.errors import InvalidInput
from trading.execution.looking_again import Finding, Look, Witnesses, look_again
from trading.model.intent import IntentKind, IntentRecord, IntentState
from trading.ports import ExecutionJournal

from .documents import Document, iso

EVENTS_AT_ONCE: Final = 1_000
EVIDENCE_MAX: Final = 20
RELEASE, ACCEPT, GIVE_UP, LOOK = "release", "accept", "failed", "look"
EVM_SWAP, EVM_ACCOUNT = "evm/", "evm-account/"
"""How items begin that are of the account on an EVM chain (``evm_reviewing``)."""

_REFUSED: Final[Mapping[Finding, str]] = {
    Finding.AGREES: "the chain says that it happened as it was signed",
    Finding.DIFFERS: "it still did not do what was signed",
    Finding.UNCLEAR: "too few endpoints say so, or they do not agree",
}
_HINTS: Final[Mapping[Finding, str]] = {
    Finding.AGREES: f"answer {LOOK}: it is booked then",
    Finding.DIFFERS: f"compare the evidence, then answer {GIVE_UP}: nothing of it is booked then",
    Finding.UNCLEAR: "wait until more endpoints answer, or configure others, and look again",
}


class MovedJournal(ExecutionJournal, Protocol):
    """An execution journal that knows whether it is of this place."""

    @property
    def problem(self) -> str: ...

    def accept(self, actor: str, reason: str) -> None: ...

    def looked(self, intent_id: str, actor: str, reason: str, evidence: Sequence[str]) -> None: ...


class LiveReview:
    """What waits at a desk with real money, and the answers to it. ``answered`` hears of a wallet that goes on."""

    def __init__(self, journal: MovedJournal, chain: Witnesses, answered: Callable[[str], Awaitable[None]]) -> None:
        self._journal = journal
        self._chain = chain
        self._answered = answered

    async def waiting(self) -> list[Document]:
        return await anyio.to_thread.run_sync(execution_items, self._journal)

    async def answer(self, item: str, given: str, actor: str, reason: str) -> None:
        """Carry out an answer, and let go on what waited for it.

        Raises: InvalidInput for an item that does not wait, an answer that it does not allow or that the chain does not
        bear out, or no reason; ChainUnavailable where nobody can be asked about an intent.
        """
        require_allowed(await self.waiting(), item, given, reason)
        kind, _, name = item.partition("/")
        if kind == "intent":
            known = await anyio.to_thread.run_sync(self._journal.record, name)
            look = await look_again(known, self._chain)
            await anyio.to_thread.run_sync(conclude, self._journal, known, look, Answered(given, actor, reason))
            await self._answered(known.intent.wallet)
            return
        await anyio.to_thread.run_sync(answer, self._journal, item, given, actor, reason)
        if given == RELEASE:
            await self._answered(name)


@dataclass(frozen=True, slots=True)
class Answered:
    """What a person said, who it was, and why."""

    given: str
    actor: str
    reason: str


def conclude(journal: MovedJournal, known: IntentRecord, look: Look, said: Answered) -> None:
    """Settle or end an intent as the chain bears it out; else note what was seen.

    Raises: InvalidInput where it goes on waiting.
    """
    intent_id = known.intent.id
    journal.looked(intent_id, said.actor, f"{said.given}: {said.reason}", look.evidence)
    if look.finding is Finding.AGREES and said.given == LOOK:
        assert look.settlement is not None
        journal.settled(look.settlement)
    elif look.finding is Finding.ABSENT or (look.finding is Finding.DIFFERS and said.given == GIVE_UP):
        why = f"{said.actor}: {said.reason} (the chain: {'; '.join(look.evidence)})"
        journal.ended(intent_id, IntentState.FAILED, why)
    else:
        msg = f"answer: {_REFUSED[look.finding]}: {'; '.join(look.evidence) or 'nothing of it was signed'}"
        raise InvalidInput(msg, field="answer", hint=_HINTS[look.finding])


def desk_items(snapshot: Mapping[str, Any]) -> list[Document]:
    """Return what waits in a wire.TradingSnapshot: a desk that does not trade, and a feed that says nothing."""
    found = []
    if snapshot["state"] != "ACTIVE" or not snapshot["entries_allowed"]:
        what = "is HALTED" if snapshot["state"] == "HALTED" else "enters nothing"
        found.append(
            item_document(
                "desk",
                f"the desk {what}",
                [f"state {snapshot['state']}: {snapshot['state_reason']}"],
                ["memmcp-trade resume --reason 'the cause, and why it is over'"],
            )
        )
    feed = snapshot["feed"]
    if feed["stale"]:
        age = "nothing was heard yet" if feed["age_s"] is None else f"the newest event is {feed['age_s']:.0f} s old"
        found.append(item_document("feed", "the feed is stale", [age, feed["detail"]], []))
    return found


def order_items(waiting_orders: Sequence[Mapping[str, Any]]) -> list[Document]:
    """Return wire.WaitingOrder documents as what waits for a person."""
    return [
        item_document(
            f"order/{each['order_id']}",
            f"an order waits for your approval until {each['expires_at']}",
            [each["sees"], f"approval {each['approval_id']}"],
            ["approve or refuse it in the page, under Approvals"],
        )
        for each in waiting_orders
    ]


def execution_items(journal: MovedJournal) -> list[Document]:
    """Return what waits in the journal of what is owed: the journal itself, intents, then wallets."""
    told = _told(journal)
    found = []
    problem = journal.problem
    if problem:
        evidence = [problem, *told.get(("", ""), [])]
        found.append(item_document("journal", "the journal is not of this place", evidence, [ACCEPT]))
    waiting = [each for each in journal.unfinished() if each.state is IntentState.NEEDS_REVIEW]
    for known in waiting:
        evidence = [known.problem, *_attempts(known), *told.get((known.intent.wallet, known.intent.id), [])]
        found.append(item_document(f"intent/{known.intent.id}", _swap(known), evidence, [LOOK, GIVE_UP]))
    blocked = {known.intent.wallet for known in waiting}
    for wallet, why in sorted(journal.halted().items()):
        # While an intent of it waits, releasing it would be refused.
        answers = [] if wallet in blocked or problem else [RELEASE]
        found.append(
            item_document(f"wallet/{wallet}", f"wallet {wallet} is halted", [why, *told.get((wallet, ""), [])], answers)
        )
    return found


def require_allowed(waiting: Sequence[Document], item: str, given: str, reason: str) -> None:
    """Raises: InvalidInput for an item that does not wait, an answer that it does not allow, or no reason."""
    allowed = {each["id"]: each["answers"] for each in waiting}
    if given not in allowed.get(item, ()):
        told = ", ".join(allowed.get(item, ())) or "nothing now"
        msg = f"answer: {item} allows {told}" if item in allowed else f"item: {item} does not wait for an answer"
        raise InvalidInput(msg, field="answer" if item in allowed else "item")
    if not reason.strip():
        msg = "reason: say what was looked at"
        raise InvalidInput(msg, field="reason")


def answer(journal: MovedJournal, item: str, given: str, actor: str, reason: str) -> None:
    """Carry out an answer about the journal or a wallet that waits. Raises: as ``require_allowed``."""
    require_allowed(execution_items(journal), item, given, reason)
    if given == ACCEPT:
        journal.accept(actor, reason)
    else:
        journal.release(item.partition("/")[2], actor, reason)


def _told(journal: ExecutionJournal) -> dict[tuple[str, str], list[str]]:
    """Return what the record says of each wallet and intent that was stopped, the newest first."""
    found: dict[tuple[str, str], list[str]] = {}
    after = 0
    while chunk := journal.events(after, EVENTS_AT_ONCE):
        after = chunk[-1].seq
        for event in chunk:
            if event.kind in {"halted", "needs_review", "moved", "looked"}:
                body = parse_json(event.body)
                said = body["problem"] if event.kind != "looked" else f"{body['actor']}, {body['reason']}"
                text = f"{iso(event.ts_ns)} {event.kind}: {said}"
                evidence = body.get("evidence")
                text += f" {evidence}" if evidence else ""
                lines = found.setdefault((event.wallet, event.intent_id), [])
                lines.insert(0, text)
                del lines[EVIDENCE_MAX:]
    return found


def _attempts(known: IntentRecord) -> list[str]:
    return [f"attempt {each.number} is {each.state.value}: {each.signature}" for each in known.attempts]


def _swap(known: IntentRecord) -> str:
    wish = known.intent
    if wish.kind is IntentKind.SWEEP:
        return f"{wish.amount_in} lamports to the cold address {wish.to_address} from {wish.wallet}"
    if wish.kind is IntentKind.CLOSE_ACCOUNTS:
        return f"{len(wish.accounts)} empty accounts of {wish.wallet} closed"
    if wish.kind is IntentKind.ROUND_TRIP:
        return f"{wish.amount_in} lamports for {wish.accounts[0].mint} and back in {wish.wallet}"
    return f"{wish.amount_in} of {wish.in_mint} for {wish.out_mint} in {wish.wallet}"


def item_document(item: str, what: str, evidence: list[str], answers: list[str]) -> Document:
    """Return a wire.WaitingItem."""
    return {"id": item, "what": what, "evidence": evidence, "answers": answers}
