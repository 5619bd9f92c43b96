"""Situations and what came of them: a fold of the desk's own journal, as of each of its rows.

A situation is met when a strategy speaks of a rise; it can be recalled only when what came of it is known: from the row
on that says so, or, of situations of other runs, from the time on at which that run knew it. Nothing else gets in: no
memory that an agent writes, and nothing from later.
"""

import base64
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any, Final

import numpy as np

from trading.model.recall import Outcome, PastSituation, Situation

from .index import CHUNK_ROWS, ROWS_MAX, NearestIndex
from .situations import DIMENSIONS, VERSION, levels_of

SCORES_MAX: Final = 200
"""The newest answers of a strategy that its recall is judged by."""
OPEN_MAX: Final = 65_536
"""Situations whose outcome is not known yet; beyond it the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """``squared`` is the squared distance in ``situations.UNITS`` a scale. ``net_bps`` is the closed trade's return,
    where there was one, else the move less the cost of the round trip."""

    id: str
    squared: int
    ts_ns: int
    move_bps: int
    net_bps: int


@dataclass(slots=True)
class Waiting:
    """A situation whose outcome is not known yet; ``net_bps`` is that of its trade, where it closed before."""

    situation: Situation
    net_bps: int | None = None


@dataclass(slots=True)
class Book:
    """What became known of one strategy's situations, in that order."""

    index: NearestIndex = field(default_factory=lambda: NearestIndex(DIMENSIONS))
    ids: list[str] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    moves_bps: list[int] = field(default_factory=list)
    nets_bps: list[int] = field(default_factory=list)
    place_of: dict[str, int] = field(default_factory=dict)

    def add(self, situation: Situation, move_bps: int, net_bps: int) -> None:
        before = self.index.first
        number = self.index.add(levels_of(situation.vector))
        for name in self.ids[: self.index.first - before]:
            self.place_of.pop(name, None)
        for column in (self.ids, self.times_ns, self.moves_bps, self.nets_bps):
            del column[: self.index.first - before]
        self.ids.append(situation.id)
        self.times_ns.append(situation.ts_ns)
        self.moves_bps.append(move_bps)
        self.nets_bps.append(net_bps)
        self.place_of[situation.id] = number

    def nearest(self, vector: tuple[int, ...], count: int) -> list[Neighbour]:
        """Return the nearest, the nearest first; of equally near ones the one whose id comes first."""
        numbers, squared = self.index.nearest(vector, count)
        places = (numbers - self.index.first).tolist()
        found = sorted(zip(squared.tolist(), [self.ids[place] for place in places], places, strict=True))[:count]
        return [
            Neighbour(name, distance, self.times_ns[place], self.moves_bps[place], self.nets_bps[place])
            for distance, name, place in found
        ]


@dataclass(frozen=True, slots=True)
class Score:
    """Squared errors in bps of one forecast: with the edge as its strategy stated it, and as recalled."""

    stated: int
    recalled: int


class SituationMemory:
    """``meet``, ``settle``, ``close`` and ``give`` take what was journalled, in its order; nothing else changes it."""

    def __init__(self, rows_max: int = ROWS_MAX) -> None:
        self._rows_max = rows_max
        self._books: dict[str, Book] = {}
        self._waiting: OrderedDict[str, Waiting] = OrderedDict()
        self._answers: dict[str, tuple[int, int]] = {}
        """What was stated and what was recalled of situations that wait for their outcome, in bps."""
        self._traded: OrderedDict[str, tuple[str, str]] = OrderedDict()
        """By trajectory: strategy and id of the situation that it began in."""
        self._later: list[tuple[int, str, PastSituation]] = []
        """Those of other runs that are not known yet as of now, as a heap: by when they will be, then by id."""
        self._scores: dict[str, deque[Score]] = {}
        self._shifts: dict[str, bool] = {}

    # What was journalled

    def meet(self, situation: Situation) -> None:
        """A strategy spoke of a rise in this situation. One of another version of the features is passed over."""
        if situation.version != VERSION:
            return
        self._waiting[situation.id] = Waiting(situation)
        if len(self._waiting) > OPEN_MAX:
            gone, _ = self._waiting.popitem(last=False)
            self._answers.pop(gone, None)
        if situation.trajectory_id not in self._traded:
            self._traded[situation.trajectory_id] = (situation.strategy, situation.id)
            if len(self._traded) > OPEN_MAX:
                self._traded.popitem(last=False)

    def answer(self, situation_id: str, stated_bps: int, recalled_bps: int) -> None:
        """An edge was stated in the situation and another recalled; both are held against what comes of it."""
        if situation_id in self._waiting:
            self._answers[situation_id] = (stated_bps, recalled_bps)

    def settle(self, known_ns: int, situation_id: str, move_bps: int) -> None:
        """The move came out, and is known from now on."""
        self.advance(known_ns)
        waiting = self._waiting.pop(situation_id, None)
        if waiting is None:
            return
        situation = waiting.situation
        net = move_bps - situation.cost_bps if waiting.net_bps is None else waiting.net_bps
        self._book(situation.strategy).add(situation, move_bps, net)
        answer = self._answers.pop(situation_id, None)
        if answer is not None:
            stated, recalled = answer
            scores = self._scores.setdefault(situation.strategy, deque(maxlen=SCORES_MAX))
            scores.append(Score((stated - move_bps) ** 2, (recalled - move_bps) ** 2))

    def close(self, known_ns: int, trajectory_id: str, return_bps: int) -> None:
        """The trade that began in a situation was closed with this return, known from now on."""
        found = self._traded.pop(trajectory_id, None)
        if found is None:
            return
        self.advance(known_ns)
        strategy, name = found
        if name in self._waiting:
            self._waiting[name].net_bps = return_bps
            return
        book = self._book(strategy)
        if name in book.place_of:
            book.nets_bps[book.place_of[name] - book.index.first] = return_bps

    def judged(self, strategy: str, *, shifts: bool) -> None:
        """From now on recall shifts what the strategy states, or does not."""
        self._shifts[strategy] = shifts

    def give(self, now_ns: int, past: Iterable[PastSituation]) -> None:
        """Take situations of other runs; each is known from the time on at which that run knew it."""
        for each in past:
            if each.situation.version == VERSION:
                heappush(self._later, (each.outcome.known_ns, each.situation.id, each))
        self.advance(now_ns)

    # What follows from it

    def advance(self, now_ns: int) -> None:
        """Let in what other runs knew by now."""
        later = self._later
        while later and later[0][0] <= now_ns:
            _, _, past = heappop(later)
            book = self._book(past.situation.strategy)
            if past.situation.id not in book.place_of:
                book.add(past.situation, past.outcome.move_bps, past.outcome.net_bps)

    def nearest(self, now_ns: int, strategy: str, vector: tuple[int, ...], count: int) -> list[Neighbour]:
        """Return the strategy's nearest situations among those whose outcome is known as of now."""
        self.advance(now_ns)
        book = self._books.get(strategy)
        return [] if book is None else book.nearest(vector, count)

    def known(self, strategy: str) -> int:
        """Return of how many situations the outcome is known."""
        book = self._books.get(strategy)
        return 0 if book is None else len(book.index)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever met or given."""
        return not (self._books or self._waiting or self._later)

    @property
    def waiting(self) -> int:
        """How many situations wait for their outcome."""
        return len(self._waiting)

    def scores(self, strategy: str) -> tuple[int, int, int]:
        """Return how many of the newest answers were scored, and the sums of the squared errors: stated, recalled."""
        scores = self._scores.get(strategy, ())
        return len(scores), sum(each.stated for each in scores), sum(each.recalled for each in scores)

    @property
    def scored(self) -> list[str]:
        """The strategies of which an answer was scored, by name."""
        return sorted(self._scores)

    def shifts(self, strategy: str) -> bool:
        """Tell whether recall was said to shift what the strategy states."""
        return self._shifts.get(strategy, False)

    def _book(self, strategy: str) -> Book:
        book = self._books.get(strategy)
        if book is None:
            book = self._books[strategy] = Book(NearestIndex(DIMENSIONS, self._rows_max))
        return book

    # As data

    def document(self) -> dict[str, Any]:
        """Return all of it as JSON values; vectors are packed, for there may be many."""
        return {
            "version": VERSION,
            "books": {strategy: _book_document(book) for strategy, book in self._books.items()},
            "waiting": [[_situation_row(each.situation), each.net_bps] for each in self._waiting.values()],
            "answers": {name: list(answer) for name, answer in self._answers.items()},
            "traded": [[trajectory, *found] for trajectory, found in self._traded.items()],
            "later": [
                [_situation_row(each.situation), *_outcome_row(each.outcome)]
                for _, _, each in sorted(self._later, key=lambda each: each[:2])
            ],
            "scores": {name: [[each.stated, each.recalled] for each in rows] for name, rows in self._scores.items()},
            "shifts": dict(self._shifts),
        }

    def put_back(self, document: Mapping[str, Any]) -> None:
        """Take what ``document`` returned. Raises: KeyError, TypeError, ValueError."""
        if document["version"] != VERSION:
            msg = f"the situations are of version {document['version']}, this is {VERSION}"
            raise ValueError(msg)
        self._books = {name: _book_of(body, self._rows_max) for name, body in document["books"].items()}
        self._waiting = OrderedDict(
            (row[0], Waiting(_situation_of(row), net_bps)) for row, net_bps in document["waiting"]
        )
        self._answers = {name: (stated, recalled) for name, (stated, recalled) in document["answers"].items()}
        self._traded = OrderedDict((trajectory, (name, id_)) for trajectory, name, id_ in document["traded"])
        later = [PastSituation(_situation_of(row), Outcome(*rest)) for row, *rest in document["later"]]
        self._later = [(each.outcome.known_ns, each.situation.id, each) for each in later]
        heapify(self._later)
        self._scores = {
            name: deque((Score(*row) for row in rows), maxlen=SCORES_MAX) for name, rows in document["scores"].items()
        }
        self._shifts = dict(document["shifts"])


def _situation_row(each: Situation) -> list[Any]:
    plain = [each.id, each.trajectory_id, each.strategy, each.mint, each.ts_ns]
    return [*plain, each.edge_bps, each.cost_bps, each.version, each.vector]


def _situation_of(row: list[Any]) -> Situation:
    return Situation(*row)


def _outcome_row(each: Outcome) -> list[int]:
    return [each.known_ns, each.move_bps, each.net_bps]


def _book_document(book: Book) -> dict[str, Any]:
    return {
        "ids": list(book.ids),
        "times_ns": list(book.times_ns),
        "moves_bps": list(book.moves_bps),
        "nets_bps": list(book.nets_bps),
        "first": book.index.first,
        "vectors": base64.b64encode(book.index.vectors().astype("<i2").tobytes()).decode(),
    }


def _book_of(body: Mapping[str, Any], rows_max: int) -> Book:
    raw = np.frombuffer(base64.b64decode(body["vectors"]), dtype="<i2")
    book = Book(NearestIndex(DIMENSIONS, rows_max))
    book.index.fill(raw.reshape(-1, DIMENSIONS), int(body["first"]))
    book.ids = list(body["ids"])
    book.times_ns, book.moves_bps = list(body["times_ns"]), list(body["moves_bps"])
    book.nets_bps = list(body["nets_bps"])
    book.place_of = {name: book.index.first + place for place, name in enumerate(book.ids)}
    columns = (book.ids, book.times_ns, book.moves_bps, book.nets_bps)
    if {len(column) for column in columns} != {len(book.index)} or book.index.first % CHUNK_ROWS:
        msg = f"{len(book.index)} vectors do not fit {[len(column) for column in columns]} outcomes"
        raise ValueError(msg)
    return book
