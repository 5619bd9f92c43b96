"""Secrets that stand in an address, a header, or between the lines of a key file."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from memmcp_server.domain.secrets import SecretFinding

from .values import PLACEHOLDER, REFERENCE, base64_bytes, looks_secret

CREDENTIALS: Final = re.compile(r"://[^\s/:@?#\"'`<>\[\](){}]{0,256}:(?P<secret>[^\s/\"'`<>]{1,256})@(?=[\w\[])")
PATH_KEY: Final = re.compile(
    r"(?:https?|wss?)://[^\s/\"'`<>]{0,128}?(?:alchemy|quiknode|quicknode|infura|ankr|rpcpool|chainstack|getblock"
    r"|helius|syndica|shyft|tatum|drpc|blastapi|nodereal|moralis|triton|chainnodes|onfinality|allthatnode|extrnode)"
    r"[^\s/\"'`<>]{0,64}(?P<path>(?:/[\w.\-=]{0,128}){1,6})"
)
SEGMENT: Final = re.compile(r"[A-Za-z0-9_\-=]{16,128}")
HEADER: Final = re.compile(
    r"authori[sz]ation[\"'`\\]{0,4}\s{0,8}[:=,]\s{0,8}[\"'`\\]{0,4}"
    r"(?P<scheme>(?:bearer|basic|token|digest|api-?key|bot|negotiate|hmac|splunk|key)\s{1,8})?(?P<secret>[^\s\"'`\\<>,;]{8,4096})",
    re.IGNORECASE,
)
BEARER: Final = re.compile(r"(?<![A-Za-z])bearer[\s:=\"']{1,8}(?P<secret>[\w.~+/=\-]{16,4096})", re.IGNORECASE)
BASIC: Final = re.compile(r"(?<![A-Za-z])basic\s{1,8}(?P<secret>[A-Za-z0-9+/]{8,1024}={0,2})", re.IGNORECASE)
KEY_BLOCK: Final = re.compile(r"-{4,5} ?BEGIN (?P<name>[A-Z0-9 ]{0,40}?PRIVATE KEY(?: BLOCK)?) ?-{4,5}")
CLOSING: Final = re.compile(r"-{4,5} ?END [A-Z0-9 ]{0,40}?PRIVATE KEY(?: BLOCK)? ?-{4,5}")
PUTTY_END: Final = re.compile(r"Private-MAC: ?[0-9a-f]+")
KEY_BLOCK_PROBES: Final = ("-- BEGIN", "--BEGIN", "PuTTY-User-Key")
HEADER_PROBES: Final = ("authori", "bearer", "basic ")
PUTTY: Final = re.compile(r"PuTTY-User-Key-File-\d")
BLOCK_LENGTH_MAX: Final = 32_768
BLOCK_BODY: Final = re.compile(
    r"(?:[A-Za-z0-9+/=]{16,}|[A-Za-z0-9+/]{1,15}={0,2}(?=\s|\\)|[A-Z][A-Za-z\-]+: [^\n\\]{0,128}|\\[rn]|[\s\\>|\"'+])+"
)
TRAILING: Final = ".,;:!?)]}>*|\\\"'`"


def in_links(text: str) -> Iterator[SecretFinding]:
    """Find ``scheme://user:password@host`` and the keys that RPC providers put into paths."""
    for match in CREDENTIALS.finditer(text):
        if not _stands_for_another(match["secret"]):
            yield SecretFinding(match.start("secret"), match.end("secret"), "url_password")
    for match in PATH_KEY.finditer(text):
        for segment in SEGMENT.finditer(match["path"]):
            if looks_secret(segment[0], "strong"):
                begin = match.start("path")
                yield SecretFinding(begin + segment.start(), begin + segment.end(), "rpc_api_key")


def in_headers(text: str) -> Iterator[SecretFinding]:
    """Find the credentials of an Authorization header, with or without its name."""
    for match in HEADER.finditer(text):
        secret = match["secret"].rstrip(TRAILING)
        certain = bool(match["scheme"]) and len(secret) >= 16 and "-" not in secret
        if not _stands_for_another(secret) and (certain or looks_secret(secret, "strong") or _is_pair(secret)):
            yield SecretFinding(match.start("secret"), match.start("secret") + len(secret), "authorization")
    for match in BEARER.finditer(text):
        secret = match["secret"].rstrip(TRAILING)
        if looks_secret(secret, "strong"):
            yield SecretFinding(match.start("secret"), match.start("secret") + len(secret), "bearer_token")
    for match in BASIC.finditer(text):
        if _is_pair(match["secret"]):
            yield SecretFinding(match.start("secret"), match.end("secret"), "authorization")


def in_key_blocks(text: str) -> Iterator[SecretFinding]:
    """Find PEM, OpenSSH, PGP and PuTTY private keys, up to their end or as far as the body goes."""
    for opening, closing in ((KEY_BLOCK, CLOSING), (PUTTY, PUTTY_END)):
        begins = [(match.start(), match.end()) for match in opening.finditer(text)]
        ends = [match.end() for match in closing.finditer(text)] if begins else []
        found_until = 0
        for start, body in begins:
            if start < found_until:
                continue
            place = bisect_right(ends, body)
            closed = place < len(ends) and ends[place] - body <= BLOCK_LENGTH_MAX
            found_until = ends[place] if closed else _end_of_body(text, body, body + BLOCK_LENGTH_MAX)
            yield SecretFinding(start, found_until, "pem_private_key")


def _end_of_body(text: str, start: int, end: int) -> int:
    body = BLOCK_BODY.match(text, start, end)
    return start + len(body[0].rstrip()) if body else start


def _stands_for_another(value: str) -> bool:
    return bool(REFERENCE.match(value) or PLACEHOLDER.search(value))


def _is_pair(value: str) -> bool:
    """Return whether the value is base64 of ``user:password``."""
    data = base64_bytes(value)
    return data is not None and b":" in data[1:-1] and data.isascii() and all(32 <= byte < 127 for byte in data)
