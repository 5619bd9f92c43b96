"""What waits for a person: each with its evidence and the answers that are allowed. Anything else goes on by itself."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import anyio.to_thread

from trading.adapters.canonical import parse_json
from trading.errors import InvalidInput
from trading.model.intent import IntentRecord, IntentState
from trading.ports import ExecutionJournal

from .documents import Document, iso

EVENTS_AT_ONCE: Final = 1_000
EVIDENCE_MAX: Final = 20
RELEASE, ACCEPT, GIVE_UP = "release", "accept", "failed"


class MovedJournal(ExecutionJournal, Protocol):
    """An execution journal that knows whether it is of this place."""

    @property
    def problem(self) -> str: ...

    def accept(self, actor: str, reason: str) -> None: ...


class LiveReview:
    """What waits at a desk with real money, and the answers to it. ``answered`` hears of a wallet that trades again."""

    def __init__(self, journal: MovedJournal, answered: Callable[[str], Awaitable[None]]) -> None:
        self._journal = journal
        self._answered = answered

    async def waiting(self) -> list[Document]:
        return await anyio.to_thread.run_sync(execution_items, self._journal)

    async def answer(self, item: str, given: str, actor: str, reason: str) -> None:
        """Carry out an answer, and let go on what waited for it. Raises: as ``answer``."""
        await anyio.to_thread.run_sync(answer, self._journal, item, given, actor, reason)
        if given == RELEASE:
            await self._answered(item.partition("/")[2])


def desk_items(snapshot: Mapping[str, Any]) -> list[Document]:
    """Return what waits in a wire.TradingSnapshot: a desk that does not trade, and a feed that says nothing."""
    found = []
    if snapshot["state"] != "ACTIVE" or not snapshot["entries_allowed"]:
        what = "is HALTED" if snapshot["state"] == "HALTED" else "enters nothing"
        found.append(
            _item(
                "desk",
                f"the desk {what}",
                [f"state {snapshot['state']}: {snapshot['state_reason']}"],
                ["memmcp-trade resume --reason 'the cause, and why it is over'"],
            )
        )
    feed = snapshot["feed"]
    if feed["stale"]:
        age = "nothing was heard yet" if feed["age_s"] is None else f"the newest event is {feed['age_s']:.0f} s old"
        found.append(_item("feed", "the feed is stale", [age, feed["detail"]], []))
    return found


def execution_items(journal: MovedJournal) -> list[Document]:
    """Return what waits in the journal of what is owed: the journal itself, intents, then wallets."""
    told = _told(journal)
    found = []
    problem = journal.problem
    if problem:
        evidence = [problem, *told.get(("", ""), [])]
        found.append(_item("journal", "the journal is not of this place", evidence, [ACCEPT]))
    waiting = [each for each in journal.unfinished() if each.state is IntentState.NEEDS_REVIEW]
    for known in waiting:
        evidence = [known.problem, *_attempts(known), *told.get((known.intent.wallet, known.intent.id), [])]
        found.append(_item(f"intent/{known.intent.id}", _swap(known), evidence, [GIVE_UP]))
    blocked = {known.intent.wallet for known in waiting}
    for wallet, why in sorted(journal.halted().items()):
        # While an intent of it waits, releasing it would be refused.
        answers = [] if wallet in blocked or problem else [RELEASE]
        found.append(
            _item(f"wallet/{wallet}", f"wallet {wallet} is halted", [why, *told.get((wallet, ""), [])], answers)
        )
    return found


def answer(journal: MovedJournal, item: str, given: str, actor: str, reason: str) -> None:
    """Carry out an answer to an item that waits.

    Raises: InvalidInput for an item that does not wait, an answer that it does not allow, or no reason.
    """
    waiting = {each["id"]: each["answers"] for each in execution_items(journal)}
    if given not in waiting.get(item, ()):
        allowed = ", ".join(waiting.get(item, ())) or "nothing now"
        msg = f"answer: {item} allows {allowed}" if item in waiting else f"item: {item} does not wait for an answer"
        raise InvalidInput(msg, field="answer" if item in waiting else "item")
    if not reason.strip():
        msg = "reason: say what was looked at"
        raise InvalidInput(msg, field="reason")
    _, _, name = item.partition("/")
    if given == ACCEPT:
        journal.accept(actor, reason)
    elif given == RELEASE:
        journal.release(name, actor, reason)
    else:
        journal.ended(name, IntentState.FAILED, f"{actor}: {reason}")


def _told(journal: ExecutionJournal) -> dict[tuple[str, str], list[str]]:
    """Return what the record says of each wallet and intent that was stopped, the newest first."""
    found: dict[tuple[str, str], list[str]] = {}
    after = 0
    while chunk := journal.events(after, EVENTS_AT_ONCE):
        after = chunk[-1].seq
        for event in chunk:
            if event.kind in {"halted", "needs_review", "moved"}:
                body = parse_json(event.body)
                text = f"{iso(event.ts_ns)} {event.kind}: {body['problem']}"
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
    return f"{wish.amount_in} of {wish.in_mint} for {wish.out_mint} in {wish.wallet}"


def _item(item: str, what: str, evidence: list[str], answers: list[str]) -> Document:
    return {"id": item, "what": what, "evidence": evidence, "answers": answers}
