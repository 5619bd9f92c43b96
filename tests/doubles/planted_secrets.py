"""Real secrets of many kinds in ordinary text, and harmless texts that look like them; the same for the same seed."""

import base64
import hashlib
import json
import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from mnemonic import Mnemonic
from solders.keypair import Keypair

ALNUM = string.ascii_letters + string.digits
TOKEN = ALNUM + "_-"
HEX = "0123456789abcdef"


@dataclass(frozen=True)
class Planted:
    """``secret`` is the part that must be in no file afterwards; ``kind`` is what was planted, in the test's words."""

    kind: str
    secret: str
    text: str


SENTENCES = (
    "Note to self: {} and nothing else.",
    "Here it is: {}, keep it.",
    "{}",
    '{{"note": "{}", "score": 3}}',
    "first line\n{}\nlast line of the note",
    "# settings\nMODE=paper\n{}\nREGION=eu",
    "The bot printed '{}' at 12:30.",
    "see (`{}`) in the log of 2026-01-05T10:00:00Z",
    "momentum on BONK, 0.25 SOL; {}.",
)


def pick(random_: random.Random, letters: str, count: int) -> str:
    return "".join(random_.choices(letters, k=count))


def key_pair(random_: random.Random) -> Keypair:
    return Keypair.from_seed(random_.randbytes(32))


def phrase(random_: random.Random, words: int = 12) -> str:
    return Mnemonic("english").to_mnemonic(random_.randbytes(words * 4 // 3))


Maker = Callable[[random.Random], tuple[str, str]]


def _array(random_: random.Random) -> tuple[str, str]:
    numbers = list(bytes(key_pair(random_)))
    separator = random_.choice([",", ", ", ",\n  ", " , ", ",\t"])
    text = separator.join(map(str, numbers))
    return text, random_.choice(["[{}]", "[ {} ]", "Uint8Array.from([{}])", "({})"]).format(text)


def _seed_array(random_: random.Random) -> tuple[str, str]:
    text = random_.choice([",", ", "]).join(map(str, random_.randbytes(32)))
    return text, f"[{text}]"


def _phrase(random_: random.Random) -> tuple[str, str]:
    words = phrase(random_, random_.choice([12, 15, 18, 21, 24])).split()
    numbered = " ".join(f"{place}. {word}" for place, word in enumerate(words, 1))
    lines = "\n".join(f"{place}) {word}" for place, word in enumerate(words, 1))
    plain = " ".join(words)
    written = random_.choice([plain, plain, plain.upper(), ", ".join(words), "\n".join(words), numbered, lines,
                              ",".join(words), plain.title()])  # fmt: skip
    label = random_.choice(["seed phrase: ", "my recovery words are ", "", "mnemonic=", "backup of the wallet: "])
    return written, label + written


def _labelled_key(random_: random.Random) -> tuple[str, str]:
    data = random_.randbytes(32)
    key = random_.choice([data.hex(), data.hex().upper(), str(Keypair.from_seed(data).pubkey()),
                          base64.b64encode(data).decode()])  # fmt: skip
    label = random_.choice(["private key: ", "PRIVATE_KEY=", "secret=", "Private key is ", "seed: ", "privateKey: ",
                            "secret key = ", "SOLANA_PRIVATE_KEY=", "private key (hex) ",
                            "wallet private key -> "])  # fmt: skip
    return key, label + key


def _evm(random_: random.Random) -> tuple[str, str]:
    key = "0x" + random_.randbytes(32).hex()
    label = random_.choice(
        ["ETH_PRIVATE_KEY=", "private key: ", "evm private key ", "DEPLOYER_PRIVATE_KEY = ", "secret: "]
    )
    return key, label + key


def _jwt(random_: random.Random) -> tuple[str, str]:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    body = json.dumps({"sub": pick(random_, HEX, 8), "exp": random_.randrange(2**31)}).encode()
    header = json.dumps({"alg": "HS256", "typ": "JWT"}).encode()
    token = f"{part(header)}.{part(body)}.{part(random_.randbytes(32))}"
    return token, random_.choice(["", "jwt: ", "Cookie: session="]) + token


def _authorization(random_: random.Random) -> tuple[str, str]:
    if random_.random() < 0.3:
        pair = base64.b64encode(
            f"{pick(random_, string.ascii_lowercase, 6)}:{pick(random_, ALNUM, 10)}".encode()
        ).decode()
        return pair.rstrip("="), f"Authorization: Basic {pair}"
    token = pick(random_, TOKEN, 31) + "7"
    return token, random_.choice(["Authorization: Bearer ", "bearer ", '-H "authorization: Bearer ']) + token


def _aws(random_: random.Random) -> tuple[str, str]:
    if random_.random() < 0.5:
        key = random_.choice(["AKIA", "ASIA"]) + pick(random_, string.ascii_uppercase + "234567", 16)
        return key, random_.choice(["", "aws_access_key_id=", "key id "]) + key
    secret = pick(random_, ALNUM + "+/", 39) + "a"
    label = random_.choice(["aws_secret_access_key = ", "AWS_SECRET_ACCESS_KEY=", "AWS secret key: "])
    return secret, label + secret


def _prefixed(*forms: tuple[str, str, int]) -> Maker:
    def make(random_: random.Random) -> tuple[str, str]:
        prefix, letters, count = random_.choice(forms)
        # The first sign of a token is never one that ends a word.
        token = prefix + pick(random_, ALNUM if letters == TOKEN else letters, 1) + pick(random_, letters, count - 2)
        token += pick(random_, HEX if letters == HEX else string.digits, 1)
        return token, random_.choice(["", "token ", "use ", "KEY=", "key: "]) + token

    return make


def _slack(random_: random.Random) -> tuple[str, str]:
    if random_.random() < 0.5:
        token = f"xox{random_.choice('bpars')}-{random_.randrange(10**11, 10**12)}-{pick(random_, ALNUM, 24)}"
        return token, token
    path = f"T{pick(random_, ALNUM, 9)}/B{pick(random_, ALNUM, 9)}/{pick(random_, ALNUM, 23)}4"
    return path, f"https://hooks.slack.com/services/{path}"


def _telegram(random_: random.Random) -> tuple[str, str]:
    token = f"{random_.randrange(10**8, 10**10)}:AA{pick(random_, TOKEN, 29)}aB1{pick(random_, ALNUM, 1)}"
    return token, random_.choice(["bot ", "TELEGRAM_BOT_TOKEN=", "https://api.telegram.org/bot"]) + token


def _discord(random_: random.Random) -> tuple[str, str]:
    if random_.random() < 0.5:
        part = pick(random_, TOKEN, 66) + "x9"
        return part, f"https://discord.com/api/webhooks/{random_.randrange(10**17, 10**18)}/{part}"
    token = f"MT{pick(random_, ALNUM, 22)}.G{pick(random_, ALNUM, 5)}.{pick(random_, TOKEN, 35)}aB4"
    return token, random_.choice(["", "DISCORD_TOKEN="]) + token


def _rpc(random_: random.Random) -> tuple[str, str]:
    key, url = random_.choice([
        (str(uuid.UUID(bytes=random_.randbytes(16), version=4)), "https://mainnet.helius-rpc.com/?api-key={}"),
        (pick(random_, TOKEN, 30) + "a7", "https://solana-mainnet.g.alchemy.com/v2/{}"),
        (pick(random_, HEX, 38) + "a7", "https://cool-dark-sun.solana-mainnet.quiknode.pro/{}/"),
        (pick(random_, HEX, 30) + "a7", "wss://mainnet.infura.io/ws/v3/{}"),
    ])  # fmt: skip
    return key, url.format(key)


def _url_password(random_: random.Random) -> tuple[str, str]:
    password = pick(random_, ALNUM + "!$*%", 11) + "7"
    scheme = random_.choice(["postgresql", "https", "redis", "mongodb+srv", "amqp"])
    return password, f"{scheme}://{random_.choice(['trader', 'me', ''])}:{password}@db.example.org:5432/x"


def _pem(random_: random.Random) -> tuple[str, str]:
    name = random_.choice(["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY",
                           "PGP PRIVATE KEY BLOCK", "ENCRYPTED PRIVATE KEY"])  # fmt: skip
    lines = [base64.b64encode(random_.randbytes(48)).decode() for _ in range(random_.randrange(1, 8))]
    newline = random_.choice(["\n", "\n", "\\n"])
    block = newline.join([f"-----BEGIN {name}-----", *lines, f"-----END {name}-----"])
    return lines[-1], block


def _assignment(random_: random.Random) -> tuple[str, str]:
    value = pick(random_, string.ascii_lowercase, 5) + pick(random_, string.digits, 2) + pick(random_, ALNUM, 7) + "Q4x"
    label = random_.choice(
        ["password=", "passwd: ", "api_key=", "secret: ", "token=", "PASSWORD='", '"api_key": "', "apiKey: ",
         "--password ", "db_password = ", "X-API-Key: ", "client_secret=", "the password is ", "access_token=",
         "password := \""]
    )  # fmt: skip
    return value, label + value + ("'" if label.endswith("'") else '"' if label.endswith('"') else "")


def _key_pair_text(random_: random.Random) -> tuple[str, str]:
    text = str(key_pair(random_))
    return text, random_.choice(["", "key=", "wallet ", '"', "secretKey: "]) + text


def _key_pair_hex(random_: random.Random) -> tuple[str, str]:
    text = bytes(key_pair(random_)).hex()
    return text, random_.choice(["", "0x"]) + text


MAKERS: dict[str, Maker] = {
    "solana key, base58": _key_pair_text,
    "solana key, numbers": _array,
    "solana seed, numbers": _seed_array,
    "solana key, hex": _key_pair_hex,
    "seed phrase": _phrase,
    "labelled key": _labelled_key,
    "evm key": _evm,
    "jwt": _jwt,
    "authorization": _authorization,
    "aws": _aws,
    "github": _prefixed(
        ("ghp_", ALNUM, 36), ("gho_", ALNUM, 36), ("ghs_", ALNUM, 36), ("github_pat_", ALNUM + "_", 82)
    ),
    "gitlab": _prefixed(("glpat-", TOKEN, 20), ("gldt-", TOKEN, 20), ("glrt-", TOKEN, 20), ("glptt-", HEX, 40)),
    "slack": _slack,
    "stripe": _prefixed(("sk_live_", ALNUM, 24), ("rk_live_", ALNUM, 24), ("sk_test_", ALNUM, 99)),
    "openai": _prefixed(("sk-", ALNUM, 48), ("sk-proj-", TOKEN, 120), ("sk-ant-api03-", TOKEN, 93)),
    "google": _prefixed(("AIza", TOKEN, 35)),
    "hugging face": _prefixed(("hf_", ALNUM, 34)),
    "npm": _prefixed(("npm_", ALNUM, 36)),
    "pypi": _prefixed(("pypi-AgEIcHlwaS5vcmc", TOKEN, 120)),
    "telegram": _telegram,
    "discord": _discord,
    "twilio": _prefixed(("SK", HEX, 32), ("AC", HEX, 32)),
    "sendgrid": lambda random_: ((token := f"SG.{pick(random_, ALNUM, 22)}.{pick(random_, TOKEN, 42)}4"), token),
    "langfuse": lambda random_: ((key := f"sk-lf-{uuid.UUID(bytes=random_.randbytes(16), version=4)}"), key),
    "rpc url": _rpc,
    "url with password": _url_password,
    "pem": _pem,
    "assignment": _assignment,
}


def planted_secrets(count: int, seed: int = 1) -> list[Planted]:
    """Return that many secrets, the kinds in turn, each in a sentence, a document, a file of settings or code."""
    random_ = random.Random(seed)
    kinds = list(MAKERS)
    result = []
    for number in range(count):
        kind = kinds[number % len(kinds)]
        secret, text = MAKERS[kind](random_)
        result.append(Planted(kind, secret, random_.choice(SENTENCES).format(text)))
    return result


LISTED_PROSE = (
    "what will happen when people believe that they can only trust good news about their own token",
    "market price will rise above trend then sell half before volume drop again after that",
    "every team must know what other people are about when they enter into this trade together",
    "never enter before there open interest will rise because then they always sell into spot volume",
    "supply shock, demand shock, price shock: then wait until volume trend will turn",
    "small profit often beat large loss; change position size when network busy",
)
PROSE = (
    "The seed phrase must never be stored; rotate the API key every month.",
    "password: required", "token: BONK", "secret sauce is patience", "token=unlimited", "the token is overbought",
    "Secrets are refused: see docs/security.md", "max_tokens=4096", "private key never leaves the signer process",
    "key level 0.0000234, secret of the trade was size", "api_key=${HELIUS_API_KEY}", "Authorization: required",
    "the bearer of bad news was volume", "token_type: bearer", "risk-adjusted-return-over-12-months-of-data held",
    "password: <your-password>", "seed: 42", "seed=1234567", "set the password in /run/secrets/db_password",
    "token account closed, rent reclaimed", "private keys, seed phrases and passwords are never written here",
    "token=os.environ['HELIUS_TOKEN']", "secret: [redacted]", "pwd: n/a", "passphrase: none", "credentials: missing",
    "user@example.org asked about the token", "https://example.org/a/b?x=1&page=2", "http://127.0.0.1:8765/health",
    "idempotency_key=order-2026-01-05-0001", "next_token=eyJvIjoxMH0", "the tokens: BONK, WIF, POPCAT, JUP",
    "secret santa on 2026-12-24T18:00:00Z", "key: value pairs of the config", "token symbol: TRUMP2024",
)  # fmt: skip
NOTES = (
    "bought {mint} at {price} SOL, tx {signature}",
    "token: {mint}",
    "token={mint}",
    "token {mint} holder {wallet} since slot {number}",
    "mint {mint}\nowner {wallet}\nprogram TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA",
    '{{"mint": "{mint}", "signature": "{signature}", "sha256": "{sha256}"}}',
    "commit {sha1} of run {uuid}, md5 {md5}",
    "blockhash {wallet}, order {uuid}, sha256:{sha256}",
    "{mint},{wallet},{price},{number}",
    "{mint}\n{wallet}\n{mint}\n{wallet}",
    "public key: {wallet}; signer {number}",
    "tx {signature}\ntx {signature2}",
    "https://solscan.io/tx/{signature} and https://solscan.io/token/{mint}",
    "/var/lib/desk/{sha1}/fills-{number}.parquet",
    "image data:image/png;base64,{image} end",
    "prices {prices}",
    "journal_sha256 {sha256} at {number}",
    "the secret of {mint} is thin liquidity",
    "slot {number}:{mint}",
    "0x{evm} on base, token 0x{evm}",
    "idempotency_key: {uuid}, trajectory {uuid}",
    "sha512 {sha512}",
    "forecast_id={uuid} signal={price} token_id={uuid}",
)


def harmless_texts(count: int, seed: int = 2) -> list[str]:
    """Return that many texts without a secret: mints, real signatures, hashes, numbers, prose about secrets."""
    random_ = random.Random(seed)
    result = [*PROSE, *LISTED_PROSE]
    while len(result) < count:
        pair = key_pair(random_)
        data = random_.randbytes(64)
        result.append(
            random_.choice(NOTES).format(
                mint=key_pair(random_).pubkey(),
                wallet=pair.pubkey(),
                signature=pair.sign_message(data),
                signature2=pair.sign_message(data + b"2"),
                sha512=hashlib.sha512(data).hexdigest(),
                sha256=hashlib.sha256(data).hexdigest(),
                sha1=hashlib.sha1(data, usedforsecurity=False).hexdigest(),
                md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
                uuid=uuid.UUID(bytes=data[:16], version=4),
                number=random_.randrange(10**9),
                price=round(random_.random(), 6),
                prices=", ".join(str(random_.randrange(1, 200)) for _ in range(20)),
                image=base64.b64encode(random_.randbytes(300)).decode(),
                evm=data[:20].hex(),
            )
        )
    return result[:count]
