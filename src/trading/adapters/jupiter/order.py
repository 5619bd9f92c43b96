"""``/swap/v2/order`` and ``/execute``: Jupiter builds the transaction and sends it. A body of ``ports.OrderRouter``.

More routers compete here than on ``/build``, but who signs and pays is Jupiter's choice. Only a transaction that the
wallet alone signs and pays for is taken: its signature is then known before it is sent, so it can be carried out
exactly once like any other, and ``/execute`` is one more way to send the same bytes.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Final

from solders.message import Message, MessageV0
from solders.transaction import VersionedTransaction

from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.jupiter.models import Executed, Order
from trading.adapters.jupiter.offers import check_answer, check_wanted, evidence, impact_bps, parsed, venues
from trading.errors import InvalidInput, RouteRefused, RouterUnavailable, SendRefused
from trading.model.chain import OrderOffer, SwapWanted

LABEL: Final = "Jupiter Ultra"  # Jupiter's terms: what the user must be shown the route as
MARKET_MAKERS: Final = "jupiterz"
PACKET_BYTES: Final = 1_232
_NOT_BUILT: Final[Mapping[int, str]] = {1: "insufficient_funds", 2: "insufficient_sol", 3: "amount_too_small"}
_NOT_SENT: Final[Mapping[int, str]] = {
    -1: "the order is not known there any more",
    -2: "the signed transaction is not valid",
    -3: "the message is not the one of the order",
    -1002: "the transaction is not valid",
    -1003: "the transaction is not fully signed",
    -1004: "the block height is not valid",
    -2002: "the payload is not valid",
}
"""Codes of ``/execute`` that say that nothing was sent. All others (-1000 failed to land, -1001 unknown, and any that
is new) leave it open: only the chain knows."""


class JupiterOrder:
    """Whole transactions by ``/swap/v2/order``, never from market makers, who sign themselves."""

    def __init__(self, api: JupiterApi) -> None:
        self._api = api

    @property
    def name(self) -> str:
        return "jupiter-order"

    async def order(self, wanted: SwapWanted) -> OrderOffer:
        """Ask for a transaction. ``wanted.dexes`` cannot be had here, and ``max_accounts`` is Jupiter's choice.

        Raises: RouteRefused as ``JupiterBuild.offer``, and with insufficient_funds, insufficient_sol, not_built, or
        not_ours_to_sign where anybody else would sign or pay; RouterUnavailable; InvalidInput.
        """
        check_wanted(wanted)
        if wanted.dexes:
            msg = "an order cannot be kept to some venues: ask for instructions instead"
            raise InvalidInput(msg, field="dexes")
        document = await self._api.get("/swap/v2/order", self._question(wanted))
        order = parsed(Order, document, self._api.gateway)
        check_answer(order, wanted)
        self._check_built(order)
        self._check_who_pays(order, wanted.wallet)
        raw = self._transaction(order, wanted.wallet)
        if not order.request_id or order.last_valid_block_height is None:
            self._api.gateway.reject("the order has no request id or no last block")
        if order.price_impact is None:
            self._api.gateway.reject("the order tells no price impact")
        return OrderOffer(
            wanted=wanted,
            out_units=order.out_amount,
            min_out_units=order.other_amount_threshold,
            price_impact_bps=impact_bps(order.price_impact / 100),
            venues=venues(order) or (order.router,),
            label=LABEL,
            transaction=raw,
            request_id=order.request_id,
            last_valid_block_height=order.last_valid_block_height,
            fee_bps=order.fee_bps,
            priority_fee_lamports=order.prioritization_fee_lamports,
            received_ns=self._api.clock.now_ns(),
            quote=evidence(document),
        )

    async def execute(self, raw: bytes, request_id: str) -> str:
        signature = str(VersionedTransaction.from_bytes(raw).signatures[0])
        body = {"signedTransaction": base64.b64encode(raw).decode(), "requestId": request_id}
        try:
            document = await self._api.execute(body)
        except RouteRefused as exc:
            raise SendRefused(exc.message, error=json.dumps({"reason": exc.reason})) from exc
        done = parsed(Executed, document, self._api.executor)
        if done.code in _NOT_SENT:
            msg = f"Jupiter did not send it: {_NOT_SENT[done.code]} ({done.code})"
            raise SendRefused(msg, error=json.dumps({"code": done.code}))
        if done.signature and done.signature != signature:
            msg = f"Jupiter tells of another transaction ({done.signature}) than the one it was given"
            raise RouterUnavailable(msg)
        return signature

    def _question(self, wanted: SwapWanted) -> dict[str, str]:
        question = {
            "inputMint": wanted.in_mint,
            "outputMint": wanted.out_mint,
            "amount": str(wanted.amount_in),
            "taker": wanted.wallet,
            "swapMode": "ExactIn",
            "slippageBps": str(wanted.slippage_bps),
            "excludeRouters": MARKET_MAKERS,
        }
        if self._api.section.dexes_excluded:
            question["excludeDexes"] = ",".join(self._api.section.dexes_excluded)
        return question

    def _check_built(self, order: Order) -> None:
        if order.transaction:
            return
        code = order.error_code
        reason = _NOT_BUILT.get(code or 0, "not_built") if order.router != MARKET_MAKERS else "not_built"
        msg = f"{order.router} quoted, but built no transaction: {code} {order.error_message or ''}".rstrip()
        raise RouteRefused(msg, reason=reason)

    def _check_who_pays(self, order: Order, wallet: str) -> None:
        wrong = []
        if order.router == MARKET_MAKERS:
            wrong.append("a market maker signs")
        if order.signature_fee_payer != wallet:
            wrong.append(f"{order.signature_fee_payer or 'nobody named'} pays the signature fee")
        wrong += [
            f"{payer} pays the {what}"
            for what, payer in (("priority fee", order.prioritization_fee_payer), ("rent", order.rent_fee_payer))
            if payer not in (None, wallet)
        ]
        if order.gasless:
            wrong.append("it is gasless")
        if wrong:
            raise RouteRefused(f"not ours to sign: {', '.join(wrong)}", reason="not_ours_to_sign")

    def _transaction(self, order: Order, wallet: str) -> bytes:
        """Return the bytes, once they say themselves that the wallet alone signs and pays."""
        try:
            raw = base64.b64decode(order.transaction or "", validate=True)
            message = VersionedTransaction.from_bytes(raw).message
        except (binascii.Error, ValueError):
            self._api.gateway.reject("the transaction cannot be read")
        if not isinstance(message, Message | MessageV0) or len(raw) > PACKET_BYTES:
            self._api.gateway.reject("the transaction has a version or a size that no endpoint takes")
        signers = [str(key) for key in message.account_keys[: message.header.num_required_signatures]]
        if signers != [wallet]:
            msg = f"not ours to sign: it asks for the signatures of {', '.join(signers)}"
            raise RouteRefused(msg, reason="not_ours_to_sign")
        return raw
