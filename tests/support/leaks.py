"""Every way in which a key, a passphrase or a word of an address would look if something had let it out."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from solders.keypair import Keypair


def forms_of_key(seed: bytes) -> dict[str, bytes]:
    """Return what to look for, by name. Of the whole 64 bytes and of their secret half, the other one is public."""
    whole = bytes(Keypair.from_seed(seed))
    forms = {
        "base58, 64 bytes": str(Keypair.from_seed(seed)).encode(),
        "raw": seed,
        "escaped": repr(seed)[2:-1].encode(),
        "JSON": json.dumps(list(seed))[1:-1].encode(),
        "JSON without spaces": json.dumps(list(seed), separators=(",", ":"))[1:-1].encode(),
    }
    return {**forms, **_encoded(seed), **{f"{name}, 64 bytes": form for name, form in _encoded(whole).items()}}


def forms_of_text(text: str) -> dict[str, bytes]:
    raw = text.encode()
    return {"text": raw, "UTF-16": text.encode("utf-16-le"), **_encoded(raw)}


def _encoded(raw: bytes) -> dict[str, bytes]:
    forms = {"hex": raw.hex().encode(), "capital hex": raw.hex().upper().encode()}
    for shift in range(3):
        # Letters that a byte before or behind has a part in are not looked for.
        letters = base64.b64encode(b"\0" * shift + raw)
        sure = letters[-(-8 * shift // 6) : 8 * (shift + len(raw)) // 6]
        forms[f"base64 at {shift}"] = sure
        forms[f"base64 of addresses at {shift}"] = sure.translate(bytes.maketrans(b"+/", b"-_"))
    return forms


def found_in(data: bytes, forms: Mapping[str, bytes]) -> list[str]:
    """Return the names of the forms that stand in the data."""
    return [name for name, form in forms.items() if form in data]


def leaks(views: Iterable[tuple[str, bytes]], forms: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return where which form was found."""
    return [(place, name) for place, data in views for name in found_in(data, forms)]


def of_process(pid: int) -> Iterator[tuple[str, bytes]]:
    """Yield the environment and the command line that others can see of a process."""
    for name in ("environ", "cmdline"):
        yield f"/proc/{pid}/{name}", Path(f"/proc/{pid}/{name}").read_bytes()
