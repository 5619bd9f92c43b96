"""Values that a label makes a secret: ``PRIVATE_KEY=``, ``"api_key": "..."``, ``the password is ...``.

A key of 32 bytes looks like a mint or a hash, a password like any word. What the label says decides, and a value must
look like one: "token: BONK" and "password: required" are prose.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from memmcp_server.domain.secrets import SecretFinding

from .values import HEX_32, VALUE_LENGTH_MAX, Strictness, is_base58_32, is_key_of_32_bytes, looks_secret

PROBES: Final = (
    "key",
    "token",
    "secret",
    "passw",
    "pwd",
    "seed",
    "credential",
    "passphr",
    "passcode",
    "mnemonic",
)
# Every branch begins with a letter, so that the search skips what cannot begin one: a group would make it ten times
# slower.
CORE: Final = re.compile(
    r"passw(?:or[dt]|d)|passphrase|passcode|pwd|token|credentials?|mnemonic|key(?:pair)?"
    r"|seed(?:[ _.\-]{0,2}(?:hex|bytes|key))?|secret(?:[ _.\-]{0,2}key)?"
)
WHOLE_WORDS: Final = ("seed", "sign", "pwd")
SPEAKS_OF_KEY: Final = re.compile(r"(?i)private|priv|secret|seed|keypair|signer|mnemonic")
KEY_QUALIFIER: Final = re.compile(
    r"(?:(?P<raw>private|priv|signing)|(?P<strong>api|access|auth|encryption|decryption|master|service|license|storage"
    r"|shared|webhook|consumer|hmac|rpc))[ _.\-]{0,2}\Z"
)
SUFFIX: Final = re.compile(r"[a-z0-9_\-]{0,40}")
PREFIX: Final = re.compile(r"([a-z0-9]{1,24})[ _.\-]{0,2}\Z")
REST: Final = re.compile(
    r"[\"'`\\\])}*_]{0,6}(?:\s{0,2}\([^()\n]{0,30}\))?(?P<gap>[ \t][\w ()'/.\-#]{0,40}?|[ \t]{0,8})"
    r"(?P<sign>:[ \t]{0,4}[\w\[\]|.&]{1,24}[ \t]{0,4}=(?!=)|:=|=>|->|={1,3}|:(?!//)|>|%3[ad]"
    r"|(?<=[\"'`]),(?=\s{0,8}[\"'`])"
    r"|\b(?:is|was|equals)(?: now)?\b:?|[ \t]{1,8}(?=[\"'`]))"
    r"(?P<open>[\s\"'`\\(\[{<*|>]{0,24})"
)
OPTION: Final = re.compile(r"(?:^|[\s\"'`\[,])--?[\w\-]{0,40}\Z")
ADJACENT: Final = re.compile(r"(?P<gap>)(?P<sign>[ \t]{1,4})(?P<open>)(?=[a-z0-9_\-]{20})")
OPTION_NAME_MAX: Final = 48
QUALIFIER_MAX: Final = 16
OPTION_REST: Final = re.compile(r"(?P<gap>)[\"'`]?(?P<sign>[\s,=]{1,4})(?P<open>[\"'`]?)")
TOKENS_AHEAD_MAX: Final = 12
CHARS_AHEAD_MAX: Final = 160
KEY_RUN: Final = re.compile(r"[A-Za-z0-9+/_\-]{32}")
NESTED: Final = re.compile(r"[\w.\-]{0,40}?(?:key|token|secret|passw|pwd|seed)[\w\-]{0,20}[=:]")
"""A value that is itself a label and its value is judged there."""
AHEAD: Final = re.compile(r"[A-Za-z0-9+/=_\-]+|[.;!?]\s|[:=,]")

_HARMLESS_PARTS: Final = """
    account addr address algo algorithm balance bucket budget burn burned buffer cap category cents chars class
    cost count created decimals depth digest env exists expires expiry fee field file fingerprint flow format
    hash hashed hint holder holders id idx ids index info kind label len length level limit limits list location
    manager map max metadata min mint mode model name names needed owner path per policy pool price program
    provider pub pubkey public rank ref reference required rotation score size slot source standard status
    supply symbol threshold ticker time ttl type types uri usage used version volume warning window
"""
HARMLESS_PARTS: Final = frozenset(_HARMLESS_PARTS.split())
_HARMLESS_NEAR_KEY: Final = """
    address addr blockhash checksum digest hash holder mint owner program pub pubkey public sha256 sig signature
    slot token tx txid never not
"""
HARMLESS_NEAR_KEY: Final = frozenset(_HARMLESS_NEAR_KEY.split())
_FILLERS: Final = """
    a again and are as base base58 base64 be below bot bytes cold deployer encoded evm eth ethereum exported for
    format from hex here hot in is it main metamask my of our phantom raw solana solflare string the this
    trading value wallet was with 0x 32 64 key bs58 account their your b
"""
FILLERS: Final = frozenset(_FILLERS.split())
STRONG_TOKEN_PREFIXES: Final = (
    "access",
    "auth",
    "api",
    "bearer",
    "refresh",
    "session",
    "bot",
    "csrf",
    "xsrf",
    "oauth",
    "oauth2",
    "jwt",
    "deploy",
    "github",
    "gitlab",
    "gh",
    "npm",
    "slack",
    "telegram",
    "discord",
    "hf",
    "personal",
    "admin",
    "login",
    "security",
    "service",
    "client",
    "device",
    "webhook",
    "vault",
    "id",
    "registration",
    "runner",
    "ci",
    "pat",
)
TRADING_TOKEN_PREFIXES: Final = (
    "page",
    "next",
    "continuation",
    "cursor",
    "preview",
    "base",
    "quote",
    "input",
    "output",
    "in",
    "out",
    "lp",
    "meme",
    "governance",
    "native",
    "spl",
    "reward",
    "stake",
    "sell",
    "buy",
    "from",
    "to",
    "max",
    "min",
    "new",
    "top",
)
SIGN_WORDS: Final = ("is", "was", "key", "value")
SUFFIXES: Final = frozenset(
    ("", "s", "key", "keys", "phrase", "value", "string", "hex", "base58", "bytes", "text", "plain", "b64", "data")
)
TRAILING: Final = ".,;:!?)]}>*|\\"
CUT: Final = re.compile(r"&[\w\-.]{1,40}=|[,;][\"']?[\w\-]{1,40}[\"']?[:=]|\\[nrt\"']")
VALUES: Final = {quote: re.compile(f"[^\\s{quote}]{{1,{VALUE_LENGTH_MAX}}}") for quote in "\"'`"}
VALUE: Final = re.compile(rf"[^\s\"'`<>]{{1,{VALUE_LENGTH_MAX}}}")
NEAR_CHAIN: Final = re.compile(r"\beth|evm|metamask|polygon|arbitrum|0x")


class Label(NamedTuple):
    """``raw``: a key of 32 bytes is one here; ``everyday``: the word has other uses, so a sign must follow."""

    kind: str
    strictness: Strictness
    raw: bool
    end: int
    everyday: bool = False


def in_text(text: str, lowered: str) -> Iterator[SecretFinding]:
    """Find labelled values; ``lowered`` is the text in lower case, place by place."""
    found_until = 0
    for match in CORE.finditer(lowered):
        label = _label(match, lowered) if match.start() >= found_until else None
        if label is None:
            continue
        finding = (label.raw and _key_ahead(text, lowered, label)) or _value_behind(text, lowered, match, label)
        if finding:
            found_until = finding.end
            yield finding


def _value_behind(text: str, lowered: str, match: re.Match[str], label: Label) -> SecretFinding | None:
    rest = REST.match(lowered, label.end)
    finding = _value(text, lowered, label, rest) if rest else None
    if finding is None and label.kind == "api_key":
        rest = ADJACENT.match(lowered, label.end)
        finding = _value(text, lowered, label, rest) if rest else None
    if finding is None and OPTION.search(lowered, max(0, match.start() - OPTION_NAME_MAX), match.start()):
        rest = OPTION_REST.match(lowered, label.end)
        finding = _value(text, lowered, label, rest) if rest else None
    return finding


def _label(match: re.Match[str], lowered: str) -> Label | None:
    core = match[0]
    qualifier = None
    if core == "key":
        # Nearly every key that is spoken of is none of ours: the cheapest look comes first.
        qualifier = KEY_QUALIFIER.search(lowered, max(0, match.start() - QUALIFIER_MAX), match.start())
        if qualifier is None:
            return None
    if core.startswith(WHOLE_WORDS) and lowered[max(0, match.start() - 1) : match.start()].isalpha():
        return None
    suffix = SUFFIX.match(lowered, match.end())[0]  # type: ignore[index]  # it matches anything
    glued, *parts = re.split(r"[_\-]+", suffix)
    if glued.rstrip("0123456789") not in SUFFIXES or HARMLESS_PARTS.intersection(parts):
        return None
    end = match.end() + len(suffix.rstrip("-_"))
    before = PREFIX.search(lowered, max(0, match.start() - 26), match.start())
    prefix = before[1] if before else ""
    if prefix in ("public", "pub", "no", "without"):
        return None
    if core.startswith(("pass", "pwd")):
        return Label("password", "password", raw=False, end=end)
    if core.startswith("credential"):
        return Label("credentials", "strong", raw=False, end=end)
    if qualifier is not None:
        if qualifier["raw"]:
            return Label("private_key", "strong", raw=True, end=end)
        return Label("api_key", "strong", raw=False, end=end)
    if core != "token":
        return Label("secret", "strong", raw=True, end=end, everyday=core == "secret")
    if prefix.endswith(TRADING_TOKEN_PREFIXES) and not prefix.endswith(STRONG_TOKEN_PREFIXES):
        return None
    return Label("token", "strong" if prefix.endswith(STRONG_TOKEN_PREFIXES) else "weak", raw=False, end=end)


def _key_ahead(text: str, lowered: str, label: Label) -> SecretFinding | None:
    """Find a key of 32 bytes behind a label that speaks of one, with only small words or a sign between."""
    start = label.end
    if KEY_RUN.search(text, start, start + CHARS_AHEAD_MAX) is None:
        return None
    signed, filled = False, True
    for count, match in enumerate(AHEAD.finditer(text, start, start + CHARS_AHEAD_MAX)):
        part = match[0]
        if part in (":", "=") or part.strip() == "=":
            signed = True
        elif part == ",":
            signed = False
        elif part[0] in ".;!?" or count > TOKENS_AHEAD_MAX:
            return None
        else:
            value = part.lstrip("=_-")
            begin = match.end() - len(value)
            # A run that goes on beyond the window is read whole.
            whole = re.compile(r"[A-Za-z0-9+/=_\-]{1,160}").match(text, begin)
            value = whole[0].rstrip("_-") if whole else value
            if len(value) >= 32 and is_key_of_32_bytes(value):
                if not (filled or signed) or text[begin + len(value) : begin + len(value) + 1].isalnum():
                    return None
                return SecretFinding(begin, begin + len(value), _kind_of_key(value, lowered))
            word = part.lower().strip("-_/")
            if word in HARMLESS_NEAR_KEY:
                return None
            if label.everyday and count == 0 and word not in SIGN_WORDS:
                filled = False
            filled = filled and (word in FILLERS or not word) and not (word in ("wallet", "account") and not signed)
            signed = signed and word in FILLERS
    return None


def _kind_of_key(value: str, lowered: str) -> str:
    if HEX_32.match(value):
        return "evm_private_key" if NEAR_CHAIN.search(lowered) else "private_key"
    return "solana_private_key" if is_base58_32(value) else "private_key"


def _value(text: str, lowered: str, label: Label, rest: re.Match[str]) -> SecretFinding | None:
    gap = rest["gap"]
    if gap.strip() and HARMLESS_PARTS.intersection(re.findall(r"[a-z0-9]+", gap)):
        return None
    opened = rest["open"]
    if "<" in opened or "{{" in opened or text[rest.end() - 2 : rest.end()] == "${":
        return None
    start = rest.end()
    quote = opened[-1:]
    match = VALUES.get(quote, VALUE).match(text, start)
    if match is None or NESTED.match(lowered, start):
        return None
    value = match[0]
    cut = CUT.search(value)
    if cut:
        value = value[: cut.start()]
    if not (quote and text[start + len(value) : start + len(value) + 1] == quote):
        value = value.rstrip(TRAILING)
    sign = "=" if "=" in rest["sign"] or "%3d" in rest["sign"] or not rest["sign"].strip() else ":"
    if text.startswith(("...", "…"), start + len(value)) or not looks_secret(value, label.strictness, sign=sign):
        return None
    kind = label.kind
    if label.strictness == "strong" and "aws" in lowered[max(0, label.end - 48) : label.end]:
        kind = "aws_secret_key"
    return SecretFinding(start, start + len(value), kind)
