"""What is owed to an EVM chain, in ``evm.db``: the body of ``EvmJournal``. States are columns and the record is
append-only rows, both of one transaction. Whoever opens the file last is the only one who may write."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from trading.adapters.canonical import canonical_json, parse_json
from trading.adapters.sqlite import FencedFile
from trading.errors import IllegalTransition, InvalidInput
from trading.model.evm import (
    BURIED_LATER,
    EVM_STEPS,
    FINAL,
    HOLDS_NONCE,
    IN_FLIGHT,
    TOLD,
    EvmAttempt,
    EvmIntent,
    EvmKind,
    EvmRecord,
    EvmSettlement,
    EvmState,
    PoolKind,
    PoolRef,
    Receipt,
)

from .journal_schema import STEPS, accounts, attempts, fence, intents, record

EVENTS_MAX: Final = 1_000
_ENDS: Final = frozenset({EvmState.FAILED, EvmState.CANCELLED, EvmState.REPLACED})
_SETTLES: Final = frozenset({EvmState.CONFIRMED, EvmState.REVERTED, EvmState.CANCELLED})
_MAY_GIVE: Final = tuple(each.value for each in (HOLDS_NONCE | TOLD))


class SqlEvmJournal:
    """Made by ``SqlEvmJournal.at(path, now_ns)``; any thread may call it, one at a time gets in."""

    def __init__(self, file: FencedFile, now_ns: Callable[[], int]) -> None:
        self._file = file
        self._now_ns = now_ns

    @classmethod
    def at(cls, path: Path, now_ns: Callable[[], int]) -> "SqlEvmJournal":
        """Open or make the journal and shut out whoever had it open before. Raises: JournalUnavailable."""
        return cls(FencedFile(path, STEPS, fence.c.epoch, "and the transactions are owed by that one"), now_ns)

    @property
    def path(self) -> Path:
        return self._file.path

    def close(self) -> None:
        self._file.close()

    def open(self, intent: EvmIntent) -> EvmRecord:
        _check(intent)
        with self._file.writing() as connection:
            row = connection.execute(sa.select(intents.c.id).where(intents.c.key == intent.key)).scalar_one_or_none()
            if row is not None:
                known = _known(connection, row)
                if _wish(known.intent) != _wish(intent):
                    msg = f"key {intent.key} stands for another swap already"
                    raise InvalidInput(msg, field="key")
                return known
            problem = _problem(connection, intent.account)
            if problem:
                msg = f"account {intent.account} is halted: {problem}"
                raise InvalidInput(msg, field="account")
            highest = connection.execute(sa.select(sa.func.coalesce(sa.func.max(intents.c.number), 0))).scalar_one()
            row_body = {
                "id": intent.id,
                "number": highest + 1,
                "key": intent.key,
                "account": intent.account,
                "state": EvmState.OPEN.value,
                "body": canonical_json(_body(intent)),
                "problem": "",
                "is_cancel_asked": False,
                "is_buried": False,
            }
            connection.execute(sa.insert(intents), row_body)
            self._note(connection, intent.account, intent.id, "opened", _body(intent))
            return EvmRecord(intent, EvmState.OPEN)

    def record(self, intent_id: str) -> EvmRecord:
        with self._file.reading() as connection:
            return _known(connection, intent_id)

    def by_key(self, key: str) -> EvmRecord | None:
        with self._file.reading() as connection:
            found = connection.execute(sa.select(intents.c.id).where(intents.c.key == key)).scalar_one_or_none()
            return None if found is None else _known(connection, found)

    def unfinished(self, account: str) -> Sequence[EvmRecord]:
        is_under_way = intents.c.state.not_in([each.value for each in FINAL])
        is_watched = sa.and_(
            intents.c.state.in_([each.value for each in BURIED_LATER]),
            intents.c.block_number.is_not(None),
            intents.c.is_buried.is_(False),
        )
        wanted = sa.and_(intents.c.account == account, sa.or_(is_under_way, is_watched))
        with self._file.reading() as connection:
            found = connection.execute(sa.select(intents.c.id).where(wanted).order_by(intents.c.number)).scalars().all()
            return [_known(connection, each) for each in found]

    def accounts_under_way(self) -> frozenset[str]:
        """Return the accounts that have intents of which something can still come, or that wait for a person."""
        wanted = intents.c.state.not_in([each.value for each in (FINAL | BURIED_LATER)])
        with self._file.reading() as connection:
            return frozenset(connection.execute(sa.select(intents.c.account).where(wanted)).scalars())

    def signed(self, attempt: EvmAttempt) -> None:
        body = asdict(attempt)
        raw = body.pop("raw")
        with self._file.writing() as connection:
            known = _known(connection, attempt.intent_id)
            account = known.intent.account
            _require_may_sign(connection, known, attempt)
            if known.state is EvmState.OPEN:
                self._move(connection, known, EvmState.PENDING)
            values = {name: body[name] for name in ("intent_id", "number", "nonce", "tx_hash")}
            row = values | {"account": account, "raw": raw, "body": canonical_json(body)}
            connection.execute(sa.insert(attempts), row)
            self._note(connection, account, attempt.intent_id, "cancel_signed" if attempt.is_cancel else "signed", body)

    def landed(self, intent_id: str, receipt: Receipt) -> None:
        with self._step(intent_id, EvmState.LANDED) as (connection, known):
            if receipt.tx_hash not in {each.tx_hash for each in known.attempts}:
                msg = f"intent {intent_id}: {receipt.tx_hash} is none of its transactions"
                raise IllegalTransition(msg)
            where = {"block_number": receipt.block_number, "block_hash": receipt.block_hash}
            _set(connection, intent_id, where)
            self._note(connection, known.intent.account, intent_id, "landed", {"tx_hash": receipt.tx_hash, **where})

    def vanished(self, intent_id: str, why: str) -> None:
        with self._step(intent_id, EvmState.PENDING, since=EvmState.LANDED) as (connection, known):
            _set(connection, intent_id, {"block_number": None, "block_hash": None})
            self._note(connection, known.intent.account, intent_id, "vanished", {"why": why})

    def settled(self, intent_id: str, state: EvmState, settlement: EvmSettlement, problem: str) -> None:
        if state not in _SETTLES:
            msg = f"intent {intent_id}: it settles as confirmed, reverted or cancelled, not as {state.value}"
            raise IllegalTransition(msg)
        with self._step(intent_id, state, since=EvmState.LANDED) as (connection, known):
            body = asdict(settlement)
            _set(connection, intent_id, {"settlement": canonical_json(body), "problem": problem})
            self._note(connection, known.intent.account, intent_id, state.value, body | {"problem": problem})

    def finalized(self, intent_id: str) -> None:
        with self._file.writing() as connection:
            known = _known(connection, intent_id)
            if not known.is_watched:
                msg = f"intent {intent_id}: it is {known.state.value} and in no block that is waited for"
                raise IllegalTransition(msg)
            if known.state is EvmState.CONFIRMED:
                self._move(connection, known, EvmState.FINALIZED)
            _set(connection, intent_id, {"is_buried": True})
            self._note(connection, known.intent.account, intent_id, "finalized", {"state": known.state.value})

    def ended(self, intent_id: str, state: EvmState, problem: str) -> None:
        if state not in _ENDS:
            msg = f"intent {intent_id}: it ends as failed, cancelled or replaced, not as {state.value}"
            raise IllegalTransition(msg)
        with self._step(intent_id, state) as (connection, known):
            _set(connection, intent_id, {"problem": problem})
            self._note(connection, known.intent.account, intent_id, state.value, {"problem": problem})

    def needs_review(self, intent_id: str, problem: str) -> None:
        with self._step(intent_id, EvmState.NEEDS_REVIEW) as (connection, known):
            _set(connection, intent_id, {"problem": problem})
            account = known.intent.account
            self._note(connection, account, intent_id, "needs_review", {"problem": problem})
            self._halt(connection, account, problem)
            # What is in flight behind it has a later nonce: it waits, and a person answers in the order of nonces.
            for other in _ids(connection, account, IN_FLIGHT):
                why = f"intent {intent_id} before it needs review"
                self._move(connection, _known(connection, other), EvmState.NEEDS_REVIEW)
                _set(connection, other, {"problem": why})
                self._note(connection, account, other, "needs_review", {"problem": why})

    def answered(self, intent_id: str, state: EvmState, actor: str, reason: str) -> None:
        """Take a person's answer about an intent that needs review: PENDING, it goes on with its nonce; FINALIZED, it
        is over and booked by hand. The account stays halted until ``release``.

        Raises: InvalidInput without a reason, or where one with an earlier nonce waits or is in flight.
        """
        with self._step(intent_id, state, since=EvmState.NEEDS_REVIEW) as (connection, known):
            if not reason.strip():
                msg = "reason: say what was looked at"
                raise InvalidInput(msg, field="reason")
            for each in _ids(connection, known.intent.account, HOLDS_NONCE):
                if each != intent_id and _nonce(_known(connection, each)) < _nonce(known):
                    msg = f"intent {each} comes before it"
                    raise InvalidInput(msg, field="intent_id")
            _set(connection, intent_id, {"block_number": None, "block_hash": None, "settlement": None})
            body = {"actor": actor, "reason": reason, "state": state.value}
            self._note(connection, known.intent.account, intent_id, "answered", body)

    def ask_to_cancel(self, intent_id: str) -> None:
        with self._file.writing() as connection:
            known = _known(connection, intent_id)
            if known.state in FINAL or known.is_cancel_asked:
                return
            _set(connection, intent_id, {"is_cancel_asked": True})
            self._note(connection, known.intent.account, intent_id, "cancel_asked", {})

    def halt(self, account: str, problem: str) -> None:
        with self._file.writing() as connection:
            self._halt(connection, account, problem)

    def release(self, account: str, actor: str, reason: str) -> None:
        """Let an account sign again. Raises: InvalidInput while an intent of it needs review, or without a reason."""
        with self._file.writing() as connection:
            found = next(iter(_ids(connection, account, frozenset({EvmState.NEEDS_REVIEW}))), None)
            if found is not None or not reason.strip():
                why = "say what was looked at" if found is None else f"intent {found} still needs review"
                raise InvalidInput(why, field="account" if found else "reason")
            connection.execute(sa.update(accounts).where(accounts.c.account == account).values(problem=""))
            self._note(connection, account, "", "released", {"actor": actor, "reason": reason})

    def halted(self, account: str) -> str:
        with self._file.reading() as connection:
            return _problem(connection, account)

    def next_nonce(self, account: str) -> int | None:
        with self._file.reading() as connection:
            highest = _highest_nonce(connection, account)
            return None if highest is None else highest + 1

    def given(self, account: str, token: str, since_ns: int) -> int:
        wanted = sa.and_(intents.c.account == account, intents.c.state.in_(_MAY_GIVE))
        with self._file.reading() as connection:
            bodies = connection.execute(sa.select(intents.c.body).where(wanted)).scalars().all()
        found = [_intent(parse_json(each)) for each in bodies]
        return sum(
            each.amount_in
            for each in found
            if each.kind is EvmKind.SWAP and each.in_token == token and each.created_ns >= since_ns
        )

    def events(self, after: int = 0, limit: int = EVENTS_MAX) -> Sequence[tuple[int, str, str, Mapping[str, Any]]]:
        """Return lines of the record with a seq above ``after``: (seq, intent id, kind, body), oldest first."""
        query = sa.select(record).where(record.c.seq > after).order_by(record.c.seq).limit(min(limit, EVENTS_MAX))
        with self._file.reading() as connection:
            rows = connection.execute(query).all()
        return [(row.seq, row.intent_id, row.kind, parse_json(row.body)) for row in rows]

    @contextmanager
    def _step(
        self, intent_id: str, state: EvmState, *, since: EvmState | None = None
    ) -> Iterator[tuple[sa.Connection, EvmRecord]]:
        with self._file.writing() as connection:
            known = _known(connection, intent_id)
            if since is not None and known.state is not since:
                msg = f"intent {intent_id}: {known.state.value} is not {since.value}"
                raise IllegalTransition(msg)
            self._move(connection, known, state)
            yield connection, known

    def _move(self, connection: sa.Connection, known: EvmRecord, state: EvmState) -> None:
        if (known.state, state) not in EVM_STEPS:
            msg = f"intent {known.intent.id}: no step leads from {known.state.value} to {state.value}"
            raise IllegalTransition(msg)
        _set(connection, known.intent.id, {"state": state.value})

    def _halt(self, connection: sa.Connection, account: str, problem: str) -> None:
        if _problem(connection, account):
            return  # the first cause is the one to look at
        connection.execute(sa.delete(accounts).where(accounts.c.account == account))
        connection.execute(sa.insert(accounts), {"account": account, "problem": problem})
        self._note(connection, account, "", "halted", {"problem": problem})

    def _note(
        self, connection: sa.Connection, account: str, intent_id: str, kind: str, body: Mapping[str, Any]
    ) -> None:
        row = {"ts_ns": self._now_ns(), "account": account, "intent_id": intent_id, "kind": kind}
        connection.execute(sa.insert(record), row | {"body": canonical_json(body)})


def _require_may_sign(connection: sa.Connection, known: EvmRecord, attempt: EvmAttempt) -> None:
    """Raises: IllegalTransition where these bytes may not exist."""
    problem, highest = _problem(connection, known.intent.account), _highest_nonce(connection, known.intent.account)
    why = ""
    if known.state not in {EvmState.OPEN, EvmState.PENDING}:
        why = f"it is {known.state.value}"
    elif problem and not attempt.is_cancel:
        why = f"its account is halted: {problem}"
    elif attempt.number != len(known.attempts) + 1:
        why = f"attempt {attempt.number} does not follow {len(known.attempts)}"
    elif known.nonce is not None and attempt.nonce != known.nonce:
        why = f"its nonce is {known.nonce}, not {attempt.nonce}"
    elif known.nonce is None and (attempt.is_cancel or (highest is not None and attempt.nonce <= highest)):
        why = f"nonce {attempt.nonce} was used before"
    elif not attempt.is_cancel and (known.is_cancel_asked or any(each.is_cancel for each in known.attempts)):
        why = "it is being cancelled"
    elif known.state is EvmState.OPEN and (held := _ids(connection, known.intent.account, HOLDS_NONCE)):
        why = f"intent {held[0]} holds a nonce"
    if why:
        msg = f"intent {known.intent.id}: nothing is signed for it, because {why}"
        raise IllegalTransition(msg)


def _ids(connection: sa.Connection, account: str, states: frozenset[EvmState]) -> Sequence[str]:
    """Return the intents of an account that stand so, oldest first."""
    wanted = sa.and_(intents.c.account == account, intents.c.state.in_([each.value for each in states]))
    return connection.execute(sa.select(intents.c.id).where(wanted).order_by(intents.c.number)).scalars().all()


def _nonce(known: EvmRecord) -> int:
    return -1 if known.nonce is None else known.nonce


def _highest_nonce(connection: sa.Connection, account: str) -> int | None:
    query = sa.select(sa.func.max(attempts.c.nonce)).where(attempts.c.account == account)
    found: int | None = connection.execute(query).scalar_one_or_none()
    return found


def _problem(connection: sa.Connection, account: str) -> str:
    query = sa.select(accounts.c.problem).where(accounts.c.account == account)
    return str(connection.execute(query).scalar_one_or_none() or "")


def _set(connection: sa.Connection, intent_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(sa.update(intents).where(intents.c.id == intent_id).values(**values))


def _known(connection: sa.Connection, intent_id: str) -> EvmRecord:
    row = connection.execute(sa.select(intents).where(intents.c.id == intent_id)).one_or_none()
    if row is None:
        msg = f"no intent {intent_id!r} is known"
        raise InvalidInput(msg, field="intent_id")
    query = sa.select(attempts).where(attempts.c.intent_id == intent_id).order_by(attempts.c.number)
    return EvmRecord(
        _intent(parse_json(row.body)),
        EvmState(row.state),
        tuple(EvmAttempt(**parse_json(each.body), raw=each.raw) for each in connection.execute(query)),
        None if row.settlement is None else EvmSettlement(**parse_json(row.settlement)),
        row.problem,
        row.is_cancel_asked,
        None if row.block_number is None else (row.block_number, row.block_hash),
        row.is_buried,
    )


def _body(intent: EvmIntent) -> dict[str, Any]:
    pool = asdict(intent.pool) | {"kind": intent.pool.kind.value}
    return asdict(intent) | {"kind": intent.kind.value, "pool": pool}


def _intent(body: dict[str, Any]) -> EvmIntent:
    pool = PoolRef(**(body["pool"] | {"kind": PoolKind(body["pool"]["kind"])}))
    return EvmIntent(**(body | {"kind": EvmKind(body["kind"]), "pool": pool}))


def _wish(intent: EvmIntent) -> tuple[Any, ...]:
    return (intent.account, intent.pool.address, intent.in_token, intent.out_token, intent.amount_in, intent.kind)


def _check(intent: EvmIntent) -> None:
    for name in ("amount_in", "min_out", "fee_wei_max", "attempts_max"):
        value = getattr(intent, name)
        if type(value) is not int or value < 1:
            msg = f"{name}: at least 1, not {value!r}"
            raise InvalidInput(msg, field=name)
    if {intent.in_token, intent.out_token} != {intent.pool.token_0, intent.pool.token_1}:
        msg = f"in_token and out_token are the two tokens of the pool, not {intent.in_token} and {intent.out_token}"
        raise InvalidInput(msg, field="in_token")
