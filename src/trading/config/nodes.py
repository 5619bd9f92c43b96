"""Execution on several machines: the database that they share, and how much of the work one of them takes."""

from pydantic import Field, SecretStr, model_validator

from .base import Section


class NodesSection(Section):
    """Execution nodes: off while ``url`` is unset. It is a secret, postgresql://USER:PASSWORD@HOST/NAME, and the same
    for the desk and all nodes; the tables are in a schema of their own.

    A node leases up to ``wallets_max`` of ``wallets``, a JSON list of addresses; while it is empty, of all that its
    signer can sign for. Those that the desk trades itself (``live.wallet``, ``live.wallets``, ``arbitrage.wallet``)
    are never among them.

    A lease is for ``lease_s`` at a time: so long nobody else works for a wallet whose node has gone silent. A node has
    up to ``open_max`` children under way at once, looks for work every ``claim_s``, and finishes what it has begun for
    up to ``drain_s`` when it is to end. ``answer_s`` bounds each call to the database; a transaction whose node says
    nothing for ``stuck_s`` is rolled back.
    """

    url: SecretStr | None = None
    wallets: tuple[str, ...] = Field(default=(), max_length=256)
    wallets_max: int = Field(default=16, ge=1, le=64)
    open_max: int = Field(default=16, ge=1, le=64)
    lease_s: float = Field(default=15.0, ge=0.2, le=600)
    claim_s: float = Field(default=0.5, ge=0.01, le=60)
    answer_s: float = Field(default=6.0, ge=0.05, le=120)
    stuck_s: float = Field(default=3.0, ge=0.05, le=60)
    drain_s: float = Field(default=120.0, ge=0, le=3_600)

    @model_validator(mode="after")
    def _answers_within_a_lease(self) -> "NodesSection":
        if self.answer_s > self.lease_s / 2:
            msg = (
                f"answer_s {self.answer_s} is above half of lease_s {self.lease_s}: one slow answer would lose a lease"
            )
            raise ValueError(msg)
        if self.stuck_s > 0.8 * self.answer_s:
            msg = (
                f"stuck_s {self.stuck_s} is above four fifths of answer_s {self.answer_s}: one that stops holds all up"
            )
            raise ValueError(msg)
        return self
