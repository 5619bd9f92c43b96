"""Rows of ``execution.db`` as the records that they stand for."""

from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa

from trading.model.intent import (
    ApprovalAsked,
    Attempt,
    AttemptState,
    Balances,
    Intent,
    IntentKind,
    IntentRecord,
    IntentState,
    OwnAccount,
    Settlement,
)

from .canonical import parse_json
from .execution_schema import attempts

_ATTEMPTS: Final = sa.select(attempts).where(attempts.c.intent_id == sa.bindparam("wanted")).order_by(attempts.c.number)


def found_record(connection: sa.Connection, query: sa.Select[Any], wanted: str) -> IntentRecord | None:
    row = connection.execute(query, {"wanted": wanted}).one_or_none()
    if row is None:
        return None
    return IntentRecord(
        intent_of_body(parse_json(row.body)),
        IntentState(row.state),
        tuple(_attempt(each) for each in connection.execute(_ATTEMPTS, {"wanted": row.id})),
        None if row.settlement is None else Settlement(**parse_json(row.settlement)),
        row.problem,
        row.is_cancel_asked,
        None if row.approval is None else ApprovalAsked(**parse_json(row.approval)),
    )


def body_of(intent: Intent) -> dict[str, Any]:
    return {**asdict(intent), "kind": intent.kind.value}


def intent_of_body(body: dict[str, Any]) -> Intent:
    """Return the intent of a body, also of one that was written when swaps were all there was."""
    body["kind"] = IntentKind(body.get("kind", IntentKind.SWAP))
    body["accounts"] = tuple(OwnAccount(**each) for each in body.get("accounts", ()))
    return Intent(**body)


def _attempt(row: Any) -> Attempt:
    body = parse_json(row.body)
    body["before"] = Balances(**body["before"])
    return Attempt(**body, raw=row.raw, state=AttemptState(row.state))
