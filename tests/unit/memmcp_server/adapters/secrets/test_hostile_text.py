"""Texts made to hurt: work stays in proportion to the text, and a flood hides nothing.

Counted steps would be better than a clock; expressions have none. So each repeated fragment gets a bound of processor
time that work in proportion keeps five times over and that quadratic work misses, while the benchmark prints the true
figures.
"""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doubles.planted_secrets import MAKERS, key_pair

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.secrets.vendors import PROBES

SCANNER = RuleScanner()
SIZE = 65_536
CPU_S_MAX = 1.2
"""The slowest fragment takes 0.1 to 0.25 s; an expression that runs from each place to the end takes 2 to 12 s."""
PAIR = key_pair(random.Random(5))
FRAGMENTS = [
    *(probe for probe, _ in PROBES),
    "eyJ", "eyJ.", "-eyJ", "password=", "password=!", "api_key=api_key=", "token ", 'token"', "secret is ",
    "seed \n", "private key: ", "private key aaaa ", "://", "://a:", "://a:b", "https://alchemy", "https://alchemy/",
    "1,", "1   ,", "0x1,", "abandon ", "abandon about ", "seed abandon about ", "word 1 ", "authorization: ", "bearer ",
    "basic aaaaaaaa ", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----\nabcd ",
    "-----END PRIVATE KEY-----",
    "PuTTY-User-Key-File-2", "M", "M" * 25 + ".", "12345678:", "\u200b", "a\u200b", "é", "(", "\\", "'", "\n", " ",
    "=", ":", "A" * 43 + "\n", "A" * 20 + "\n", "A" * 88 + " ", "0123456789abcdef" * 8 + " ", '{"0":1,', '"1":1,',
    "secret\t", "pwd='", "--token ", "&token=", "xoxb-1-", "İ",
]  # fmt: skip


@pytest.mark.timeout(30)
@pytest.mark.parametrize("fragment", FRAGMENTS, ids=ascii)
def test_a_fragment_repeated_takes_bounded_time_and_hides_no_key(fragment: str) -> None:
    flood = fragment * (SIZE // len(fragment))
    SCANNER.load()
    started = time.process_time()
    found = SCANNER.scan(f"{flood} \n;; {PAIR} ")
    assert time.process_time() - started < CPU_S_MAX
    start = len(flood) + 5
    assert any(each.start <= start and start + 87 <= each.end for each in found)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=4).map("".join), st.text(max_size=3))
def test_mixed_fragments_take_bounded_time(mixed: str, end: str) -> None:
    assert SCANNER.scan(mixed * (16_384 // len(mixed)) + end) is not None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(MAKERS)), st.integers(0, 2**32), st.sampled_from(["", "\ud800", "\u202e", "🚀", "İ"]))
def test_strange_neighbours_hide_nothing(kind: str, seed: int, strange: str) -> None:
    secret, text = MAKERS[kind](random.Random(seed))
    found = SCANNER.scan(f"{strange} {text} {strange}")
    assert found, (secret, text)
