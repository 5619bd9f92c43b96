"""What a background search is told by the desk that it runs beside."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Errand:
    """What a background search is told. ``run_dir`` is the desk's own, for its bars; ``folder`` is where candidates,
    trials and searches lie."""

    strategies: tuple[str, ...]
    data: tuple[str, ...]
    trials_per_day: int
    cpu_budget_percent: int
    days_max: int
    run_dir: str
    folder: str
    profile: str
    profiles_dir: str | None
    equity_lamports: int

    def line(self) -> bytes:
        """Return it as it is told."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> "Errand":
        body = json.loads(line)
        return cls(**{**body, "strategies": tuple(body["strategies"]), "data": tuple(body["data"])})

    @property
    def trials_each(self) -> int:
        return max(1, self.trials_per_day // len(self.strategies))
