"""What the ``market`` feed asks the chain about its tokens at a bar close: few at a time, and never for long."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from trading.config import ChainSection
from trading.errors import Unavailable
from trading.model.token_facts import Facts
from trading.model.units import NS_PER_S
from trading.ports import FactsSource

if TYPE_CHECKING:
    from trading.adapters.live_feed_cycle import Followed


class CycleFacts:
    """Asks ``source`` within the budget of the section; the age that a token's market page tells is put in."""

    def __init__(self, source: FactsSource, section: ChainSection) -> None:
        self._source = source
        self._section = section

    async def asked(
        self, followed: "Mapping[str, Followed]", boundary_ns: int, counts: Counter[str]
    ) -> dict[str, Facts]:
        """Return by mint what was found out now. Whoever was asked without success is asked again at the next close."""
        due = [token for token in followed.values() if token.facts_due_ns <= boundary_ns]
        due.sort(key=lambda token: (token.facts_due_ns, token.instrument.mint))
        found: dict[str, Facts] = {}

        async def ask(token: "Followed") -> None:
            mint, created_s = token.instrument.mint, token.pool.created_s
            try:
                facts = await self._source.facts(mint, token.pool.address, needs_age=created_s is None)
            except Unavailable:
                counts["facts_missed"] += 1
                return
            if facts is None:
                counts["facts_of_nothing"] += 1
                return
            counts["facts_known"] += 1
            token.facts_due_ns = boundary_ns + int(self._section.facts_age_s * NS_PER_S)
            age_s = facts.age_s if created_s is None else max(0, boundary_ns // NS_PER_S - int(created_s))
            found[mint] = replace(facts, age_s=age_s)

        with anyio.move_on_after(self._section.timeout_s) as limit:
            async with anyio.create_task_group() as tasks:
                for token in due[: self._section.facts_per_cycle]:
                    tasks.start_soon(ask, token)
        if limit.cancelled_caught:
            counts["facts_late"] += 1
        return found
