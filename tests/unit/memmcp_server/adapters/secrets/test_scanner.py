"""Every kind in many writings, and what looks like one and is none."""

import base64
import json
import random
from collections import Counter

import pytest
from mnemonic import Mnemonic
from solders.keypair import Keypair
from tests.doubles.planted_secrets import MAKERS, Planted, harmless_texts, key_pair, phrase, planted_secrets

from memmcp_server.adapters.secrets import RuleScanner
from memmcp_server.adapters.secrets.phrases import has_checksum, has_even_words, in_text, word_indexes
from memmcp_server.domain.identifiers import Json
from memmcp_server.domain.secrets import looks_clean, redact, redacted, secrets_in

SCANNER = RuleScanner()
RANDOM = random.Random(11)
PAIR = key_pair(RANDOM)
BASE58 = str(PAIR)
MINT = str(PAIR.pubkey())
HEX = RANDOM.randbytes(32).hex()
WORDS = phrase(RANDOM).split()
WRONG_WORDS = [*WORDS[:-1], next(word for word in word_indexes() if not has_checksum([*WORDS[:-1], word]))]
UUID = "1f0a2b3c-1111-4222-8333-444455556666"


def kinds(text: str) -> list[str]:
    return [finding.kind for finding in SCANNER.scan(text)]


@pytest.mark.requirement("M12")
def test_every_planted_secret_is_found_and_cut_out_whole() -> None:
    planted = planted_secrets(1_120)
    missed: list[Planted] = []
    for each in planted:
        clean = redacted(each.text, SCANNER.scan)
        parts = [part for part in each.secret.split() if len(part) > 7]
        if each.secret in clean or any(part in clean for part in parts):
            missed.append(each)
    assert missed == []
    assert len(Counter(each.kind for each in planted)) == len(MAKERS) >= 16


@pytest.mark.requirement("M12")
def test_no_harmless_text_is_touched() -> None:
    texts = harmless_texts(2_500)
    assert [(text, SCANNER.scan(text)) for text in texts if SCANNER.scan(text)] == []


def test_what_is_around_a_secret_stays() -> None:
    text = f"before: {BASE58}, after {MINT}."
    assert redact(text, SCANNER.scan(text)) == f"before: [secret removed: solana_private_key], after {MINT}."


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("solana_private_key", BASE58[:44] + "\n" + BASE58[44:]),
        ("solana_private_key", BASE58[:30] + "\r\n    > " + BASE58[30:60] + "\n" + BASE58[60:]),
        ("solana_private_key", "\u200b".join(BASE58)),
        ("solana_private_key", BASE58[:9] + "\u00ad" + BASE58[9:]),
        ("solana_private_key", "\u202e" + BASE58 + "\u202c"),
        ("solana_private_key", "".join(chr(ord(letter) + 0xFEE0) for letter in BASE58)),
        ("solana_private_key", f"https://example.org/import#{BASE58}"),
        ("solana_private_key", f"ключ {BASE58} конец"),
        ("solana_private_key", "İ" * 9 + BASE58),
        ("solana_private_key", "0x" + bytes(PAIR).hex().upper()),
        ("solana_private_key", base64.b64encode(bytes(PAIR)).decode()),
        ("solana_private_key", str([hex(number) for number in bytes(PAIR)]).replace("'", "")),
        ("solana_private_key", json.dumps({str(place): number for place, number in enumerate(bytes(PAIR))})),
        ("solana_private_key", "345, 2, " + str(list(bytes(PAIR)))),
        ("solana_private_key", f"my private key {MINT}"),
        ("solana_private_key", f'"privateKey" : "{MINT}"'),
        ("seed_phrase", "\u200b".join(" ".join(WORDS))),
        ("seed_phrase", json.dumps(WORDS)),
        ("seed_phrase", " | ".join(WORDS)),
        ("seed_phrase", "\n".join(f"{place:2}. {word}" for place, word in enumerate(WORDS, 1))),
        ("seed_phrase", " ".join(f"word {place}: {word}" for place, word in enumerate(WORDS, 1))),
        ("seed_phrase", " ".join(f"{p}. {WORDS[p - 1]}" for p in (1, 7, 2, 8, 3, 9, 4, 10, 5, 11, 6, 12))),
        ("seed_phrase", "seed phrase " + " ".join(WORDS) + " seed phrase"),
        ("seed_phrase", " ".join(WORDS[:6]) + "\n" + " ".join(WORDS[6:])),
        ("private_key", f"the private key for the main bot: {HEX}"),
        ("private_key", f"secret key\n{HEX}"),
        ("evm_private_key", f"metamask private key={HEX}"),
        ("aws_secret_key", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"),
        ("authorization", "Authorization: Bearer abcdefghijklmnop"),
        ("authorization", "authorization: basic dXNlcjpwYXNzd29yZA=="),
        ("bearer_token", "sent bearer a8f3kd93kf0s9dk3lf9s3 along"),
        ("rpc_api_key", "https://a-b.solana-mainnet.quiknode.pro/0123456789abcdef0123456789abcdef01234567/"),
        ("api_key", f"https://mainnet.helius-rpc.com/?api-key={UUID}"),
        ("url_password", "postgresql://trader:hunter22@db.example.org/x"),
        ("url_password", "redis://:p4ss@cache:6379/0"),
        ("pem_private_key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU"),
        ("password", "<password>hunter22</password>"),
        ("password", '{\\"password\\": \\"hunter22\\"}'),
        ("password", "my password is S3cr3t!pass."),
        ("password", "PASSWORD=12345678"),
        ("api_key", 'const apiKey: string = "a8f3kd93kf0s9dk3"'),
        ("api_key", "curl -H 'X-Api-Key: a8f3kd93kf0s9dk3'"),
        ("token", "run --token abc123def456ghi now"),
        ("secret", "client_secret=9d8f7g6h5j4k3l2"),
        ("password", "the password is: hunter22x"),
        ("api_key", "here is the api key Eep0wV9MPLt4C4s1WMBiVwPifiYl3x5"),
        ("api_key", "https://x.helius-rpc.com/?api-key=12345678-1234-1234-1234-123456789012"),
        ("private_key", f"{{'private_key': b'{HEX}'}}"),
        ("vendor_token", "dop_v1_" + "0a1b2c3d" * 8),
        ("vendor_token", "hvs.CAESIJ1234567890abcdefghijklmn"),
    ],
)  # fmt: skip
def test_a_secret_is_found_in_this_writing(kind: str, text: str) -> None:
    assert kinds(text) == [kind]


@pytest.mark.parametrize(
    "text",
    [
        BASE58[:-1] + ("2" if BASE58[-1] != "2" else "3"),
        bytes(PAIR.sign_message(b"order")).hex(),
        str(list(bytes(PAIR.sign_message(b"order")))),
        str(PAIR.sign_message(b"order")),
        f"{MINT}\n{MINT}\n{MINT}\n{MINT}",
        str(list(range(32))) + str(list(range(64))),
        f"public key: {MINT}",
        f"private key lost; new wallet {MINT}",
        f"the secret of {MINT}",
        f"token={MINT}",
        f"signer: {MINT}",
        "token 0x" + "ab" * 20,
        f"token: {UUID}",
        "token: DezXAZ8z7PnrnRJjz3wX...",
        "password hash: 5f4dcc3b5aa765d61d8327deb882cf99",
        "password: <your-password-1>, ${DB_PASSWORD}, {{ password1 }}",
        "secret=vault:kv/desk#password1",
        "token = os.environ['HELIUS_TOKEN_2']",
        "password_file=/run/secrets/db1/password",
        "Authorization: Bearer ${TOKEN_2}",
        "https://localhost:8765/x@y",
        "https://user@example.org/",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
        " ".join(WRONG_WORDS),
        " ".join(WORDS[:11]),
        "npm_config_registry and npm_package_dependencies_example_name_long",
        "task-force-for-risk-adjusted-position-size-2025-01",
        "eyJhbGciOiJIUzI1NiJ9 alone",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_secret_passes(text: str) -> None:
    assert SCANNER.scan(text) == []


def test_prose_of_listed_words_passes_even_with_a_right_checksum() -> None:
    """The last word is chosen so that the checksum is right: only how the words are drawn tells."""
    for begin in ("that you will only know when price there can", "when market price rise then people must trust this"):
        start = ([word for word in begin.split() if word in word_indexes()] * 2)[:11]
        words = [*start, next(word for word in word_indexes() if has_checksum([*start, word]))]
        assert has_checksum(words)
        assert not has_even_words(words)
        assert list(in_text(" ".join(words))) == []


@pytest.mark.parametrize("size", [12, 15, 18, 21, 24])
def test_our_checksum_agrees_with_the_reference(size: int) -> None:
    reference = Mnemonic("english")
    random_ = random.Random(size)
    words = list(word_indexes())
    for _ in range(200):
        drawn = random_.choices(words, k=size)
        assert has_checksum(drawn) == reference.check(" ".join(drawn))
        assert has_checksum(phrase(random_, size).split())


def test_a_document_gives_its_secrets_away_however_it_holds_them() -> None:
    numbers = list(bytes(PAIR))
    document = {
        "a": {"wallet": numbers},
        "b": WORDS,
        "c": {str(place): number for place, number in enumerate(numbers)},
        "privateKey": HEX,
        "d": [{"api_key": UUID}],
        BASE58: 1,
    }
    found = secrets_in(document, SCANNER.scan)  # type: ignore[arg-type]  # lists of int are JSON
    assert [(each.path, each.kind) for each in found] == [
        ("a.wallet", "solana_private_key"),
        ("b", "seed_phrase"),
        ("c", "solana_private_key"),
        ("privateKey", "private_key"),
        ("d[0].api_key", "api_key"),
        ("[key 5]", "solana_private_key"),
    ]


def test_a_key_pair_is_told_from_a_signature_by_its_public_key() -> None:
    for number in range(50):
        pair = Keypair.from_seed(bytes([number]) * 32)
        assert kinds(f"tx {pair.sign_message(b'x')}") == []
        assert kinds(f"tx {pair}") == ["solana_private_key"]


def test_the_secret_of_an_aws_key_is_found_beside_its_id() -> None:
    text = "AKIAIOSFODNN7EXAMPLE / wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE4"
    assert kinds(text) == ["aws_access_key_id", "aws_secret_key"]
    assert kinds("AKIAIOSFODNN7EXAMPLE of commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12") == ["aws_access_key_id"]


def test_loading_ahead_changes_nothing() -> None:
    early = RuleScanner()
    early.load()
    assert early.scan(BASE58) == SCANNER.scan(BASE58)


@pytest.mark.requirement("M12")
def test_one_look_at_a_whole_document_misses_nothing_that_a_look_at_each_string_finds() -> None:
    """The quick look decides for nearly every write, so it must never call clean what holds a secret."""
    chance = random.Random(11)
    harmless = harmless_texts(300, 5)
    for planted in planted_secrets(600, 5):
        around = [chance.choice(harmless) for _ in range(3)]
        documents: list[Json] = [
            [planted.text, around[0], {"a": around[1]}, "default", "note"],
            [around[0], "tag", {"m": {"x": planted.text}}, "session"],
            [around[0], {"k": [around[1], planted.text, around[2]]}],
            ["abandon ability", planted.text, "zoo abandon", {"note": planted.text}],
        ]
        for document in documents:
            assert not (secrets_in(document, SCANNER.scan) and looks_clean(document, SCANNER.scan)), planted.kind
    for one, two, three in zip(harmless[::3], harmless[1::3], harmless[2::3], strict=True):
        assert looks_clean([one, two, {"a": three}, "x"], SCANNER.scan)
