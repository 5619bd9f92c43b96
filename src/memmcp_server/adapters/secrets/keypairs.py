"""Solana key pairs, told from signatures, hashes and lists of numbers by what they are and not by how they look.

A key pair is 64 bytes: a seed and the public key that follows from it. ``Keypair.from_bytes`` derives the key and
refuses any other 64 bytes, so that a signature, which has the very same shape, passes, and any guess (two lines joined,
a run cut differently) may be tried: it cannot be wrong, only cost 17 microseconds.
"""

import re
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Final

from memmcp_server.domain.secrets import SecretFinding

from .values import base64_bytes

KIND: Final = "solana_private_key"
RUN_LENGTH_MIN: Final = 64
"""Zero bytes in front make a base58 text shorter: 87 or 88 signs is only the usual length."""
LIST_SHIFTS_MAX: Final = 8
DISTINCT_MIN: Final = 24

BASE58_RUN: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{64,}")
BASE58_WRAPPED: Final = re.compile(
    r"[1-9A-HJ-NP-Za-km-z]{4,88}(?:[ \t]{0,8}\\?\r?\n[ \t>|#*]{0,16}[1-9A-HJ-NP-Za-km-z]{2,88}){1,7}"
)
WRAPPED_TELLTALE: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{20}[ \t\\]{0,9}\r?\n")
WRAP: Final = re.compile(r"[ \t]*\\?\r?\n[ \t>|#*]*")
HEX_RUN: Final = re.compile(r"[0-9a-fA-F]{128,}")
BASE64_RUN: Final = re.compile(r"[A-Za-z0-9+/_-]{86,}={0,2}")
NUMBER_LIST: Final = re.compile(
    r"(?<![\w.])(?:\d{1,3}|0[xX][0-9a-fA-F]{1,2})"
    r"(?:\s{0,64}[,;]\s{0,64}(?:0[xX][0-9a-fA-F]{1,2}|\d{1,3})(?![\w.])){31,1023}"
)
INDEXED_LIST: Final = re.compile(
    r"\{\s*[\"']?0[\"']?\s*:\s*\d{1,3}(?:\s*,\s*[\"']?\d{1,2}[\"']?\s*:\s*\d{1,3}){31,63}\s*\}"
)
NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,2}|\d{1,3}")
INDEXED_NUMBER: Final = re.compile(r":\s*(\d{1,3})")
NEAR_CHARS: Final = 64
SEED_LENGTH: Final = 32
PAIR_LENGTH: Final = 64
BASE58_PAIR_LENGTHS: Final = range(64, 89)


def in_runs(text: str) -> Iterator[SecretFinding]:
    """Find key pairs in unbroken runs of base58, hex and base64."""
    for pattern, read in ((BASE58_RUN, _base58_pairs), (HEX_RUN, _hex_pairs), (BASE64_RUN, _base64_pairs)):
        for run in pattern.finditer(text):
            for start, end, data in read(run[0]):
                if is_key_pair(data):
                    yield SecretFinding(run.start() + start, run.start() + end, KIND)
                    break


def in_wrapped_lines(text: str) -> Iterator[SecretFinding]:
    """Find key pairs in base58 that were broken over lines."""
    for block in BASE58_WRAPPED.finditer(text):
        pieces = [block.start(), *(block.start() + gap.end() for gap in WRAP.finditer(block[0]))]
        ends = [*(block.start() + gap.start() for gap in WRAP.finditer(block[0])), block.end()]
        for first, start in enumerate(pieces):
            joined = text[start : ends[first]]
            for last in range(first + 1, len(pieces)):
                joined += text[pieces[last] : ends[last]]
                if len(joined) in BASE58_PAIR_LENGTHS:
                    data = _base58(joined)
                    if data and is_key_pair(data):
                        yield SecretFinding(start, ends[last], KIND)


def in_number_lists(text: str, labelled: re.Pattern[str]) -> Iterator[SecretFinding]:
    """Find keys written as lists of 64 or 32 numbers; ``labelled`` says whether the text before speaks of a key.

    64 numbers must be a key pair. 32 could be a public key or chance: they must be spread like random bytes.
    """
    for pattern, number in ((NUMBER_LIST, NUMBER), (INDEXED_LIST, INDEXED_NUMBER)):
        for found in pattern.finditer(text):
            named = bool(labelled.search(text, max(0, found.start() - NEAR_CHARS), found.start()))
            if any(_is_key(data, named=named) for data in _byte_runs(number.findall(found[0]))):
                yield SecretFinding(found.start(), found.end(), KIND)


def _byte_runs(numbers: list[str]) -> Iterator[bytes]:
    """Yield each series of numbers that are bytes."""
    values = [int(each, 16 if "x" in each.lower() else 10) for each in numbers]
    for fits, run in groupby(values, lambda value: value <= 255):
        if fits:
            yield bytes(run)


def _is_key(data: bytes, *, named: bool) -> bool:
    if named and len(data) in (SEED_LENGTH, PAIR_LENGTH) and len(set(data)) > 1:
        return True
    if len(data) == SEED_LENGTH:
        return _is_spread(data)
    # A list a little longer than a pair may hold one; of a long one the two ends are looked at.
    last = len(data) - PAIR_LENGTH
    starts = range(last + 1) if last <= LIST_SHIFTS_MAX else (0, last)
    return any(_may_be_pair(part) and is_key_pair(part) for part in (data[at : at + PAIR_LENGTH] for at in starts))


def _may_be_pair(data: bytes) -> bool:
    return len(set(data)) >= DISTINCT_MIN


def is_key_pair(data: bytes) -> bool:
    """Return whether 64 bytes are an ed25519 seed and its own public key."""
    # Imported late: 30 ms that a process which meets no candidate never pays.
    from solders.keypair import Keypair

    try:
        Keypair.from_bytes(data)
    except ValueError:
        return False
    return True


def _is_spread(data: bytes) -> bool:
    """Return whether 32 numbers look drawn at random from a byte; true for all but one in 100,000 real keys."""
    high = sum(value >= 128 for value in data)
    rises = sum(a < b for a, b in pairwise(data))
    return 5 <= high <= 27 and 7 <= rises <= 24 and len(set(data)) >= 22


def _base58(run: str) -> bytes | None:
    from solders.signature import Signature

    try:
        return bytes(Signature.from_string(run))
    except ValueError:
        return None


def _base58_pairs(run: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield the run itself, or, when something is glued to it, what stands at its two ends."""
    length = len(run)
    cuts = [(0, length)] if length <= 88 else []
    if length > 88:
        for size in (88, 87, 86):
            cuts += [(0, size), (length - size, length)]
    for start, end in cuts:
        data = _base58(run[start:end])
        if data:
            yield start, end, data


def _hex_pairs(run: str) -> Iterator[tuple[int, int, bytes]]:
    for start in {0, len(run) - 128}:
        yield start, start + 128, bytes.fromhex(run[start : start + 128])


def _base64_pairs(run: str) -> Iterator[tuple[int, int, bytes]]:
    if 86 <= len(run) <= 88:
        data = base64_bytes(run)
        if data and len(data) == PAIR_LENGTH:
            yield 0, len(run), data
