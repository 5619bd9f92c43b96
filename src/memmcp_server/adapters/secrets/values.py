"""What a value looks like: a key of 32 bytes, something that only a machine writes, or a word of prose."""

import base64
import binascii
import re
from itertools import pairwise
from typing import Final, Literal

Strictness = Literal["password", "strong", "weak"]

VALUE_LENGTH_MAX: Final = 1_024
JUDGED_LENGTH_MAX: Final = 128
LENGTH_MIN: Final[dict[Strictness, int]] = {"password": 6, "strong": 8, "weak": 12}
DIGITS_ONLY_MIN: Final[dict[Strictness, int]] = {"password": 6, "strong": 20, "weak": 32}
LETTERS_ONLY_MIN: Final[dict[Strictness, int]] = {"password": 16, "strong": 24, "weak": 32}
MIXED_LETTERS_MIN: Final = 12

HEX_32: Final = re.compile(r"(?:0[xX])?[0-9a-fA-F]{64}\Z")
BASE58: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]+\Z")
BASE64_32: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=?\Z")
UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
ADDRESS: Final = re.compile(r"0[xX][0-9a-fA-F]{40}\Z")
EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}\Z")
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d|\Z)")
NUMBER: Final = re.compile(r"[-+$€]?[\d.,_]+(?:[eE][+-]?\d+)?(?:%|[a-zA-Z]{1,5})?\Z")
REFERENCE: Final = re.compile(
    r"\$\{\w+[^}]{0,80}\}?\Z|\$[A-Z_][A-Z0-9_]*\Z|\$\(|\$\{\{|\{\{|%[A-Z_]{3,}%|%\(?\w*\)?s\Z"
    r"|[A-Za-z_][\w.]*\(|(?:process|os|env|environ|config|self|this|settings|ctx|args|opts|options|request|req|data"
    r"|params|secrets|vars|vault|inputs|st|app|import)\b[.\[]|(?:vault|op|env|file|ssm|sops|keychain|https?|wss?|arn):"
)
PLACEHOLDER: Final = re.compile(
    r"(?i)[x*.•_-]{4,}\Z|\*{3,}|x{6,}|\.{3}\Z|…|redacted|placeholder|your[-_ ]|[-_]here\b|<[^>]*>?\Z"
    r"|\[(?:secret|redacted)|(?:change|replace)[-_]?me"
)
PIECE: Final = re.compile(r"(?:[A-Z]?[a-z]+)+\d{0,3}\Z|[A-Z]+\d{0,3}\Z|\d{1,8}[A-Za-z]{0,2}\Z|\Z")
SEPARATORS: Final = re.compile(r"[-_./:@+|\\,~]+")
PATH: Final = re.compile(r"(?:/|\.{1,2}/|~/|[A-Za-z]:[\\/])")
_NAMES_WITH_DIGITS: Final = """
    argon2 argon2id base16 base32 base58 base58check base64 base64url bcrypt bip32 bip39 bip44 blake2b blake3
    ed25519 hmac-sha256 http2 keccak256 md5 oauth2 pbkdf2 rs256 secp256k1 sha1 sha256 sha3 sha384 sha512
    token2022 utf-8 utf8 web3auth x25519 x509
"""
NAMES_WITH_DIGITS: Final = frozenset(_NAMES_WITH_DIGITS.split())


def is_base58_32(value: str) -> bool:
    """Return whether the value is 32 bytes in base58: a mint, a wallet, a blockhash, or a secret seed."""
    return 32 <= len(value) <= 44 and bool(BASE58.match(value)) and len(base58_bytes(value)) == 32


def base58_bytes(value: str) -> bytes:
    """Return the bytes of a base58 text, which must be one."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number = 0
    for character in value:
        number = number * 58 + alphabet.index(character)
    zeros = len(value) - len(value.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def base64_bytes(value: str) -> bytes | None:
    """Return the bytes of a text in either alphabet of base64, padded or not."""
    plain = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None


def is_key_of_32_bytes(value: str) -> bool:
    """Return whether the value has the shape of a private key: 32 bytes in hex, base58 or base64.

    Mints, hashes and public keys have it too: only a label tells.
    """
    if HEX_32.match(value) or is_base58_32(value):
        return True
    return bool(BASE64_32.match(value)) and len(base64_bytes(value) or b"") == 32 and not _is_words(value)


def looks_secret(value: str, strictness: Strictness, *, sign: str = "=") -> bool:
    """Return whether a labelled value is one that only a machine or a careful person makes up.

    ``weak``: the label has an everyday meaning on a trading desk ("token: BONK"), so what names a token passes too.
    ``sign`` is what stands between label and value; in prose (':' and 'is') a weak label asks for more.
    """
    # A longer value is judged by its beginning: work must not grow with what a hostile text repeats.
    value = value[:JUDGED_LENGTH_MAX]
    if len(value) < LENGTH_MIN[strictness] or _is_known_harmless(value, strictness):
        return False
    if strictness == "weak" and not _is_weak_secret(value, sign):
        return False
    if UUID.match(value):
        return True
    letters = sum(map(str.isalpha, value))
    digits = sum(map(str.isdigit, value))
    if digits == len(value):
        return digits >= DIGITS_ONLY_MIN[strictness]
    if letters == len(value):
        return letters >= LETTERS_ONLY_MIN[strictness] or (letters >= MIXED_LETTERS_MIN and _is_irregular(value))
    if strictness == "password":
        return not _is_prose_with_signs(value, digits)
    return (digits > 0 and letters > 0 and not _is_words(value)) or _is_irregular(value)


def _is_known_harmless(value: str, strictness: Strictness) -> bool:
    if value.lower() in NAMES_WITH_DIGITS or EMAIL.match(value) or DATE.match(value):
        return True
    if REFERENCE.match(value) or PLACEHOLDER.search(value):
        return True
    if PATH.match(value) and _is_words(value):
        return True
    return bool(strictness != "password" and NUMBER.match(value) and len(value) < DIGITS_ONLY_MIN[strictness])


def _is_weak_secret(value: str, sign: str) -> bool:
    if sign != "=" and (len(value) < 16 or UUID.match(value)):
        return False
    if UUID.match(value) or ADDRESS.match(value) or (BASE58.match(value) and len(value) in range(32, 45)):
        return False
    return not _is_words(value, pieces_min=1)


def _is_words(value: str, pieces_min: int = 2) -> bool:
    """Return whether the value is made of words and short numbers: a slug, a path, a ticker, a version."""
    pieces = SEPARATORS.split(value)
    return len(pieces) >= pieces_min and all(PIECE.match(piece) and not _is_irregular(piece) for piece in pieces)


def _is_irregular(value: str) -> bool:
    """Return whether capitals stand where no word, name or camelCase puts them."""
    turns = sum(a.islower() and b.isupper() for a, b in pairwise(value))
    return turns >= 3 and len(value) < turns * 5


def _is_prose_with_signs(value: str, digits: int) -> bool:
    strange = sum(character in "!#$%^&*+=~?@<>{}[]" for character in value)
    if not digits and not strange:
        return True
    pieces = SEPARATORS.split(value)
    return len(pieces) >= 3 and all(piece.isdigit() or (piece.islower() and piece.isalpha()) for piece in pieces)
