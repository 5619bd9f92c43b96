"""What is owed to the chain, in ``execution.db``: the body of ``ports.ExecutionJournal``.

The states are columns and the record is append-only rows, both of one transaction. Whoever opens the file last is the
only one who may write: an older process finds a newer epoch and stops.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from trading.errors import IllegalTransition, InvalidInput, JournalUnavailable
from trading.model.chain import AbsenceProof, StatusSeen
from trading.model.intent import (
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
from .execution_schema import STEPS, attempts, fence, home, intents, record, wallets
from .instance import InstanceFile
from .sqlite import open_engine, translating, writing

_UNFINISHED: Final = (
    IntentState.OPEN,
    IntentState.WAITING,
    IntentState.SIGNED,
    IntentState.LANDED,
    IntentState.NEEDS_REVIEW,
)
_ALIVE: Final = (AttemptState.SIGNED.value, AttemptState.LANDED.value)
# Statements on the way of every order, built once: building one takes longer than running it.
_EPOCH: Final = sa.select(fence.c.epoch)
_BY_ID: Final = sa.select(intents).where(intents.c.id == sa.bindparam("wanted"))
_BY_KEY: Final = sa.select(intents).where(intents.c.key == sa.bindparam("wanted"))
_PROBLEM_OF_WALLET: Final = sa.select(wallets.c.problem).where(wallets.c.wallet == sa.bindparam("of_wallet"))
_BEFORE_OPENING: Final = sa.select(
    sa.select(home.c.problem).scalar_subquery(),
    _PROBLEM_OF_WALLET.scalar_subquery(),
    sa.select(sa.func.coalesce(sa.func.max(intents.c.number), 0) + 1).scalar_subquery(),
)
_HALTED: Final = sa.select(wallets.c.wallet, wallets.c.problem).where(wallets.c.problem != "")
_MOVE: Final = sa.update(intents).where(intents.c.id == sa.bindparam("wanted")).values(state=sa.bindparam("to_state"))
_NEW_INTENT: Final = sa.insert(intents)
_NEW_ATTEMPT: Final = sa.insert(attempts)
_NEW_RECORD: Final = sa.insert(record)


class SqlExecutionJournal:
    """Made by ``SqlExecutionJournal.at(path, now_ns)``; any thread may call it, one at a time gets in."""

    def __init__(self, engine: sa.Engine, path: Path, now_ns: Callable[[], int], epoch: int) -> None:
        self._engine = engine
        self.path = path
        self._now_ns = now_ns
        self._epoch = epoch
        self._lock = threading.Lock()

    @classmethod
    def at(cls, path: Path, now_ns: Callable[[], int], instance: InstanceFile | None = None) -> "SqlExecutionJournal":
        """Open or make the journal and shut out whoever had it open before.

        With ``instance`` one that is not of this directory takes no new intent, and every wallet that it knows is
        halted, until ``accept`` and ``release``.
        """
        engine = open_engine(path, STEPS, connections=1)
        with translating(path), writing(engine) as connection:
            connection.execute(sa.update(fence).values(epoch=fence.c.epoch + 1))
            epoch = int(connection.execute(sa.select(fence.c.epoch)).scalar_one())
        found = cls(engine, path, now_ns, epoch)
        if instance is not None:
            found._bind(instance)
        return found

    def _bind(self, instance: InstanceFile) -> None:
        """Notice a journal that is not of this directory, and make it of this directory."""
        with self._writing() as connection:
            bound = connection.execute(sa.select(home.c.instance)).scalar_one()
            is_used = connection.execute(sa.select(record.c.seq).limit(1)).first() is not None
            problem = instance.problem(bound, self._epoch - 1, is_used=is_used)
            own = instance.renewed(is_problem=bool(problem))
            connection.execute(sa.update(home).values(instance=own))
            if problem:
                connection.execute(sa.update(home).values(problem=problem))
                self._note(connection, "", "", "moved", {"problem": problem})
                known = sa.union(sa.select(intents.c.wallet), sa.select(wallets.c.wallet))
                for wallet in connection.execute(known).scalars().all():
                    self._halt(connection, wallet, f"the journal is not of this place: {problem}", {})
        with translating(self.path):
            instance.write(own, self._epoch)

    @property
    def problem(self) -> str:
        """Why the journal as a whole is not to be trusted, "" where it is."""
        with self._reading() as connection:
            return str(connection.execute(sa.select(home.c.problem)).scalar_one())

    def accept(self, actor: str, reason: str) -> None:
        """Take intents again after a person has looked: the journal is of this place from now on. Wallets that were
        halted for it are released one by one. Raises: InvalidInput where there is nothing to accept, or no reason."""
        with self._writing() as connection:
            problem = connection.execute(sa.select(home.c.problem)).scalar_one()
            if not problem or not reason.strip():
                msg = "the journal is of this place already" if reason.strip() else "reason: say what was looked at"
                raise InvalidInput(msg, field="reason")
            connection.execute(sa.update(home).values(problem=""))
            self._note(connection, "", "", "accepted", {"actor": actor, "reason": reason, "problem": problem})

    def open(self, intent: Intent) -> IntentRecord:
        _check(intent)
        # The order behind it is durable in the desk's own journal, and carried again under the same key should this
        # row be lost with the power. Before anything is sent, the sync of its signed bytes covers it too.
        with self._writing(syncs_later=True) as connection:
            known = found_record(connection, _BY_KEY, intent.key)
            if known is not None:
                _same_wish(known.intent, intent)
                return known
            problem, halted, number = connection.execute(_BEFORE_OPENING, {"of_wallet": intent.wallet}).one()
            if problem:
                msg = f"{self.path}: {problem}"
                raise InvalidInput(msg, field="wallet", hint="`memmcp-trade review` shows what waits for an answer")
            if halted:
                msg = f"wallet {intent.wallet} is halted: {halted}"
                raise InvalidInput(msg, field="wallet", hint="`memmcp-trade review` shows what waits for an answer")
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

    def record(self, intent_id: str) -> IntentRecord:
        with self._reading() as connection:
            return _known(connection, intent_id)

    def by_key(self, key: str) -> IntentRecord | None:
        with self._reading() as connection:
            return found_record(connection, _BY_KEY, key)

    def of_keys(self, prefix: str, limit: int) -> Sequence[IntentRecord]:
        # The last code point: whatever begins with the prefix sorts before the prefix with it.
        wanted = sa.and_(intents.c.key >= prefix, intents.c.key < prefix + "\U0010ffff")
        newest = sa.select(intents.c.id).where(wanted).order_by(intents.c.number.desc()).limit(limit)
        with self._reading() as connection:
            return [_known(connection, each) for each in connection.execute(newest).scalars().all()]

    def unfinished(self) -> Sequence[IntentRecord]:
        wanted = intents.c.state.in_([state.value for state in _UNFINISHED])
        with self._reading() as connection:
            ids = connection.execute(sa.select(intents.c.id).where(wanted).order_by(intents.c.number)).scalars().all()
            return [_known(connection, each) for each in ids]

    def page(self, before: int | None, limit: int) -> Sequence[tuple[int, IntentRecord]]:
        """Return the newest intents with a number below ``before``, each with its number, newest first."""
        query = sa.select(intents.c.number, intents.c.id).order_by(intents.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(intents.c.number < before)
        with self._reading() as connection:
            return [(number, _known(connection, each)) for number, each in connection.execute(query).all()]

    def states(self) -> Mapping[str, int]:
        """Return how many intents are in each state, and as ``attempts_expired`` how many attempts no block took."""
        expired = sa.select(sa.func.count()).where(attempts.c.state == AttemptState.EXPIRED.value)
        with self._reading() as connection:
            found = connection.execute(sa.select(intents.c.state, sa.func.count()).group_by(intents.c.state)).all()
            return {str(state): int(count) for state, count in found} | {
                "attempts_expired": int(connection.execute(expired).scalar_one())
            }

    @property
    def epoch(self) -> int:
        """How often the journal was opened: only whoever opened it last may write."""
        return self._epoch

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
        with self._step(attempt.intent_id, IntentState.SIGNED) as (connection, known):
            if known.is_cancel_asked:
                msg = f"intent {attempt.intent_id}: it was asked to be cancelled, so nothing more is signed for it"
                raise IllegalTransition(msg)
            of_wallet = {"of_wallet": known.intent.wallet}
            halted = connection.execute(_PROBLEM_OF_WALLET, of_wallet).scalar_one_or_none()
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
            known = _known(connection, intent_id)
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
            known = _known(connection, intent_id)
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
            _wallet_row(connection, wallet)
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

    @contextmanager
    def _step(
        self, intent_id: str, to: IntentState, since: IntentState | None = None
    ) -> Iterator[tuple[sa.Connection, IntentRecord]]:
        """Move an intent, and let the caller write what belongs to it. ``since``: the only state it may be in."""
        with self._writing() as connection:
            known = _known(connection, intent_id)
            if (known.state, to) not in INTENT_STEPS or (since is not None and known.state is not since):
                msg = f"intent {intent_id} is {known.state.value}: it cannot become {to.value}"
                raise IllegalTransition(msg)
            connection.execute(_MOVE, {"wanted": intent_id, "to_state": to.value})
            yield connection, known

    def _halt(self, connection: sa.Connection, wallet: str, problem: str, evidence: Mapping[str, Any]) -> None:
        _wallet_row(connection, wallet)
        connection.execute(sa.update(wallets).where(wallets.c.wallet == wallet).values(problem=problem))
        self._note(connection, wallet, "", "halted", {"problem": problem, "evidence": dict(evidence)})

    def _note(self, connection: sa.Connection, wallet: str, intent_id: str, kind: str, body: Mapping[str, Any]) -> None:
        row = {"ts_ns": self._now_ns(), "wallet": wallet, "intent_id": intent_id, "kind": kind}
        connection.execute(_NEW_RECORD, {**row, "body": canonical_json(body)})

    @contextmanager
    def _writing(self, *, syncs_later: bool = False) -> Iterator[sa.Connection]:
        """``syncs_later``: what is written outlives the process at once, and the machine from the next commit on."""
        with self._lock, translating(self.path), writing(self._engine, syncs_later=syncs_later) as connection:
            if connection.execute(_EPOCH).scalar_one() != self._epoch:
                msg = f"{self.path} was opened by another process since: this one may not write any more"
                raise JournalUnavailable(msg, hint="stop this process; one desk works for a wallet at a time")
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with translating(self.path), self._engine.connect() as connection, connection.begin():
            yield connection


def _check(intent: Intent) -> None:
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
    if bool(intent.accounts) is not is_closing or bool(intent.to_address) is not (intent.kind is IntentKind.SWEEP):
        msg = f"kind: {intent.kind.value} with {len(intent.accounts)} accounts and the address {intent.to_address!r}"
        raise InvalidInput(msg, field="kind")


def _same_wish(known: Intent, given: Intent) -> None:
    for name in ("wallet", "in_mint", "out_mint", "amount_in", "min_out", "is_exit", "kind", "to_address", "accounts"):
        if getattr(known, name) != getattr(given, name):
            msg = f"key {given.key} stands for intent {known.id} with {name} {getattr(known, name)}"
            raise InvalidInput(msg, field="key", hint="a repeat names the same wish; a new wish takes a new key")


def _known(connection: sa.Connection, intent_id: str) -> IntentRecord:
    found = found_record(connection, _BY_ID, intent_id)
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


def _wallet_row(connection: sa.Connection, wallet: str) -> None:
    connection.execute(sa.insert(wallets).prefix_with("OR IGNORE"), {"wallet": wallet, "problem": ""})


def review_queue(path: Path) -> tuple[int, tuple[str, ...]]:
    """Return how many intents need review and which wallets are halted, shutting nobody out of the journal.

    Raises: JournalUnavailable where the file is none of ours; (0, ()) where there is none.
    """
    if not path.is_file():
        return 0, ()
    engine = open_engine(path, STEPS, connections=1)
    try:
        with translating(path), engine.connect() as connection:
            waiting = sa.select(sa.func.count()).where(intents.c.state == IntentState.NEEDS_REVIEW.value)
            stopped = sa.select(wallets.c.wallet).where(wallets.c.problem != "").order_by(wallets.c.wallet)
            return int(connection.execute(waiting).scalar_one()), tuple(connection.execute(stopped).scalars())
    finally:
        engine.dispose()
