"""The order of an answer, in terms that can be told: pure functions between the index and the journal.

A search goes through four steps, each of which only adds named parts to a score:

1. the index returns hits with their relevance (``adapters.index.fusion``): the same scale for every query;
2. ``is_nothing_relevant`` ends the search where neither words nor meaning are those of what was asked;
3. ``shortlist`` lets each hit give a share of its relevance to what was said just before and after it. It needs to know
   only which memory stands before which: the hits say so themselves (``previous_of``), the journal may know more;
4. the caller reads the shortlist's memories from the journal, and ``rank`` adds what the query's words ask for (the
   newest, the failed, a date, a named speaker) and what is known of each memory (importance, credit).

What the index has not reached yet joins in at the third step (``hit_of_words``).

The parts of a hit add up to its score. Nothing depends on how good the other hits are, but the part ``recency``, which
asks how old the relevant ones are: a memory that is not relevant moves none that is.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from memmcp_server.domain.dates import Date, date_of, spoken_dates, written_dates
from memmcp_server.domain.episodes import KIND_LESSON, Sign, outcome_of
from memmcp_server.domain.identifiers import MemoryId
from memmcp_server.domain.memory import Memory
from memmcp_server.domain.policy import Policy
from memmcp_server.domain.times import NS_PER_DAY
from memmcp_server.ports import IndexHit

from .words import SMALL_WORDS, query_words

HITS_WANTED = 200
"""What to ask the index for, so that neighbours find each other."""
SHORTLIST_LEN = 120
"""What to rank at most: more than one question may be given over all its pages."""
BLOCK_LEN = 40
"""What to rank together, so that a term can bring up what words and meaning put lower."""
EVIDENCE_MIN = 0.21
MEANING_ENOUGH = 0.2
"""Nothing is relevant where the evidence is below the one and the best meaning below the other, for a question in quite
other words shares none with its answer. The other is that of a full list of hits, and less with the logarithm of their
number: among few memories the best of the irrelevant ones is not near either. Generated data: of the questions that
nothing answers 41 % come back empty from 600 memories and 54 % from 20; of the others, paraphrases too, none. With 0.45
it is 62 % and 70 %, but "why did the trade lose money" no longer finds a position that "was closed at a loss".
"""
EVIDENCE_WORDS_MIN = 0.08
"""The same where there is no model, so that paraphrases miss every word."""
MEANING_WEIGHT = 0.3
"""Of the best meaning against the best share of words, as evidence that there is an answer at all. It is less than in
ranking: something is always near in meaning."""

BEFORE_SHARE = 0.12
"""What a memory gets of the relevance of the one before it in its thread."""
AFTER_SHARE = 0.2
"""And of the one after it: an answer takes up the words of what it answers."""
STEP_DECAY = 0.6
STEPS_MAX = 3
"""Three steps in both directions; 2 to 5 steps and shares of 0.1 to 0.3 rank alike."""

SPEAKER = 0.1
DATE = 0.2
RECENCY = 0.1
OUTCOME = 0.15
ANY_OUTCOME = 0.1
LESSON = 0.35
"""For a lesson, where lessons are asked for: it says what its episode's own memory only tells the story of."""
IMPORTANCE = 0.1
CREDIT = 0.1
PLAIN_SHARE = 0.25
"""Of relevance, where a question has no subject: in "what failed last time" each word is about what is asked for."""
RELEVANT_SHARE = 0.6
"""Of the best hit's relevance: what counts as relevant when the newest of the relevant ones is asked for."""
HALF_LIFE_SHARE = 0.25
"""Of the time between the oldest and the newest relevant hit: how fast being older counts less."""

_STEP_WEIGHTS = tuple(STEP_DECAY**step for step in range(STEPS_MAX))
SCALE = 1 + (BEFORE_SHARE + AFTER_SHARE) * sum(_STEP_WEIGHTS)
"""Divides every part, so that a hit is the weighted mean of itself and what stands around it."""

PartName = Literal["relevance", "neighbours", "speaker", "date", "recency", "outcome", "lesson", "importance", "credit"]

_CALENDAR = (
    "night|week|weekend|month|year|spring|summer|autumn|fall|winter|name|monday|tuesday|wednesday|thursday|friday|"
    "saturday|sunday|january|february|march|april|may|june|july|august|september|october|november|december"
)
_RECENT = re.compile(rf"\b(latest|lately|newest|most recent|recent|recently|last(?! (?:{_CALENDAR})\b))\b")
_NEGATIVE = re.compile(
    r"\b(fail\w*|lost|los[es]\w*|losing|mistakes?|wrong|went bad\w*|backfired|"
    r"badly|(?:did not|didn't|does not|doesn't|never) (?:work|pay)\w*|"
    r"(?:avoid|not|never|don't)\b[^.?!]* (?:again|repeat\w*))\b"
)
_POSITIVE = re.compile(r"\b(worked|won|win|wins|winning|succe\w+|paid off|pay off)\b")
_LESSON = re.compile(r"\b(lessons?|learn\w*|teach\w*|taught|mistakes?|avoid\w*)\b")
_ANY = re.compile(r"\b(results?|outcomes?|profits?|happened|ended|end|turn(ed)? out|became of)\b")
_GENERAL = SMALL_WORDS | frozenset(
    """
    again could doing made make making money most one ones should something thing things time times trade traded trader
    trades trading would
    """.split()  # noqa: SIM905 - two dozen words in two lines
)
_SPEAKER = re.compile(r"^((?:[^\W\d_a-z][\w.'-]{0,30} ?){1,3}):\s")
"""Up to three words that begin as names do: "Momentum lesson: ..." is said by nobody."""


@dataclass(frozen=True, slots=True)
class Part:
    name: PartName
    value: float


@dataclass(frozen=True, slots=True)
class Listed:
    """A memory before it is read. ``hit`` None: it stands beside hits and is none itself."""

    memory_id: MemoryId
    hit: IndexHit | None
    relevance: float
    neighbours: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What else is known of a memory. ``importance`` 0 to 100, 50 says nothing; ``credit`` in thousandths of a win."""

    importance: float = 50
    credit: int = 0


@dataclass(frozen=True, slots=True)
class Cues:
    """What a query asks for beside its subject."""

    recent: bool = False
    outcome: Sign | None = None
    """0: what came of it, whether good or bad; None: nobody asks."""
    lesson: bool = False
    has_subject: bool = True


@dataclass(frozen=True, slots=True)
class Ranked:
    """``score`` is the sum of the parts, cut to [0, 1]; ``parts`` are those that are not 0."""

    memory: Memory
    hit: IndexHit | None
    score: float
    parts: tuple[Part, ...]


def hit_of_words(memory: Memory, share: float) -> IndexHit:
    """Return a memory that was found by its words beside the index, on the same scale."""
    return IndexHit(memory.id, memory.version, share, None, None, share)


def evidence(hits: Sequence[IndexHit]) -> float:
    """Return what speaks for there being an answer at all, from 0 to 1."""
    shares = [hit.share for hit in hits if hit.share is not None]
    meanings = [hit.meaning for hit in hits if hit.meaning is not None]
    if not shares or not meanings:
        return max(shares or meanings, default=0.0)
    return (max(shares) + MEANING_WEIGHT * max(meanings)) / (1 + MEANING_WEIGHT)


def is_nothing_relevant(hits: Sequence[IndexHit]) -> bool:
    """Say whether the answer is that there is nothing, rather than the least bad of what there is."""
    meanings = [hit.meaning for hit in hits if hit.meaning is not None]
    if not meanings:
        return evidence(hits) < EVIDENCE_WORDS_MIN
    enough = MEANING_ENOUGH * min(1.0, math.log1p(len(hits)) / math.log1p(HITS_WANTED))
    return evidence(hits) < EVIDENCE_MIN and max(meanings) < enough


def is_called_for(query: str, ranked: Sequence[Ranked]) -> bool:
    """Say whether the best is what the query asks for beside its subject: "what failed last time" names no subject."""
    return bool(cues_of(query).outcome) and bool(ranked) and any(part.name == "outcome" for part in ranked[0].parts)


def previous_of(hits: Sequence[IndexHit]) -> dict[MemoryId, MemoryId]:
    """Return which memory stands before which, as far as the hits know."""
    return {hit.memory_id: hit.previous_id for hit in hits if hit.previous_id is not None}


def shortlist(
    hits: Sequence[IndexHit], previous: Mapping[MemoryId, MemoryId], *, size: int = SHORTLIST_LEN
) -> list[Listed]:
    """Return the best ``size`` memories by relevance and by what stands around them, best first.

    Ties are broken by what they say of the words, then by id.

    ``previous`` maps a memory to the one before it in its thread. A memory that is no hit itself is in the list when it
    stands beside one; the caller decides whether it meets the filter.
    """
    best: dict[MemoryId, IndexHit] = {}
    for hit in hits:
        if hit.memory_id not in best or hit.score > best[hit.memory_id].score:
            best[hit.memory_id] = hit
    shares = neighbour_shares({memory_id: hit.score for memory_id, hit in best.items()}, previous)
    listed = [
        Listed(key, best.get(key), best[key].score if key in best else 0.0, shares.get(key, 0.0))
        for key in {**best, **shares}
    ]
    listed.sort(key=lambda each: (-(each.relevance + each.neighbours), -_said(each.hit), each.memory_id))
    return listed[:size]


def neighbour_shares(
    relevance: Mapping[MemoryId, float], previous: Mapping[MemoryId, MemoryId]
) -> dict[MemoryId, float]:
    """Return what each memory gets from those up to ``STEPS_MAX`` before and after it."""
    shares: dict[MemoryId, float] = {}
    if not previous:
        return shares
    for memory_id in sorted({*previous, *relevance}):  # sums of floats depend on their order
        own = relevance.get(memory_id, 0.0)
        seen, before = {memory_id}, memory_id
        for weight in _STEP_WEIGHTS:
            if before not in previous or previous[before] in seen:
                break  # the thread begins here; a circle has no order and gives nothing
            before = previous[before]
            seen.add(before)
            _add(shares, memory_id, BEFORE_SHARE * weight * relevance.get(before, 0.0))
            _add(shares, before, AFTER_SHARE * weight * own)
    return shares


def cues_of(query: str) -> Cues:
    """Return what the words of the query ask for. "failed or won" asks for an outcome of either kind."""
    text = query.casefold()
    negative, positive = bool(_NEGATIVE.search(text)), bool(_POSITIVE.search(text))
    outcome: Sign | None = None
    if negative != positive:
        outcome = -1 if negative else 1
    elif negative or _ANY.search(text):
        outcome = 0
    is_about_lessons = bool(outcome or _LESSON.search(text))
    has_subject = not is_about_lessons or _has_subject(text)
    # Whoever names no subject asks for the latest.
    return Cues(bool(_RECENT.search(text)) or not has_subject, outcome, is_about_lessons, has_subject)


def _has_subject(text: str) -> bool:
    for cue in (_NEGATIVE, _POSITIVE, _LESSON, _RECENT, _ANY):
        text = cue.sub(" ", text)
    return any(word not in _GENERAL for word in query_words(text))


def facts_of(memory: Memory, credit: int, policy: Policy, at_ns: int) -> Facts:
    """Return what is known of a memory; its importance fades with the half-life of its policy, if it is not pinned."""
    if policy.half_life_days is None or memory.pinned:
        return Facts(memory.importance, credit)
    age_days = max(0, at_ns - memory.known_at_ns) / NS_PER_DAY
    return Facts(memory.importance * math.exp2(-age_days / policy.half_life_days), credit)


def blocks(query: str, listed: Sequence[Listed], now_ns: int) -> list[Sequence[Listed]]:
    """Cut the shortlist into what is ranked together, in order: nothing of a block comes before the one before it.

    So a page reads no more than it shows, and the next page goes on where it ended. What asks for more than its subject
    (the newest, a date, a lesson) is in one block: what it asks for may stand anywhere.
    """
    size = len(listed) if _asks_for_more(query, now_ns) else BLOCK_LEN
    return [listed[start : start + size] for start in range(0, len(listed), max(1, size))]


def _asks_for_more(query: str, now_ns: int) -> bool:
    cues = cues_of(query)
    return cues.recent or cues.lesson or cues.outcome is not None or bool(_dates_asked(query, now_ns))


def _dates_asked(query: str, now_ns: int) -> tuple[Date, ...]:
    return (*written_dates(query), *spoken_dates(query, now_ns))


def rank(
    query: str,
    listed: Sequence[Listed],
    memories: Mapping[MemoryId, Memory],
    facts: Mapping[MemoryId, Facts] | None = None,
    *,
    now_ns: int,
) -> list[Ranked]:
    """Return the memories best first; among equals the one that says more of the words, then the newer one.

    One whose memory is not there falls away.

    ``now_ns`` is what the query's "yesterday" is counted from: the present, or the time as of which is asked.
    """
    cues, said = cues_of(query), frozenset(re.findall(r"\w+", query.casefold()))
    asked = _dates_asked(query, now_ns)
    there = [(each, memories[each.memory_id]) for each in listed if each.memory_id in memories]
    age = _ages(there, cues) if cues.recent else None
    share = 1.0 if cues.has_subject else PLAIN_SHARE
    ranked: list[tuple[float, Ranked]] = []
    for each, memory in there:
        known = (facts or {}).get(memory.id, Facts())
        values: dict[PartName, float] = {
            "relevance": share * each.relevance,
            "neighbours": share * each.neighbours,
            "speaker": SPEAKER if is_named(memory, said) else 0.0,
            "date": DATE if asked and is_dated(memory, asked) else 0.0,
            "recency": RECENCY * age.freshness(memory.ts_event_ns) if age else 0.0,
            "outcome": _outcome_part(cues, memory),
            "lesson": LESSON if cues.lesson and _is_lesson(memory) and _is_met(cues, memory) else 0.0,
            "importance": IMPORTANCE * (min(100, max(0, known.importance)) - 50) / 50,
            "credit": CREDIT * math.tanh(known.credit / 2_000),
        }
        parts = tuple(Part(name, value / SCALE) for name, value in values.items() if value)
        total = sum(part.value for part in parts)
        ranked.append((total, Ranked(memory, each.hit, min(1.0, max(0.0, total)), parts)))
    ranked.sort(key=lambda each: (-each[0], -_said(each[1].hit), -each[1].memory.seq, each[1].memory.id))
    return [each for _, each in ranked]


def is_named(memory: Memory, said: frozenset[str]) -> bool:
    """Say whether the words name who speaks: ``Marta: ...``, or the agent that wrote the memory."""
    speaker = _SPEAKER.match(memory.content)
    names = [memory.provenance.agent, speaker.group(1) if speaker else ""]
    return any(words and words <= said for words in (set(re.findall(r"\w+", name.casefold())) for name in names))


def is_dated(memory: Memory, asked: Sequence[Date]) -> bool:
    """Say whether the memory happened on one of the dates, or speaks of it."""
    day = date_of(memory.ts_event_ns)
    told = (*spoken_dates(memory.content, memory.ts_event_ns), *written_dates(memory.content))
    return any(date.meets(other) for date in asked for other in (*told, *([day] if day else [])))


@dataclass(frozen=True, slots=True)
class _Ages:
    newest_ns: int
    half_life_ns: float

    def freshness(self, ts_ns: int) -> float:
        """Return 1 for the newest relevant memory and what is newer still, half of it for each half-life before it."""
        return math.exp2(-max(0, self.newest_ns - ts_ns) / self.half_life_ns)


def _ages(there: Sequence[tuple[Listed, Memory]], cues: Cues) -> _Ages | None:
    best = max((each.relevance for each, _ in there), default=0.0)
    if cues.has_subject:
        times = [memory.ts_event_ns for each, memory in there if each.relevance >= RELEVANT_SHARE * best > 0]
    else:
        times = [memory.ts_event_ns for _, memory in there if _outcome_part(cues, memory)]
    if not times:
        return None
    return _Ages(max(times), max(NS_PER_DAY, HALF_LIFE_SHARE * (max(times) - min(times))))


def _outcome_part(cues: Cues, memory: Memory) -> float:
    if cues.outcome is None or not outcome_of(memory):
        return 0.0
    if cues.outcome == 0:
        return ANY_OUTCOME
    return OUTCOME if _is_met(cues, memory) else 0.0


def _is_met(cues: Cues, memory: Memory) -> bool:
    """Say whether the memory is not of an outcome that nobody asks for."""
    return not cues.outcome or outcome_of(memory) == cues.outcome


def _is_lesson(memory: Memory) -> bool:
    """Say whether it is one, or whoever wrote it called it one."""
    return memory.kind == KIND_LESSON or KIND_LESSON in memory.tags


def _said(hit: IndexHit | None) -> float:
    """Return how much a hit says of the query's words, also beyond all of them: of two that hold them all, the one that
    holds them twice is more about them."""
    return 0.0 if hit is None else hit.lexical or 0.0


def _add(shares: dict[MemoryId, float], memory_id: MemoryId, value: float) -> None:
    if value > 0:
        shares[memory_id] = shares.get(memory_id, 0.0) + value
