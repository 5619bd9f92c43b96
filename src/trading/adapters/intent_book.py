"""What every database that holds intents does alike: the steps of an intent, each one transaction with its record.

The states are columns and the record is append-only rows, both of one transaction. Whose the database is, and who may
write to it, is for the bodies to say: ``execution_journal`` (one desk, SQLite) and ``node_store`` (nodes, PostgreSQL).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa

from trading.errors import IllegalTransition, InvalidInput
from trading.model.chain import AbsenceProof, StatusSeen
from trading.model.intent import (
    FINAL_INTENTS,
    INTENT_STEPS,
    SOL_MINT,
    ApprovalAsked,
    Attempt,
    AttemptState,
    Intent,
    IntentEvent,
    IntentKind,
    IntentRecord,
    IntentState,
    Settlement,
)

from .canonical import canonical_json
from .execution_rows import body_of, found_record
from .execution_schema import attempts, intents, record, wallets

_UNFINISHED: Final = tuple(state.value for state in IntentState if state not in FINAL_INTENTS)
_ALIVE: Final = (AttemptState.SIGNED.value, AttemptState.LANDED.value)
# Statements on the way of every order, built once: building one takes longer than running it.
BY_ID: Final = sa.select(intents).where(intents.c.id == sa.bindparam("wanted"))
BY_KEY: Final = sa.select(intents).where(intents.c.key == sa.bindparam("wanted"))
_LOCKED_BY_ID: Final = BY_ID.with_for_update()  # SQLite leaves that out: its writers come one at a time anyway
PROBLEM_OF_WALLET: Final = sa.select(wallets.c.problem).where(wallets.c.wallet == sa.bindparam("of_wallet"))
_HALTED: Final = sa.select(wallets.c.wallet, wallets.c.problem).where(wallets.c.problem != "")
_MOVE: Final = sa.update(intents).where(intents.c.id == sa.bindparam("wanted")).values(state=sa.bindparam("to_state"))
_NEW_WALLET: Final = sa.text(
    "INSERT INTO wallets (wallet, problem) VALUES (:wallet, '') ON CONFLICT (wallet) DO NOTHING"
)
_NEW_INTENT: Final = sa.insert(intents)
_NEW_ATTEMPT: Final = sa.insert(attempts)
_NEW_RECORD: Final = sa.insert(record)


class IntentBook(ABC):
    """Body of ``ports.ExecutionJournal`` but for ``open`` and whoever may write: that is told by its subclasses."""

    def __init__(self, engine: sa.Engine, now_ns: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ns = now_ns

    @abstractmethod
    def _writing(self, *, signs: bool = False) -> AbstractContextManager[sa.Connection]:
        """Return a transaction for one who may write; ``signs``: bytes will leave on the strength of it."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[sa.Connection]: ...

    def _is_own(self) -> sa.ColumnElement[bool]:
        """Which intents are this book's."""
        return sa.true()

    @abstractmethod
    def _closed(self, connection: sa.Connection, known: IntentRecord, state: IntentState) -> None:
        """Hear, within the transaction, that an intent is final; ``known`` is how it stood before."""

    def record(self, intent_id: str) -> IntentRecord:
        with self._reading() as connection:
            return known_in(connection, intent_id)

    def by_key(self, key: str) -> IntentRecord | None:
        with self._reading() as connection:
            return found_record(connection, BY_KEY, key)

    def of_keys(self, prefix: str, limit: int) -> Sequence[IntentRecord]:
        # The last code point: whatever begins with the prefix sorts before the prefix with it.
        wanted = sa.and_(intents.c.key >= prefix, intents.c.key < prefix + "\U0010ffff")
        newest = sa.select(intents.c.id).where(wanted).order_by(intents.c.number.desc()).limit(limit)
        with self._reading() as connection:
            return [known_in(connection, each) for each in connection.execute(newest).scalars().all()]

    def unfinished(self) -> Sequence[IntentRecord]:
        wanted = sa.select(intents.c.id).where(intents.c.state.in_(_UNFINISHED), self._is_own())
        with self._reading() as connection:
            ids = connection.execute(wanted.order_by(intents.c.number)).scalars().all()
            return [known_in(connection, each) for each in ids]

    def page(self, before: int | None, limit: int) -> Sequence[tuple[int, IntentRecord]]:
        """Return the newest intents with a number below ``before``, each with its number, newest first."""
        query = sa.select(intents.c.number, intents.c.id).order_by(intents.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(intents.c.number < before)
        with self._reading() as connection:
            return [(number, known_in(connection, each)) for number, each in connection.execute(query).all()]

    def states(self) -> Mapping[str, int]:
        """Return how many intents are in each state, and as ``attempts_expired`` how many attempts no block took."""
        expired = sa.select(sa.func.count()).where(attempts.c.state == AttemptState.EXPIRED.value)
        with self._reading() as connection:
            found = connection.execute(sa.select(intents.c.state, sa.func.count()).group_by(intents.c.state)).all()
            return {str(state): int(count) for state, count in found} | {
                "attempts_expired": int(connection.execute(expired).scalar_one())
            }

    def approval_asked(self, intent_id: str, asked: ApprovalAsked) -> None:
        with self._step(intent_id, IntentState.WAITING) as (connection, known):
            body = asdict(asked)
            change = sa.update(intents).where(intents.c.id == intent_id).values(approval=canonical_json(body))
            connection.execute(change)
            self._note(connection, known.intent.wallet, intent_id, "approval_asked", body)

    def approval_given(self, intent_id: str) -> None:
        with self._step(intent_id, IntentState.OPEN, since=IntentState.WAITING) as (connection, known):
            assert known.approval is not None
            self._note(connection, known.intent.wallet, intent_id, "approval_given", asdict(known.approval))

    def signed(self, attempt: Attempt) -> None:
        body = asdict(attempt)
        raw = body.pop("raw")
        del body["state"]
        with self._step(attempt.intent_id, IntentState.SIGNED, signs=True) as (connection, known):
            if known.is_cancel_asked:
                msg = f"intent {attempt.intent_id}: it was asked to be cancelled, so nothing more is signed for it"
                raise IllegalTransition(msg)
            of_wallet = {"of_wallet": known.intent.wallet}
            halted = connection.execute(PROBLEM_OF_WALLET, of_wallet).scalar_one_or_none()
            if halted:
                msg = f"intent {attempt.intent_id}: its wallet is halted: {halted}"
                raise IllegalTransition(msg)
            if attempt.number != len(known.attempts) + 1:
                msg = f"intent {attempt.intent_id}: attempt {attempt.number} does not follow {len(known.attempts)}"
                raise IllegalTransition(msg)
            connection.execute(
                _NEW_ATTEMPT,
                {
                    "intent_id": attempt.intent_id,
                    "number": attempt.number,
                    "signature": attempt.signature,
                    "state": AttemptState.SIGNED.value,
                    "raw": raw,
                    "body": canonical_json(body),
                },
            )
            self._note(connection, known.intent.wallet, attempt.intent_id, "signed", body)

    def landed(self, intent_id: str, status: StatusSeen) -> None:
        with self._step(intent_id, IntentState.LANDED) as (connection, known):
            _move_alive(connection, intent_id, AttemptState.LANDED)
            seen = {"signature": status.signature, "slot": status.slot, "endpoint": status.endpoint}
            self._note(connection, known.intent.wallet, intent_id, "landed", seen)

    def vanished(self, intent_id: str, why: str) -> None:
        with self._step(intent_id, IntentState.SIGNED, since=IntentState.LANDED) as (connection, known):
            _move_alive(connection, intent_id, AttemptState.SIGNED)
            self._note(connection, known.intent.wallet, intent_id, "vanished", {"why": why})

    def expired(self, intent_id: str, proof: AbsenceProof) -> None:
        with self._step(intent_id, IntentState.OPEN, since=IntentState.SIGNED) as (connection, known):
            alive = known.alive
            if alive is None or alive.signature != proof.signature:
                msg = f"intent {intent_id}: the proof is about another transaction, {proof.signature}"
                raise IllegalTransition(msg)
            if any(height.block_height <= alive.last_valid_block_height for height in proof.heights):
                msg = f"intent {intent_id}: block {alive.last_valid_block_height} is not over for all who testify"
                raise IllegalTransition(msg)
            _move_alive(connection, intent_id, AttemptState.EXPIRED)
            self._note(connection, known.intent.wallet, intent_id, "expired", asdict(proof))

    def settled(self, settlement: Settlement) -> None:
        state = IntentState.REVERTED if settlement.error else IntentState.SETTLED
        with self._step(settlement.intent_id, state) as (connection, known):
            body = asdict(settlement)
            signature = connection.execute(
                sa.update(attempts)
                .where(attempts.c.intent_id == settlement.intent_id, attempts.c.signature == settlement.signature)
                .values(state=AttemptState(state.value).value)
            )
            if signature.rowcount != 1:
                msg = f"intent {settlement.intent_id}: {settlement.signature} is none of its attempts"
                raise IllegalTransition(msg)
            connection.execute(
                sa.update(intents)
                .where(intents.c.id == settlement.intent_id)
                .values(settlement=canonical_json(body), problem=settlement.error)
            )
            self._note(connection, known.intent.wallet, settlement.intent_id, state.value, body)

    def ended(self, intent_id: str, state: IntentState, problem: str) -> None:
        if state not in {IntentState.FAILED, IntentState.CANCELLED}:
            msg = f"intent {intent_id}: it ends as failed or cancelled, not as {state.value}"
            raise IllegalTransition(msg)
        with self._step(intent_id, state) as (connection, known):
            if known.alive is not None and known.state is not IntentState.NEEDS_REVIEW:
                msg = f"intent {intent_id}: attempt {known.alive.number} is not proven dead"
                raise IllegalTransition(msg)
            connection.execute(sa.update(intents).where(intents.c.id == intent_id).values(problem=problem))
            self._note(connection, known.intent.wallet, intent_id, state.value, {"problem": problem})

    def ask_to_cancel(self, intent_id: str) -> None:
        with self._writing() as connection:
            known = known_in(connection, intent_id, locks=True)
            if known.is_final or known.is_cancel_asked:
                return
            connection.execute(sa.update(intents).where(intents.c.id == intent_id).values(is_cancel_asked=True))
            self._note(connection, known.intent.wallet, intent_id, "cancel_asked", {})

    def needs_review(self, intent_id: str, problem: str, evidence: Mapping[str, Any]) -> None:
        with self._step(intent_id, IntentState.NEEDS_REVIEW) as (connection, known):
            connection.execute(sa.update(intents).where(intents.c.id == intent_id).values(problem=problem))
            body = {"problem": problem, "evidence": dict(evidence)}
            self._note(connection, known.intent.wallet, intent_id, "needs_review", body)
            self._halt(connection, known.intent.wallet, problem, {"intent_id": intent_id})

    def looked(self, intent_id: str, actor: str, reason: str, evidence: Sequence[str]) -> None:
        """Note what a person had looked up about an intent; nothing else changes."""
        with self._writing() as connection:
            known = known_in(connection, intent_id)
            body = {"actor": actor, "reason": reason, "evidence": list(evidence)}
            self._note(connection, known.intent.wallet, intent_id, "looked", body)

    def halt(self, wallet: str, problem: str, evidence: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            self._halt(connection, wallet, problem, evidence)

    def release(self, wallet: str, actor: str, reason: str) -> None:
        with self._writing() as connection:
            waiting = sa.select(intents.c.id).where(
                intents.c.wallet == wallet, intents.c.state == IntentState.NEEDS_REVIEW.value
            )
            first = connection.execute(waiting.order_by(intents.c.number).limit(1)).scalar_one_or_none()
            if first is not None:
                msg = f"wallet {wallet}: intent {first} still needs review"
                raise InvalidInput(msg, field="wallet", hint="answer it with `memmcp-trade review` first")
            connection.execute(sa.update(wallets).where(wallets.c.wallet == wallet).values(problem=""))
            self._note(connection, wallet, "", "released", {"actor": actor, "reason": reason})

    def halted(self) -> Mapping[str, str]:
        with self._reading() as connection:
            return {row.wallet: row.problem for row in connection.execute(_HALTED)}

    def reserved(self, wallet: str) -> Mapping[str, int]:
        held: dict[str, int] = {}
        for each in self.unfinished():
            if each.intent.wallet == wallet:
                held[each.intent.in_mint] = held.get(each.intent.in_mint, 0) + each.intent.amount_in
                held[SOL_MINT] = held.get(SOL_MINT, 0) + each.intent.fee_lamports_max
        return held

    def knows(self, signature: str) -> bool:
        query = sa.select(sa.literal(1)).where(attempts.c.signature == signature)
        with self._reading() as connection:
            return connection.execute(query).first() is not None

    def cursor(self, wallet: str) -> str | None:
        query = sa.select(wallets.c.cursor).where(wallets.c.wallet == wallet)
        with self._reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def swept(self, wallet: str, newest: str) -> None:
        with self._writing() as connection:
            connection.execute(_NEW_WALLET, {"wallet": wallet})
            connection.execute(sa.update(wallets).where(wallets.c.wallet == wallet).values(cursor=newest))

    def events(self, after: int = 0, limit: int = 1_000) -> Sequence[IntentEvent]:
        query = sa.select(record).where(record.c.seq > after).order_by(record.c.seq).limit(limit)
        with self._reading() as connection:
            return [IntentEvent(*row) for row in connection.execute(query)]

    def newest_event(self) -> int:
        """Return the number of the newest event, 0 where there is none."""
        with self._reading() as connection:
            return int(connection.execute(sa.select(sa.func.max(record.c.seq))).scalar_one() or 0)

    def close(self) -> None:
        self._engine.dispose()

    def _opened(self, connection: sa.Connection, intent: Intent, number: int) -> IntentRecord:
        """Write a new intent down, within the caller's transaction."""
        connection.execute(
            _NEW_INTENT,
            {
                "id": intent.id,
                "number": number,
                "key": intent.key,
                "wallet": intent.wallet,
                "state": IntentState.OPEN.value,
                "body": canonical_json(body_of(intent)),
                "problem": "",
                "is_cancel_asked": False,
            },
        )
        self._note(connection, intent.wallet, intent.id, "opened", body_of(intent))
        return IntentRecord(intent, IntentState.OPEN)

    @contextmanager
    def _step(
        self, intent_id: str, to: IntentState, since: IntentState | None = None, *, signs: bool = False
    ) -> Iterator[tuple[sa.Connection, IntentRecord]]:
        """Move an intent, and let the caller write what belongs to it. ``since``: the only state it may be in."""
        with self._writing(signs=signs) as connection:
            known = known_in(connection, intent_id, locks=True)
            if (known.state, to) not in INTENT_STEPS or (since is not None and known.state is not since):
                msg = f"intent {intent_id} is {known.state.value}: it cannot become {to.value}"
                raise IllegalTransition(msg)
            connection.execute(_MOVE, {"wanted": intent_id, "to_state": to.value})
            yield connection, known
            if to in FINAL_INTENTS:
                self._closed(connection, known, to)

    def _halt(self, connection: sa.Connection, wallet: str, problem: str, evidence: Mapping[str, Any]) -> None:
        connection.execute(_NEW_WALLET, {"wallet": wallet})
        connection.execute(sa.update(wallets).where(wallets.c.wallet == wallet).values(problem=problem))
        self._note(connection, wallet, "", "halted", {"problem": problem, "evidence": dict(evidence)})

    def _note(self, connection: sa.Connection, wallet: str, intent_id: str, kind: str, body: Mapping[str, Any]) -> None:
        row = {"ts_ns": self._now_ns(), "wallet": wallet, "intent_id": intent_id, "kind": kind}
        connection.execute(_NEW_RECORD, {**row, "body": canonical_json(body)})


def check_wish(intent: Intent) -> None:
    """Raises: InvalidInput for an intent that is none."""
    is_closing = intent.kind is IntentKind.CLOSE_ACCOUNTS
    for name in ("attempts_max", "min_out" if is_closing else "amount_in"):
        if getattr(intent, name) <= 0:
            msg = f"{name}: {getattr(intent, name)} is not above 0"
            raise InvalidInput(msg, field=name)
    for name in ("min_out", "slippage_bps_max", "fee_lamports_max", "leaves_lamports"):
        if getattr(intent, name) < 0:
            msg = f"{name}: {getattr(intent, name)} is below 0"
            raise InvalidInput(msg, field=name)
    if intent.kind is IntentKind.SWAP:
        if intent.in_mint == intent.out_mint:
            msg = f"out_mint: {intent.out_mint} is swapped for itself"
            raise InvalidInput(msg, field="out_mint")
    elif intent.in_mint != SOL_MINT or intent.out_mint != SOL_MINT:
        msg = f"in_mint: {intent.kind.value} moves SOL, not {intent.in_mint} for {intent.out_mint}"
        raise InvalidInput(msg, field="in_mint")
    if intent.kind is IntentKind.ROUND_TRIP and intent.min_out <= intent.amount_in + intent.fee_lamports_max:
        most = intent.amount_in + intent.fee_lamports_max
        msg = f"min_out: a round trip brings more than it may cost, which is {most}, not {intent.min_out}"
        raise InvalidInput(msg, field="min_out")
    names_accounts = is_closing or (intent.kind is IntentKind.ROUND_TRIP and len(intent.accounts) == 1)
    if bool(intent.accounts) is not names_accounts or bool(intent.to_address) is not (intent.kind is IntentKind.SWEEP):
        msg = f"kind: {intent.kind.value} with {len(intent.accounts)} accounts and the address {intent.to_address!r}"
        raise InvalidInput(msg, field="kind")


def same_wish(known: Intent, given: Intent) -> None:
    """Raises: InvalidInput where a key that is known comes with another wish."""
    for name in ("wallet", "in_mint", "out_mint", "amount_in", "min_out", "is_exit", "kind", "to_address", "accounts"):
        if getattr(known, name) != getattr(given, name):
            msg = f"key {given.key} stands for intent {known.id} with {name} {getattr(known, name)}"
            raise InvalidInput(msg, field="key", hint="a repeat names the same wish; a new wish takes a new key")


def known_in(connection: sa.Connection, intent_id: str, *, locks: bool = False) -> IntentRecord:
    """Return an intent; ``locks``: nobody else moves it until the transaction is over. Raises: InvalidInput."""
    found = found_record(connection, _LOCKED_BY_ID if locks else BY_ID, intent_id)
    if found is None:
        msg = f"intent_id: {intent_id!r} is not known"
        raise InvalidInput(msg, field="intent_id")
    return found


def _move_alive(connection: sa.Connection, intent_id: str, to: AttemptState) -> None:
    connection.execute(
        sa.update(attempts)
        .where(attempts.c.intent_id == intent_id, attempts.c.state.in_(_ALIVE))
        .values(state=to.value)
    )
