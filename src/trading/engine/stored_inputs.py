"""The market inputs of stored rows: those written by value, and those that a row only refers to, fetched once more."""

from collections.abc import Iterator, Mapping

from trading.errors import DataError
from trading.model.market_data import History, MarketEvent

from .inputs import NO_FEEDS, RECORDED, Stretch, decode_input, encode_input, news_of
from .run import StoredRow


class StoredInputs:
    """``recorded`` yields the events that rows refer to, in order; ``seen_ns`` the close of the newest bar that was
    observed of each token; ``rest`` is the stretch that had begun where the first row comes in, and what is left of it
    after the last."""

    def __init__(
        self,
        recorded: Iterator[MarketEvent] | None,
        seen_ns: Mapping[str, int],
        rest: Stretch,
        *,
        by_reference: bool,
    ) -> None:
        self._recorded = recorded
        self._seen_ns = seen_ns
        self._by_reference = by_reference
        self.rest = rest

    def events_of(self, row: StoredRow) -> Iterator[MarketEvent]:
        """Yield what the row tells of: itself, or the stretch of recorded events that it names.

        What is news of a History depends on what was seen: each event is to be observed before the next is fetched.
        Raises: DataError when the recorded feed is not the one that the rows came from.
        """
        if row.kind in NO_FEEDS:
            yield decode_input(row.kind, row.ts_ns, row.body)
            return
        if self._recorded is None or not Stretch.is_of(row.body):
            yield self._event(row)
            return
        stretch, self.rest = self.rest, Stretch()
        while stretch.events < Stretch.count_of(row.body):
            event = self._next(self._recorded)
            if not isinstance(event, RECORDED):
                break
            stretch.first = stretch.first or event
            stretch.newest = event
            stretch.events += 1
            yield event
        if stretch.events == 0 or stretch.body() != row.body or stretch.ts_ns != row.ts_ns:
            msg = f"the feed no longer gives what this run was made from: row {dict(row.body)} against {stretch.body()}"
            raise DataError(msg, hint="bring the recorded file back, or start a new run")

    def _event(self, row: StoredRow) -> MarketEvent:
        if self._recorded is None:
            return decode_input(row.kind, row.ts_ns, row.body)
        event = self._next(self._recorded)
        if event is None or (row.kind, row.body) != encode_input(event, by_reference=self._by_reference):
            msg = f"the feed no longer gives what this run was made from: row {dict(row.body)} against {event}"
            raise DataError(msg, hint="bring the recorded file back, or start a new run")
        return event

    def _next(self, recorded: Iterator[MarketEvent]) -> MarketEvent | None:
        """Return the next event that left a row: a History without news left none."""
        event = next(recorded, None)
        while type(event) is History:
            event = news_of(event, self._seen_ns.get(event.mint, 0))
            if event.bars:
                break
            event = next(recorded, None)
        return event
