"""The last step of every attempt: a message that was read is signed, and what came back is held against it."""

from collections.abc import Callable
from dataclasses import dataclass

from solders.pubkey import Pubkey
from solders.signature import Signature

from trading.errors import SigningRefused
from trading.model.chain import SignWanted
from trading.model.intent import Attempt, Balances
from trading.ports import Signer

from .transactions import Built


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is known of an attempt besides its message: what the wallet had, and what was to come of it."""

    built: Built
    blockhash: str
    before: Balances
    quoted_out: int
    quote: str = ""


async def signed_attempt(signer: Signer, wanted: SignWanted, prepared: Prepared, now_ns: Callable[[], int]) -> Attempt:
    """Return the signed attempt. Raises: SigningRefused, also for a signature of something else; and as ``Signer``."""
    built = prepared.built
    signature = await signer.sign(wanted)
    # What is tracked by a signature that is not this message's would land unseen.
    if not Signature.from_bytes(signature).verify(Pubkey.from_string(wanted.wallet), built.message):
        msg = "the signer's answer is no signature of this message"
        raise SigningRefused(msg, reasons=("signature",))
    return Attempt(
        intent_id=wanted.intent_id,
        number=wanted.attempt,
        signature=str(Signature.from_bytes(signature)),
        raw=built.signed(signature),
        blockhash=prepared.blockhash,
        last_valid_block_height=wanted.last_valid_block_height,
        quoted_out=prepared.quoted_out,
        fee_lamports=built.fee_lamports,
        before=prepared.before,
        signed_ns=now_ns(),
        quote=prepared.quote,
    )
