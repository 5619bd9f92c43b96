"""A sidecar of your own: a server of `POST /assess` that a desk can be pointed at, in one file.

    .venv/bin/python examples/assess_server.py [--port 8790]
    TRADING_SIDECAR__URL=http://127.0.0.1:8790 TRADING_SIDECAR__KIND=assess memmcp serve

It answers by a rule instead of a model: where it says so, yours goes. The shapes are those of the daemon's own
`/assess` (see `/openapi.json`), so the same code serves a FastAPI route with these as its models. Whatever it answers,
the desk takes at most a smaller size or a later entry from it.
"""

import argparse
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

MODEL = "rule-of-thumb"
PORT = 8790
HALF = 5_000


def assess(question: dict[str, Any]) -> dict[str, Any]:
    """Return an assessment. Put your model here; keep to whole numbers, and cite only ids that you were given."""
    market = question.get("market") or {}
    expected, cost = market.get("expected_bps") or 0, market.get("cost_bps") or 0
    is_worth_it = expected > 2 * cost
    return {
        "stance_bps": 2_000 if is_worth_it else -2_000,
        "probability_bps": HALF + (500 if is_worth_it else -500),
        "expected_bps": expected // 2,
        "low_bps": expected // 2 - 500,
        "high_bps": expected // 2 + 500,
        "size_scale_bps": 10_000 if is_worth_it else HALF,
        "wait_s": 0,
        "confidence_bps": 1_000,
        "evidence_ids": [each["id"] for each in question.get("evidence") or []][:16],
        "reasons": [f"{expected} bps are expected and the round trip costs {cost}"],
        "expires_in_s": 1_800,
    }


async def answer(request: Request) -> JSONResponse:
    """POST /assess."""
    question = await request.json()
    body = {"schema_version": 1, "id": question["id"], "model": MODEL, "assessment": assess(question)}
    return JSONResponse(body)


def app() -> Starlette:
    return Starlette(routes=[Route("/assess", answer, methods=["POST"])])


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve POST /assess.")
    parser.add_argument("--port", type=int, default=PORT)
    uvicorn.run(app(), host="127.0.0.1", port=parser.parse_args().port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
