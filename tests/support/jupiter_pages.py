"""A loopback server with pages of the documented schema of Jupiter and Pyth, and faults on demand.

What it offers rests on no market: ``rate`` base units come out for each that goes in, or the token's of ``rates``. The
local Jupiter server of a rehearsal has real pools; this one is for what a client must survive.
"""

import base64
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from fractions import Fraction
from typing import Any, Self

from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.market_server import NS, Answer, SteppedClock, address, loopback, page
from trading.config import MarketSection, RouterSection
from trading.model.intent import SOL_MINT

WALLET = Keypair.from_seed(bytes([7]) * 32)
STRANGER = Keypair.from_seed(bytes([8]) * 32)
FROG = address("Frog")
PROGRAM = address("Prog")
TABLE = address("TabLe")
TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
BLOCKHASH = bytes(range(32))
COMPUTE_BUDGET = "ComputeBudget111111111111111111111111111111"


def price_of(micro_lamports: int) -> dict[str, Any]:
    data = base64.b64encode(b"\x03" + micro_lamports.to_bytes(8, "little")).decode()
    return {"programId": COMPUTE_BUDGET, "accounts": [], "data": data}


def instruction(data: bytes, wallet: str) -> dict[str, Any]:
    accounts = [
        {"pubkey": wallet, "isSigner": True, "isWritable": True},
        {"pubkey": FROG, "isSigner": False, "isWritable": False},
    ]
    return {"programId": PROGRAM, "accounts": accounts, "data": base64.b64encode(data).decode()}


def a_transaction(payer: Keypair = WALLET, signer: Keypair | None = None, moves: int = 1) -> bytes:
    """Return an unsigned v0 transaction that ``payer`` pays for, and ``signer`` signs too where one is given."""
    return _unsigned(payer, signer, [Pubkey.from_bytes(bytes([each + 1]) * 32) for each in range(moves)])


def _unsigned(payer: Keypair, signer: Keypair | None, targets: list[Pubkey]) -> bytes:
    moves = [transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=1)) for to in targets]
    if signer is not None:
        to = Pubkey.from_string(FROG)
        moves.append(transfer(TransferParams(from_pubkey=signer.pubkey(), to_pubkey=to, lamports=1)))
    message = MessageV0.try_compile(payer.pubkey(), moves, [], Hash(BLOCKHASH))
    empty = [Signature.default()] * message.header.num_required_signatures
    return bytes(VersionedTransaction.populate(message, empty))


class JupiterPages:
    """Start with ``serving``. ``faults[name]`` is a queue of answers given instead of the next pages of that name,
    ``changes[name]`` what is laid over the documented page, ``raw[name]`` a text in it and what it becomes.

    Names: build, order, execute, price, search, pyth.
    """

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.url = ""
        self.reset()

    def reset(self) -> None:
        """Forget what was asked and what was to go wrong."""
        self.rate = 1_000
        self.rates: dict[str, Fraction] = {}
        self.pyth: dict[str, dict[str, Any]] = {}
        self.calls: dict[str, int] = defaultdict(int)
        self.faults: dict[str, deque[Answer]] = defaultdict(deque)
        self.changes: dict[str, dict[str, Any]] = defaultdict(dict)
        self.raw: dict[str, tuple[str, str]] = {}
        self.asked: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers_seen: list[dict[str, str]] = []

    @classmethod
    @asynccontextmanager
    async def serving(cls, clock: SteppedClock) -> AsyncIterator[Self]:
        pages = cls(clock)
        routes = [
            Route("/swap/v2/build", pages._route("build", pages._build)),
            Route("/swap/v2/order", pages._route("order", pages._order)),
            Route("/swap/v2/execute", pages._route("execute", pages._execute), methods=["POST"]),
            Route("/price/v3", pages._route("price", pages._price)),
            Route("/tokens/v2/search", pages._route("search", pages._search)),
            Route("/hermes/v2/updates/price/latest", pages._route("pyth", pages._pyth)),
        ]
        async with loopback(routes) as url:
            pages.url = url
            yield pages

    def market(self, **changes: Any) -> MarketSection:
        given = {"jupiter_url": self.url, "jupiter_calls_per_minute": 60_000}
        return MarketSection.model_validate(given | changes)

    def router(self, **changes: Any) -> RouterSection:
        given = {"backoff_base_s": 0.01, "backoff_cap_s": 0.02, "pyth_url": f"{self.url}/hermes"}
        return RouterSection.model_validate(given | {"pyth_calls_per_minute": 60_000} | changes)

    def _route(self, name: str, made: Answer) -> Answer:
        async def answer(request: Request) -> Response:
            self.calls[name] += 1
            self.headers_seen.append(dict(request.headers))
            self.asked.append(dict(request.query_params))
            given = self.faults[name].popleft() if self.faults[name] else made
            response = await given(request)
            if name in self.raw:
                response = Response(bytes(response.body).decode().replace(*self.raw[name]))
            response.headers["date"] = formatdate(self.clock.now_ns() / NS, usegmt=True)
            response.headers["x-api-gateway-request-id"] = f"{name}-{self.calls[name]}"
            return response

        return answer

    def _quote(self, request: Request) -> dict[str, Any]:
        asked = request.query_params
        amount = int(asked["amount"])
        out = int(amount * self.rates.get(asked["inputMint"], self.rate))
        step = {
            "ammKey": PROGRAM,
            "label": "Whirlpool",
            "inputMint": asked["inputMint"],
            "outputMint": asked["outputMint"],
            "inAmount": str(amount),
            "outAmount": str(out),
        }
        return {
            "inputMint": asked["inputMint"],
            "outputMint": asked["outputMint"],
            "inAmount": str(amount),
            "outAmount": str(out),
            "otherAmountThreshold": str(-(-out * (10_000 - int(asked["slippageBps"])) // 10_000)),
            "swapMode": "ExactIn",
            "slippageBps": int(asked["slippageBps"]),
            "routePlan": [{"swapInfo": step, "percent": 100, "bps": 10_000, "usdValue": 14.25}],
        }

    async def _build(self, request: Request) -> Response:
        taker = request.query_params["taker"]
        body = {
            **self._quote(request),
            "priceImpactPct": "0.00123",
            "computeBudgetInstructions": [price_of(25_000)],
            "setupInstructions": [instruction(b"setup", taker)],
            "swapInstruction": instruction(b"swap", taker),
            "cleanupInstruction": instruction(b"close", taker),
            "otherInstructions": [],
            "tipInstruction": None,
            "addressesByLookupTableAddress": {TABLE: [FROG, PROGRAM]},
            "blockhashWithMetadata": {
                "blockhash": list(BLOCKHASH),
                "lastValidBlockHeight": 250_000_000,
                "fetchedAt": {"secs_since_epoch": self.clock.now_ns() // NS, "nanos_since_epoch": 5},
            },
            "aFieldOfTomorrow": 1.5,
        }
        return page(body | self.changes["build"])

    async def _order(self, request: Request) -> Response:
        taker = request.query_params.get("taker")
        if taker is None:  # a quote, and nothing is built
            quoted = {"router": "metis", "priceImpact": -0.1, "transaction": None, "requestId": "req-1"}
            return page(self._quote(request) | quoted | self.changes["order"])
        body = {
            **self._quote(request),
            "mode": "manual",
            "router": "metis",
            "priceImpact": -0.123,
            "transaction": base64.b64encode(a_transaction()).decode(),
            "requestId": "req-1",
            "lastValidBlockHeight": "250000000",
            "feeBps": 2,
            "signatureFeePayer": taker,
            "prioritizationFeePayer": taker,
            "rentFeePayer": taker,
            "prioritizationFeeLamports": 5_000,
            "gasless": False,
        }
        return page(body | self.changes["order"])

    async def _execute(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        raw = base64.b64decode(self.bodies[-1]["signedTransaction"])
        signature = str(VersionedTransaction.from_bytes(raw).signatures[0])
        body = {"status": "Success", "signature": signature, "slot": "5", "code": 0}
        return page(body | self.changes["execute"])

    async def _price(self, request: Request) -> Response:
        known = {
            SOL_MINT: {"usdPrice": 150.0, "decimals": 9, "blockId": 5, "priceChange24h": -1.5},
            FROG: {"usdPrice": 0.3, "decimals": 6, "blockId": None},
        } | self.changes["price"]
        return page({mint: known[mint] for mint in request.query_params["ids"].split(",") if mint in known})

    async def _search(self, request: Request) -> Response:
        def token(mint: str, symbol: str, **more: Any) -> dict[str, Any]:
            return {"id": mint, "symbol": symbol, "name": symbol, "decimals": 6, "tokenProgram": TOKEN_PROGRAM} | more

        return page(
            [
                token(address("Fake"), "FROG", liquidity=12.5, audit={"isSus": True}),
                token(address("FrogX"), "FROGX", liquidity=9e9),
                token(
                    FROG,
                    "Frog",
                    liquidity=250_000.5,
                    isVerified=True,
                    firstPool={"id": PROGRAM, "createdAt": "2026-09-20T00:00:00Z"},
                ),
                token(address("NoMon"), "frog", liquidity=None, usdPrice=None),
            ]
        )

    async def _pyth(self, request: Request) -> Response:
        ids = request.query_params.getlist("ids[]")
        found = [{"id": each, "price": self.pyth[each], "metadata": {"slot": 1}} for each in ids if each in self.pyth]
        return page({"binary": {"encoding": "hex", "data": ["00"]}, "parsed": found})
