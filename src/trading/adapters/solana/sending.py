"""Handing signed bytes to every endpoint at once."""

import base64
from contextlib import suppress
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from trading.adapters.solana.answers import UNREADABLE, error_text, signature_of
from trading.adapters.solana.endpoint import RpcRefused
from trading.adapters.solana.pool import EndpointPool, Peer
from trading.config import ChainSection
from trading.errors import ChainUnavailable, SendRefused
from trading.model.chain import Commitment

TRANSACTION_BYTES_MAX: Final = 1_232
_PREFLIGHT_FAILED: Final = -32002
_REFUSALS: Final = frozenset({_PREFLIGHT_FAILED, -32003, -32006, -32013, -32015, -32602})
"""The transaction itself is at fault: preflight, signature, version, form. Anything else is the endpoint's trouble."""
_WORDS: Final = {"blockhash not found": '"BlockhashNotFound"', "already been processed": '"AlreadyProcessed"'}
"""What an error without data can be told by."""
_ALREADY: Final = '"AlreadyProcessed"'

Answer = SendRefused | ChainUnavailable | None


class Sender:
    """Sendings go on in ``tasks`` after the first endpoint has answered, and when who asked for them is gone."""

    def __init__(self, section: ChainSection, pool: EndpointPool, tasks: TaskGroup) -> None:
        self._section = section
        self._pool = pool
        self._tasks = tasks

    async def send(self, raw: bytes, *, is_first: bool) -> str:
        """See ``ports.Chain.send``. Also raises SendRefused for bytes that no endpoint could take."""
        if len(raw) > TRANSACTION_BYTES_MAX:
            raise SendRefused(f"the transaction has {len(raw)} bytes; at most {TRANSACTION_BYTES_MAX} can be sent")
        try:
            signature = signature_of(raw)
        except UNREADABLE as error:
            raise SendRefused("these bytes are no signed transaction") from error
        # Also to those behind: what they take they pass on, and a lag cannot make a sending wrong.
        peers = await self._pool.usable()
        send, answers = anyio.create_memory_object_stream[Answer](len(peers))
        for peer in peers:
            self._tasks.start_soon(self._hand, peer, raw, signature, is_first, send)
        refused: list[SendRefused] = []
        failed: list[str] = []
        with send, answers:
            for _ in peers:
                answer = await answers.receive()
                if answer is None:
                    return signature
                if isinstance(answer, SendRefused):
                    refused.append(answer)
                else:
                    failed.append(answer.message)
        if refused:
            raise _most_telling(refused)
        raise ChainUnavailable(f"sendTransaction: {'; '.join(failed)}", hint="it may have been taken all the same")

    async def _hand(
        self, peer: Peer, raw: bytes, signature: str, is_first: bool, send: MemoryObjectSendStream[Answer]
    ) -> None:
        wanted: dict[str, Any] = {
            "encoding": "base64",
            "skipPreflight": not is_first,
            "preflightCommitment": Commitment.CONFIRMED,
            "maxRetries": 0,
        }
        answer: Answer = ChainUnavailable(f"{peer.name} was closed")
        try:
            told = await peer.endpoint.call("sendTransaction", [base64.b64encode(raw).decode(), wanted], is_send=True)
            is_same = told == signature
            answer = None if is_same else peer.endpoint.reject("sendTransaction", "it answered with another signature")
        except RpcRefused as error:
            answer = _read(error)
        except ChainUnavailable as error:
            answer = error
        finally:
            # Closed: another endpoint was faster, and nobody waits any more.
            with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
                send.send_nowait(answer)


def _read(error: RpcRefused) -> Answer:
    """Return None for a transaction that is there already: handing it over again changed nothing."""
    data = error.data if isinstance(error.data, dict) else {}
    text = _text(data.get("err"))
    if not text:
        text = next((each for words, each in _WORDS.items() if words in error.said.lower()), "")
    if text == _ALREADY:
        return None
    if error.rpc_code not in _REFUSALS:
        return error
    logs = data.get("logs")
    return SendRefused(
        error.message,
        error=text,
        logs=tuple(map(str, logs)) if isinstance(logs, list) else (),
    )


def _text(error: Any) -> str:
    try:
        return error_text(error)
    except UNREADABLE:
        return ""


def _most_telling(refused: list[SendRefused]) -> SendRefused:
    """A blockhash that one endpoint does not know yet says less than what another found when it ran the transaction."""
    return max(refused, key=lambda each: (bool(each.error), each.error not in _WORDS.values()))
