"""What an order is answered with once its fills or rejections are known."""

from collections.abc import Mapping
from typing import Any

from trading.model import events

from .documents import Document, costs_of_fill, iso
from .naming import public_id


def order_answer(known: Mapping[str, Any], ids: list[str], reports: Mapping[str, events.Event]) -> Document:
    """Return the answer to the orders ``ids`` of what was sent: done, rejected, or working while one is not settled."""
    run_id = known["run_id"]
    first = next((reports[each] for each in ids if each in reports), None)
    answer: Document = {"order_id": public_id(run_id, ids[0]), "status": "working", "message": known["message"]}
    if isinstance(first, events.OrderFilled | events.OrderRejected):
        answer["trajectory_id"] = public_id(run_id, first.trajectory_id)
    if len(reports) < len(ids):
        answer["message"] = f"{known['message']} {len(reports)} of {len(ids)} orders are settled; ask again."
        return answer
    fills = [each.fill for each in reports.values() if isinstance(each, events.OrderFilled)]
    if not fills:
        assert isinstance(first, events.OrderRejected)
        rejected = first.rejected
        return answer | {"status": "rejected", "message": f"{rejected.message} ({rejected.reason})"}
    totals = [costs_of_fill(fill) for fill in fills]
    return answer | {
        "status": "done",
        "message": "filled" if len(fills) == len(ids) else f"{len(fills)} of {len(ids)} orders filled",
        "costs": {name: sum(each[name] for each in totals) for name in totals[0]},
        "fill": {
            "ts": iso(fills[-1].ts_ns),
            "side": fills[0].side.value,
            "mint": fills[0].mint,
            "lamports": sum(fill.lamports for fill in fills),
            "base_units": str(sum(fill.base_units for fill in fills)),
            "slippage_bps": max(fill.slippage_bps for fill in fills),
            "orders": [public_id(run_id, fill.order_id) for fill in fills],
        },
    }
