"""The seam to whoever is asked: a model behind an endpoint, a server of ``POST /assess``, a scripted one in a test."""

from dataclasses import dataclass
from typing import Protocol

from .assessment import Assessment, AssessmentRequest


@dataclass(frozen=True, slots=True)
class Reply:
    """``tokens_*`` are None where the other side does not tell them."""

    model: str
    assessment: Assessment
    tokens_in: int | None = None
    tokens_out: int | None = None


class Adviser(Protocol):
    """Asks one question at a time of each caller. Waits, may fail, and is never reachable from the kernel."""

    @property
    def model(self) -> str:
        """Whose record its answers count for."""

    def size_of(self, request: AssessmentRequest) -> tuple[int, int]:
        """Return the most tokens that a question takes, in and out."""

    async def assess(self, request: AssessmentRequest) -> Reply:
        """Return an answer that fits schema, bounds and evidence.

        Raises: SidecarFault with its reason, and how many tokens the failed try was told to have taken.
        """
