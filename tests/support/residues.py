"""Look for pieces of text in every file of a directory, in whatever form a store may have kept them.

Each piece is looked for as UTF-8, UTF-16 and base64, in the file as it is and, where it begins like one, in what it
unpacks to (gzip, zlib, zip, the blocks of the index's payloads). Pages of databases and logs are searched raw. All
pieces begin with ``CORE``, so that a file is read through a few times only, and looked at closely where it holds that.
"""

import base64
import contextlib
import gzip
import io
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

CORE = "zqxvault"
BLOCK_FILES = "payload_storage"
"""The folder in which the index keeps payloads, packed (LZ4, after four bytes of length), each from a block on."""

BLOCK_BYTES = 128
UNPACKED_BYTES_MAX = 64 * 1024 * 1024


def marker(name: str) -> str:
    """Return a piece of text that stands nowhere else: letters and digits only, so that nothing has to escape it."""
    return f"{CORE}{name}end"


def found_in(directory: Path) -> dict[str, set[str]]:
    """Return every marker that stands in a file below the directory, with the files (relative) that hold it."""
    found: dict[str, set[str]] = {}
    for path in sorted(directory.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # one that was there a moment ago, such as a draft
            if stat.S_ISREG(path.stat().st_mode):
                data = _written(path)
                packed = _from_blocks(data) if BLOCK_FILES in path.parts else b""
                for name in markers_in(data) | markers_in(packed):
                    found.setdefault(name, set()).add(str(path.relative_to(directory)))
    return found


def texts_in(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Yield what each file below the directory holds, as it is and unpacked, with the file's place (relative)."""
    for path in sorted(directory.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISREG(path.stat().st_mode):
                data = _written(path)
                packed = _from_blocks(data) if BLOCK_FILES in path.parts else b""
                for view in (data, packed, *_unpacked(data)):
                    yield str(path.relative_to(directory)), view


def markers_in(data: bytes) -> set[str]:
    found: set[str] = set()
    for view in (data, *_unpacked(data)):
        found |= _plain(view)
        for encoding in ("utf-16-le", "utf-16-be"):
            if CORE.encode(encoding) in view:
                # At odd and at even offsets alike.
                found |= _plain(b"".join(view[start::2] for start in (0, 1)))
        found |= _in_base64(view)
    return found


def _plain(data: bytes) -> set[str]:
    pattern = re.compile(re.escape(CORE.encode()) + rb"([a-z0-9-]{1,40}?)end")
    return {match.group(1).decode() for match in pattern.finditer(data)} if CORE.encode() in data else set()


def _in_base64(data: bytes) -> set[str]:
    """Decode every run of base64 that holds the core, whichever of three ways it is aligned to the letters."""
    found: set[str] = set()
    for shift in range(3):
        letters = base64.b64encode(b"\0" * shift + CORE.encode())
        # Those that no byte before or after the core has a part in.
        sure = letters[-(-8 * shift // 6) : 8 * (shift + len(CORE)) // 6]
        if sure not in data:
            continue
        for run in re.finditer(rb"[A-Za-z0-9+/_-]{12,}", data):
            if sure in run.group():
                for skip in range(4):
                    letters = run.group()[skip:].translate(bytes.maketrans(b"-_", b"+/"))
                    whole = letters[:-1] if len(letters) % 4 == 1 else letters
                    found |= _plain(base64.b64decode(whole + b"=" * (-len(whole) % 4)))
    return found


def _unpacked(data: bytes) -> Iterator[bytes]:
    with contextlib.suppress(OSError, EOFError, zlib.error, zipfile.BadZipFile):
        if data[:2] == b"\x1f\x8b":
            yield gzip.GzipFile(fileobj=io.BytesIO(data)).read(UNPACKED_BYTES_MAX)
        elif data[:2] in (b"\x78\x01", b"\x78\x9c", b"\x78\xda"):
            yield zlib.decompressobj().decompress(data, UNPACKED_BYTES_MAX)
        elif data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for name in archive.namelist():
                    yield archive.open(name).read(UNPACKED_BYTES_MAX)


def _from_blocks(data: bytes) -> bytes:
    """Return whatever unpacks, to the length that it says, from the beginning of a block."""
    parts: list[bytes] = []
    for start in range(0, len(data), BLOCK_BYTES):
        length = int.from_bytes(data[start : start + 4], "little")
        if 0 < length < (1 << 20):
            parts.append(_lz4(data, start + 4, length))
    return b"\0".join(parts)


def _lz4(data: bytes, place: int, length: int) -> bytes:
    """Return an LZ4 block, or as much of it as makes sense."""
    out = bytearray()
    try:
        while len(out) < length:
            token, place = data[place], place + 1
            count, place = _lz4_length(token >> 4, data, place)
            out += data[place : place + count]
            place += count
            if len(out) >= length:
                break
            back, place = int.from_bytes(data[place : place + 2], "little"), place + 2
            count, place = _lz4_length(token & 15, data, place)
            if not 0 < back <= len(out):
                break
            for _ in range(min(count + 4, length - len(out))):
                out.append(out[-back])
    except IndexError:
        pass  # it ends with the file
    return bytes(out)


def _lz4_length(count: int, data: bytes, place: int) -> tuple[int, int]:
    if count == 15:
        while (more := data[place]) == 255:
            count, place = count + 255, place + 1
        count, place = count + more, place + 1
    return count, place


def _written(path: Path) -> bytes:
    """Return the file without its holes: the index's files are mostly such."""
    with path.open("rb") as file:
        if not hasattr(os, "SEEK_DATA"):
            return file.read()
        parts: list[bytes] = []
        size, place = os.fstat(file.fileno()).st_size, 0
        while place < size:
            try:
                begin = os.lseek(file.fileno(), place, os.SEEK_DATA)
            except OSError:  # nothing but a hole from here on
                break
            place = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            parts.append(os.pread(file.fileno(), place - begin, begin))
        return b"\0".join(parts)
