"""Seed phrases of BIP-39: 12, 15, 18, 21 or 24 words of one list, the last of which holds a checksum.

The checksum alone passes one in 16 texts of 12 such words, and everyday English has many of them. So a phrase must
also be written like one: the same sign between all words, beginning and end where something else begins and ends. And
unless a label stands right before it, its words must be drawn evenly: in a sentence made of them nearly all are
among the commonest third of the list, or half are words of grammar; a drawn phrase is like that once in 1,500.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Final, NamedTuple

from memmcp_server.domain.secrets import SecretFinding

KIND: Final = "seed_phrase"
SIZES: Final = (24, 21, 18, 15, 12)
WORDS_MIN: Final = SIZES[-1]
NEAR_CHARS: Final = 120
GAP_LENGTH_MAX: Final = 40
ANNOUNCING_WORDS_MAX: Final = 64
WORD: Final = re.compile(r"[a-z]+")
SPEAKS_OF_SEED: Final = re.compile(
    r"seed|mnemonic|recovery|phrase|passphrase|secret|wallet|bip-?39|backup|back-up|restore|private|words|keypair"
)
ANNOUNCES_SEED: Final = re.compile(r"seed|mnemonic|recovery|phrase|bip-?39")
ANNOUNCED_CHARS: Final = 40
BEGINS_MAX: Final = 200
"""So many words off either edge of an even run of words a phrase is looked for; nobody writes a longer one."""
COUNTER: Final = re.compile(r"\d{1,2}")
COMMON_SHARE: Final = 5 / 6
SMALL_SHARE: Final = 5 / 12
COMMON_WORDS: Final = """
    able about above abuse access account across act action actual add adjust advance advice afford afraid again age
    agree ahead air all alone also always among amount analyst answer any around ask attack average avoid awake away
    balance ball bar base basic because become before begin behind below best better between beyond
    black blue board body book boss bottom box boy brain brand bring build business call can car card carry
    case cash cause certain change charge cheap check child choice city claim clever clock close come
    common company control cost country couple course cover craft crash credit cross crowd cry current cycle
    damage danger day deal debate decide decline dinner direct distance divide doctor dog door double draft draw dream
    drift drive drop during early earn easy edge effort either else end energy engage enjoy enough enter entire
    entry error essay evidence exact example exchange exclude exercise exist exit expand expect explain eye face fade
    fall false family famous father fault favorite feature fee feel few field figure file final find fine finish
    fire first fit fix flat floor fly focus follow food foot force forget fork forward found frame fresh
    friend front fun future gain game gap gas gate general give glad good great group grow guess
    guide half hand happy hard have head health heart heavy help high hold hole home hope hour huge human
    idea imitate impact improve include increase index inform input inside interest into invest issue item job join
    just keep key kid kind kit know large later law lazy leader learn leave left legal lesson letter level life
    lift light like limit link list little live loan local lock long loop loud love lucky mad main major make man manage
    mandate market mask master match matter maximum mean measure media member memory mention middle million mind
    minimum minute miss mistake mix mobile model moment more morning mother motion move movie much music must name
    near neck need negative network neutral never news next nice night noise normal note nothing notice now number
    obtain occur off offer office often oil okay old once one only open opinion option order other over own
    owner page pair panic park party pass path patient pattern pause peace people perfect person phone picture piece
    place play please point pool position possible power practice prefer prepare present pretty prevent price problem
    process produce profit program project promote proof protect proud provide public pull pulse push put quality
    quarter question quick quit race radio raise rapid rate rather raw ready real reason rebuild recall receive reduce
    reform region regret regular release rely remain remember remove rent repair repeat replace report require rescue
    response result return reveal review reward rich ride right ring risk road rough round route rule run sad safe
    same sample save say scale school science screen search second secret section security seed seek select sell
    senior series service session settle setup share shift ship shock shoot shop short shoulder side sign similar
    simple since situate six size skill slow small smart solid solution solve someone song soon sort source space speak
    special speed spend split spot spread stable stage stand start state stay step still stock story strategy
    street strike strong student style subject success such sudden suggest supply sure surprise sustain swap
    switch system table talk target task team tell ten term test text thank that then theory there they thing this
    thought three tide time tip tired title today together token tomorrow tone tonight tool top topic total
    toward town track trade traffic train travel treat trend trial trick trigger trip trouble true trust truth try
    turn twelve twice two type under unit until update upgrade upon use used usual valid vault version very view
    visit voice volume vote wage wait walk wall want warm wash waste water way wealth weekend welcome what
    wheel when where will win winner wish woman word work world worry worth write wrong year yellow you young
"""

SMALL_WORDS: Final = """
    about above across again all almost alone already also always among another any around because become before behind
    below between beyond both can during either else enough ever every few follow from good have into just keep know
    like make many more much must near need neither never next nothing now off often once one only open other over own
    perhaps quite rather really same since some someone such that then there they thing this three together toward
    truly twelve twice two under until upon use used usual very want what when where will with without you your
"""


class Found(NamedTuple):
    """A word of the list where it stands; ``gap`` is what stands before it, reduced to its signs."""

    word: str
    start: int
    end: int
    gap: str
    number: int | None


@cache
def word_indexes() -> dict[str, int]:
    """Return the English list, each word with its place."""
    # The reference implementation's package ships the list.
    text = resources.files("mnemonic").joinpath("wordlist/english.txt").read_text(encoding="utf-8")
    return {word: index for index, word in enumerate(text.split())}


@cache
def common_words() -> frozenset[str]:
    return frozenset(COMMON_WORDS.split()) | small_words()


@cache
def small_words() -> frozenset[str]:
    """Return the words of grammar that the list has: sentences live on them, a drawn phrase rarely has one."""
    return frozenset(SMALL_WORDS.split()) & word_indexes().keys()


def has_checksum(words: Sequence[str]) -> bool:
    """Return whether the last bits of the words are the checksum of the rest."""
    indexes = word_indexes()
    bits = 0
    for word in words:
        bits = bits << 11 | indexes[word]
    checksum_length = len(words) * 11 // 33
    entropy = (bits >> checksum_length).to_bytes(checksum_length * 4, "big")
    expected = hashlib.sha256(entropy).digest()[0] >> (8 - checksum_length)
    return bits & ((1 << checksum_length) - 1) == expected


def in_text(lowered: str) -> Iterator[SecretFinding]:
    """Find seed phrases in a text of lower case."""
    for run in _runs(lowered):
        yield from _in_run(run, lowered)


def _runs(lowered: str) -> Iterator[list[Found]]:
    """Yield each series of 12 or more words of the list with nothing but signs and numbers between."""
    indexes = word_indexes()
    # "word 1: legal word 2: winner": a word of the list by itself, here only a label.
    labelled = lowered.count("word") >= WORDS_MIN
    run: list[Found] = []
    end = 0
    for match in WORD.finditer(lowered):
        word = match[0]
        if labelled and word == "word" and match.start() - end <= GAP_LENGTH_MAX:
            continue
        if word not in indexes or (match.start() - end > GAP_LENGTH_MAX and run):
            if len(run) >= WORDS_MIN:
                yield run
            run = []
        if word in indexes:
            between = lowered[max(end, match.start() - GAP_LENGTH_MAX) : match.start()]
            run.append(Found(word, match.start(), match.end(), _signs(between), _counter(between)))
        end = match.end()
    if len(run) >= WORDS_MIN:
        yield run


def _signs(between: str) -> str:
    return COUNTER.sub("#", "".join(between.replace("word", "").split())).strip(">|")


def _counter(between: str) -> int | None:
    numbers = COUNTER.findall(between)
    return int(numbers[-1]) if numbers else None


def _in_run(run: list[Found], lowered: str) -> Iterator[SecretFinding]:
    for part in _evenly_separated(run):
        words = [found.word for found in part]
        numbers = [found.number for found in part]
        before = lowered[max(0, part[0].start - NEAR_CHARS) : part[0].start]
        announced = bool(ANNOUNCES_SEED.search(before[-ANNOUNCED_CHARS:]))
        spoken_of = bool(
            SPEAKS_OF_SEED.search(before)
            or SPEAKS_OF_SEED.search(lowered, part[-1].end, part[-1].end + NEAR_CHARS)
            or SPEAKS_OF_SEED.search(" ".join(words[:ANNOUNCING_WORDS_MAX]))
        )
        for size in SIZES:
            for begin in _begins(len(words) - size, spoken_of=spoken_of):
                end = begin + size
                given = announced and size >= len(words) - 1
                if _is_phrase(words[begin:end], numbers[begin:end], drawn_only=not given):
                    yield SecretFinding(part[begin].start, part[end - 1].end, KIND)


def _evenly_separated(run: list[Found]) -> Iterator[list[Found]]:
    """Cut a run where the sign between two words changes: prose has commas here and none there, a phrase does not."""
    part = [run[0]]
    for previous, found in pairwise(run):
        if len(part) > 1 and found.gap != previous.gap:
            if len(part) >= WORDS_MIN:
                yield part
            # The word before the change may be the first of what comes with the new sign.
            part = [part[-1]]
        part.append(found)
    if len(part) >= WORDS_MIN:
        yield part


def _begins(last: int, *, spoken_of: bool) -> Iterable[int]:
    """Return where a phrase may begin: anywhere when the text speaks of one, else at the edges or one word off them."""
    if not spoken_of:
        return sorted({place for place in (0, 1, last - 1, last) if 0 <= place <= last})
    if last < 2 * BEGINS_MAX:
        return range(last + 1)
    return (*range(BEGINS_MAX), *range(last - BEGINS_MAX, last + 1))


def _is_phrase(words: list[str], numbers: list[int | None], *, drawn_only: bool) -> bool:
    if len(set(words)) == 1 and len(words) > 1:
        return False
    if drawn_only and not has_even_words(words):
        return False
    if has_checksum(words):
        return True
    # Printed in columns: the numbers say the order.
    order = [number for number in numbers if number is not None]
    if len(order) == len(words) and len(set(order)) == len(order):
        return has_checksum([word for _, word in sorted(zip(order, words, strict=True))])
    return False


def has_even_words(words: Sequence[str]) -> bool:
    """Return whether the words are drawn from the whole list rather than written by a person."""
    common = sum(word in common_words() for word in words)
    small = sum(word in small_words() for word in words)
    return common < len(words) * COMMON_SHARE and small < len(words) * SMALL_SHARE
