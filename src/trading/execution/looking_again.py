"""A second look at an intent that waits for a person: every endpoint is asked, and only what they prove decides.

A person may say when to look; what happened is for the chain to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from trading.model.chain import AbsenceProof, Witnessed
from trading.model.intent import Attempt, AttemptState, Intent, IntentRecord, Settlement

from .upkeep import judged

SOURCES_MIN: Final = 2


class Finding(StrEnum):
    """AGREES: it is final, and did what was signed. DIFFERS: it is final, and did something else. ABSENT: nothing of it
    is on chain, or ever can be. UNCLEAR: too few say so, or they do not agree."""

    AGREES = "agrees"
    DIFFERS = "differs"
    ABSENT = "absent"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Look:
    """``settlement`` where it is final as it was signed; ``evidence`` is what each endpoint said, in words."""

    finding: Finding
    evidence: tuple[str, ...]
    settlement: Settlement | None = None


class Witnesses(Protocol):
    """``ports.Chain`` as far as it is asked here."""

    async def testimonies(self, signature: str) -> Sequence[Witnessed]: ...

    async def proof_of_absence(self, signature: str, last_valid_block_height: int) -> AbsenceProof | None: ...


async def look_again(known: IntentRecord, chain: Witnesses) -> Look:
    """Ask about every attempt that is not proven dead. Raises: ChainUnavailable."""
    evidence: list[str] = []
    findings: list[Finding] = []
    for attempt in known.attempts:
        if attempt.state is AttemptState.EXPIRED:
            continue
        found = _read(known.intent, attempt, await chain.testimonies(attempt.signature))
        if found.finding is Finding.ABSENT:
            proof = await chain.proof_of_absence(attempt.signature, attempt.last_valid_block_height)
            found = Look(Finding.UNCLEAR if proof is None else Finding.ABSENT, (*found.evidence, _absence(proof)))
        evidence += found.evidence
        findings.append(found.finding)
        if found.finding is Finding.AGREES:
            return Look(Finding.AGREES, tuple(evidence), found.settlement)
    for finding in (Finding.UNCLEAR, Finding.DIFFERS):
        if finding in findings:
            return Look(finding, tuple(evidence))
    return Look(Finding.ABSENT, tuple(evidence))


def _read(intent: Intent, attempt: Attempt, told: Sequence[Witnessed]) -> Look:
    """Return what the endpoints say of one attempt; ABSENT: whoever says anything does not have it, which alone proves
    nothing."""
    evidence, settlements, differing = [], [], 0
    for each in told:
        if each.problem or each.seen is None:
            evidence.append(f"{each.endpoint}: {each.problem or f'has no final transaction {attempt.signature}'}")
            continue
        settlement, wrong = judged(intent, attempt, each.seen)
        said = "; ".join(wrong) or (f"failed on chain: {settlement.error}" if settlement.error else "as it was signed")
        evidence.append(f"{each.endpoint}: final in slot {each.seen.slot}, {said}")
        differing += bool(wrong)
        if not wrong:
            settlements.append(settlement)
    needed = min(SOURCES_MIN, len(told))
    if len(settlements) >= needed and not differing and len(set(settlements)) == 1:
        return Look(Finding.AGREES, tuple(evidence), settlements[0])
    if differing >= needed and not settlements:
        return Look(Finding.DIFFERS, tuple(evidence))
    is_nowhere = not settlements and not differing and any(not each.problem for each in told)
    return Look(Finding.ABSENT if is_nowhere else Finding.UNCLEAR, tuple(evidence))


def _absence(proof: AbsenceProof | None) -> str:
    if proof is None:
        return "it may still land: no proof of the contrary"
    past = ", ".join(f"{each.endpoint} at block {each.block_height}" for each in proof.heights)
    return f"it can never land: block {proof.last_valid_block_height} is over ({past})"
