"""Long conversations of two people over many dated sessions, made from a seed, and questions about them.

What makes them hard is what makes real ones hard: answers that only make sense with the turn before ("At Copper Alley,
upstairs"), the same topic touched again and again, both people with similar facts, dates said as "last Friday".
Categories: single-hop (in similar words), paraphrase (shares no content word with its evidence but the names),
temporal, multi-hop (needs several turns), open-domain (asks for a conclusion), adversarial (names the wrong person; not
in the mean, as LoCoMo's), unanswerable.
"""

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from memmcp_server.adapters.index.word_vectors import Bm25Words
from memmcp_server.domain.identifiers import MemoryId, Namespace, Seq
from memmcp_server.domain.memory import Memory, Provenance

from . import topics_more as bank
from . import words as said
from .cases import NOBODY, Corpus, Question
from .topics import Detail, Topic

SESSIONS = 24
TURN_S = 30
QUESTIONS = {"single-hop": 60, "paraphrase": 16, "temporal": 30, "multi-hop": 24, "open-domain": 16, "adversarial": 16}
"""How many of each are asked at most; about the shares of LoCoMo, paraphrases apart."""
FULL_SHARE = 0.6
"""Answers that name the thing again; the others only make sense with the turn before."""
TWIN_SHARE = 0.2
"""Events that the other person has had as well: the same words, the wrong person."""
PADDED_SHARE = 0.6
PADDINGS_MAX = 2
"""How often a turn gets a sentence more that has nothing to do with the rest, and how many at most."""
WEEKDAYS = said.parts("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday")


def conversation(seed: int, sessions: int = SESSIONS) -> Corpus:
    """Return the conversation of that seed: the same one on every machine."""
    maker = _Maker(random.Random(seed), f"talk-{seed}")
    start = datetime(2022, 1, 10, 18, 0, tzinfo=UTC) + timedelta(days=maker.chance.randrange(400))
    for number in range(1, sessions + 1):
        maker.session(number, start)
        start += timedelta(days=maker.chance.randint(3, 17), minutes=maker.chance.randint(-200, 200))
    return Corpus(maker.name, tuple(maker.memories), maker.threads, tuple(maker.questions()))


@dataclass(frozen=True, slots=True)
class _Event:
    """Something that happened to ``who``: told in the turn ``turn``; ``answers`` are (detail, turn) pairs."""

    topic: Topic
    who: str
    thing: str
    other: str
    day: datetime
    turn: str
    answers: list[tuple[Detail, str]] = field(default_factory=list)


class _Maker:
    def __init__(self, chance: random.Random, name: str) -> None:
        self.chance = chance
        self.name = name
        self.memories: list[Memory] = []
        self.threads: dict[str, str] = {}
        self.people = tuple(chance.sample(said.NAMES, 2))
        self.events: list[_Event] = []
        self._fresh = [(topic, thing) for topic in bank.TOPICS for thing in topic.things]
        chance.shuffle(self._fresh)
        self._padding = [part for line in said.SMALL_TALK for part in line.split("|")] + list(said.PADDING)
        self._thread = ""
        self._clock = datetime(1970, 1, 1, tzinfo=UTC)
        self._speaker = 0
        self._words = Bm25Words()

    def session(self, number: int, start: datetime) -> None:
        self._thread, self._clock = f"session_{number}", start
        self._speaker = self.chance.randrange(2)
        self._say(self.chance.choice(said.GREETINGS))
        self._say(self.chance.choice(said.ANSWERS))
        for _ in range(self.chance.randint(2, 3)):
            if self.chance.random() < 0.5:
                self._small_talk()
            if self.events and self.chance.random() < 0.7:
                self._mention()
            self._event()
        self._say(self.chance.choice(said.CLOSERS) + " Talk soon, {you}!")
        self._say("Take care, {you}! " + self.chance.choice(said.CLOSERS))

    def _say(self, text: str, thing: str | None = None) -> str:
        """Add a turn of the one whose turn it is; return its id."""
        me, you = self.people[self._speaker], self.people[1 - self._speaker]
        if thing is not None and self.chance.random() < 0.15:
            caption = self.chance.choice(said.CAPTIONS).replace("{thing_n}", thing)
            text = f"{text} [image: {caption}]"
        for _ in range(PADDINGS_MAX):
            if self.chance.random() < PADDED_SHARE:
                text = f"{text} {self.chance.choice(self._padding)}"
        memory_id = f"{self.name}-{len(self.memories)}"
        self.memories.append(
            turn_of(self.name, memory_id, len(self.memories), me, text.replace("{you}", you), self._clock)
        )
        self.threads[memory_id] = f"{self.name}/{self._thread}"
        self._clock += timedelta(seconds=TURN_S)
        self._speaker = 1 - self._speaker
        return memory_id

    def _small_talk(self) -> None:
        first, _, second = self.chance.choice(said.SMALL_TALK).partition("|")
        self._say(first)
        self._say(second)

    def _mention(self) -> None:
        """Talk about an earlier event again, with nothing new in it."""
        event = self.chance.choice(self.events)
        self._speaker = 1 - self.people.index(event.who)
        for part in self.chance.choice(said.MENTIONS).split("|"):
            self._say(self._filled(part, event))

    def _event(self) -> None:
        if self.events and self.chance.random() < TWIN_SHARE:  # the other person does the same, at another time
            event = self.chance.choice(self.events)
            topic, who = event.topic, self.people[1 - self.people.index(event.who)]
            thing, other = event.thing, event.other
        elif self._fresh:
            topic, (thing, other) = self._fresh.pop()
            who = self.chance.choice(self.people)
            if "{relative}" in thing:
                relative, kin = self.chance.choice(said.RELATIVES)
                thing, other = thing.replace("{relative}", relative), other.replace("{kin}", kin)
        else:
            return
        if any(e.who == who and e.thing == thing for e in self.events):
            return
        self._speaker = self.people.index(who)
        day, when = self._when()
        text = self.chance.choice(topic.tell)
        text = text.replace("{when_c}", _capital(when)).replace("{when}", when)
        event = _Event(topic, who, thing, other, day, "")
        text = self._filled(text, event)
        if self.chance.random() < 0.6:
            text = f"{text} {self.chance.choice(said.CLOSERS)}"
        event = _Event(topic, who, thing, other, day, self._say(text, thing))
        self.events.append(event)
        for detail in self.chance.sample(topic.details, self.chance.randint(1, len(topic.details) - 1)):
            asked = f"{self.chance.choice(said.REACTIONS)} "
            if self.chance.random() < 0.45:
                asked += _capital(self.chance.choice(said.ECHOES)) + " "
            self._say(self._filled(asked + detail.ask, event))
            is_full = self.chance.random() < FULL_SHARE
            answer = self._filled(detail.full if is_full else detail.short, event)
            if self.chance.random() < 0.4:
                answer = f"{answer} {self.chance.choice(said.CLOSERS)}"
            event.answers.append((detail, self._say(answer, thing if is_full else None)))
        self._say(self._filled(f"{self.chance.choice(said.REACTIONS)} {self.chance.choice(said.ECHOES)}", event))

    def _when(self) -> tuple[datetime, str]:
        """Return the day of an event before the present session, and how one says it."""
        today = self._clock
        days = self.chance.choice((1, 1, 2, 3, 4, 5, 6, 7, 7, 14, 30, 30, 21))
        day = today - timedelta(days=days)
        weekday = WEEKDAYS[day.weekday()]
        spoken = {
            1: ("yesterday",),
            2: ("two days ago", f"on {weekday}"),
            7: ("last week", "a week ago", f"last {weekday}"),
            14: ("two weeks ago", "the week before last"),
            21: ("three weeks ago",),
            30: ("last month", "a month ago"),
        }.get(days, (f"on {weekday}", f"last {weekday}", f"{days} days ago", f"on {day:%B} {day.day}"))
        return day, self.chance.choice(spoken)

    def _filled(self, text: str, event: _Event) -> str:
        """Fill every brace but ``{you}`` and those of questions."""
        pick = self.chance.choice
        relative = pick(said.RELATIVES)[0]
        values = {
            "thing": event.thing, "relative": relative, "friend": pick(said.FRIENDS), "place": pick(said.PLACES),
            "colour": pick(said.COLOURS), "number": pick(said.NUMBERS), "price": pick(said.PRICES),
            "duration": pick(said.DURATIONS), "feeling": pick(said.FEELINGS), "flaw": pick(said.FLAWS),
            "reason": pick(said.REASONS), "closer": pick(said.CLOSERS), "souvenir": pick(bank.SOUVENIRS),
            "petname": pick(bank.PET_NAMES), "hum": pick(bank.TUNES), "spice": pick(bank.SPICES),
            "remedy": pick(bank.REMEDIES), "ordinal": pick(bank.ORDINALS),
        }  # fmt: skip
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value).replace(f"{{{name}_c}}", _capital(value))
        return _capital(text)

    def questions(self) -> list[Question]:
        made = {
            "single-hop": self._details("same", swap=False),
            "paraphrase": self._paraphrases(),
            "temporal": self._temporal(),
            "multi-hop": self._multi_hop(),
            "open-domain": self._open_domain(),
            "adversarial": self._details("same", swap=True),
        }
        questions: list[Question] = []
        for category, found in made.items():
            self.chance.shuffle(found)
            questions.extend(Question(text, category, evidence) for text, evidence in found[: QUESTIONS[category]])
        never = [text.replace("{who}", self.chance.choice(self.people)) for text in bank.NEVER]
        return [*questions, *(Question(text, NOBODY, frozenset()) for text in never)]

    def _asked(self, text: str, event: _Event, evidence: list[str], who: str = "") -> tuple[str, frozenset[str]]:
        thing = event.thing.replace("my ", "the ") if event.thing.startswith("my ") else event.thing
        text = text.replace("{who}", who or event.who).replace("{thing}", thing).replace("{other}", event.other)
        text = text.replace("{month}", f"{event.day:%B %Y}")
        return _capital(text.replace(" my ", " the ")), frozenset(evidence)

    def _details(self, form: str, *, swap: bool) -> list[tuple[str, frozenset[str]]]:
        found = []
        for event in self.events:
            others = {e.thing for e in self.events if e.who != event.who}
            if swap and event.thing in others:
                continue  # then the question would have an answer
            who = self.people[1 - self.people.index(event.who)] if swap else event.who
            found += [self._asked(getattr(detail, form), event, [turn], who) for detail, turn in event.answers]
        return found

    def _paraphrases(self) -> list[tuple[str, frozenset[str]]]:
        """Return the questions in other words that really share no content word with their evidence."""
        found = self._details("other", swap=False)
        found += [self._asked(self.chance.choice(e.topic.when_other), e, [e.turn]) for e in self.events]
        return [each for each in found if not self.shares_words(each)]

    def shares_words(self, asked: tuple[str, frozenset[str]]) -> bool:
        text, evidence = asked
        names = set(self._words.of_query(" ".join(self.people)).indices)
        mine = set(self._words.of_query(text).indices) - names
        contents = " ".join(memory.content for memory in self.memories if memory.id in evidence)
        return bool(mine & set(self._words.of_document(contents).indices))

    def _open_domain(self) -> list[tuple[str, frozenset[str]]]:
        found = []
        for event in self.events:
            text = self.chance.choice(event.topic.would)
            if self.chance.random() < 0.5:
                text = text.replace("{other}", "{thing}")
            found.append(self._asked(text, event, [event.turn]))
        return found

    def _temporal(self) -> list[tuple[str, frozenset[str]]]:
        found = []
        for event in self.events:
            same = [e for e in self.events if (e.who, e.thing) == (event.who, event.thing)]
            found.append(self._asked(self.chance.choice(event.topic.when), event, [e.turn for e in same]))
            if self.chance.random() < 0.4:
                month = (event.day.year, event.day.month)
                then = [e for e in self.events if (e.who, e.topic) == (event.who, event.topic)]
                then = [e for e in then if (e.day.year, e.day.month) == month]
                found.append(self._asked(self.chance.choice(event.topic.which), event, [e.turn for e in then]))
        return found

    def _multi_hop(self) -> list[tuple[str, frozenset[str]]]:
        found = []
        for who in self.people:
            for topic in bank.TOPICS:
                events = [e for e in self.events if (e.who, e.topic) == (who, topic)]
                if len(events) > 1:
                    turns = [e.turn for e in events]
                    found += [self._asked(text, events[0], turns) for text in topic.every]
        return found


def turn_of(name: str, memory_id: str, number: int, speaker: str, text: str, at: datetime) -> Memory:
    """Return one turn as a memory: ``Speaker: text``, at its own time."""
    ts_ns = int(at.timestamp()) * 1_000_000_000
    return Memory(
        id=MemoryId(memory_id),
        seq=Seq(number + 1),
        version=1,
        namespace=Namespace(f"bench/{name}"),
        kind="note",
        content=f"{speaker}: {text}",
        tags=(),
        metadata={},
        provenance=Provenance(agent="bench"),
        ts_event_ns=ts_ns,
        known_at_ns=ts_ns,
        superseded_at_ns=None,
        expires_at_ns=None,
        trajectory_id=None,
        embed=True,
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
