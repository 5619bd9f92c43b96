"""Makes a loadable program of one object file without data: an ELF shared object as the Solana loader wants it.

    clang -target bpf -mcpu=v1 -O2 -ffreestanding -fno-builtin -c swap.c -o swap.o
    python -m trading.rehearsal.programs.link swap.o swap.so

What a linker would do more (data, several objects, calls between functions) is refused. Layouts: the ELF-64 object file
format; relocation R_BPF_64_32 names a system call by its symbol.
"""

import struct
import sys
from pathlib import Path
from typing import Final, NamedTuple

_ELF_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_REL: Final = struct.Struct("<QQ")
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")
_DYNAMIC: Final = struct.Struct("<QQ")
EM_BPF: Final = 247
ET_REL: Final = 1
ET_DYN: Final = 3
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_DYNAMIC, SHT_REL, SHT_DYNSYM = 1, 2, 3, 6, 9, 11
R_BPF_64_32: Final = 10
DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_REL, DT_RELSZ, DT_RELENT = 5, 6, 10, 11, 17, 18, 19
GLOBAL_FUNCTION: Final = 0x12
GLOBAL_NOTYPE: Final = 0x10
_EXECUTE, _WRITE, _READ = 1, 2, 4


class _Section(NamedTuple):
    name: str
    kind: int
    data: bytes
    info: int


def link(object_file: bytes, entry: str = "entrypoint") -> bytes:
    """Return the program. Raises: ValueError for an object that has more than one function and its system calls."""
    sections = _sections(object_file)
    text = next((each for each in sections if each.name == ".text"), None)
    if text is None or not text.data:
        msg = "the object has no code"
        raise ValueError(msg)
    kept = [each.name for each in sections if each.name.startswith((".data", ".rodata", ".bss")) and each.data]
    if kept:
        msg = f"data sections are not linked: {', '.join(kept)}"
        raise ValueError(msg)
    symbols = _symbols(sections)
    calls: list[tuple[int, str]] = []
    for each in sections:
        if each.kind == SHT_REL and each.name == ".rel.text":
            for offset, info in _REL.iter_unpack(each.data):
                if info & 0xFFFFFFFF != R_BPF_64_32:
                    msg = f"relocation of type {info & 0xFFFFFFFF} at {offset} is not linked"
                    raise ValueError(msg)
                calls.append((offset, symbols[info >> 32]))
    return _shared(text.data, calls, entry)


def _sections(elf: bytes) -> list[_Section]:
    header = _ELF_HEADER.unpack_from(elf)
    if header[0][:4] != b"\x7fELF" or header[1] != ET_REL or header[2] != EM_BPF:
        msg = "this is no object file for BPF"
        raise ValueError(msg)
    offset, count, names_at = header[6], header[12], header[13]
    raw = [_SECTION.unpack_from(elf, offset + i * _SECTION.size) for i in range(count)]
    names = elf[raw[names_at][4] :][: raw[names_at][5]]
    return [_Section(_text(names, each[0]), each[1], elf[each[4] :][: each[5]], each[7]) for each in raw]


def _symbols(sections: list[_Section]) -> list[str]:
    table = next(each for each in sections if each.kind == SHT_SYMTAB)
    names = next(each for each in sections if each.name == ".strtab").data
    return [_text(names, name) for name, *_ in _SYMBOL.iter_unpack(table.data)]


def _text(names: bytes, at: int) -> str:
    return names[at : names.index(b"\0", at)].decode()


def _shared(code: bytes, calls: list[tuple[int, str]], entry: str) -> bytes:
    """Lay out header, program headers, code, dynamic section, symbols, relocations, sections: address = offset."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (entry, *dict.fromkeys(name for _, name in calls)))
    at_name = {name: names.index(b"\0" + name.encode() + b"\0") + 1 for name in (entry, *(name for _, name in calls))}
    externals = list(dict.fromkeys(name for _, name in calls))
    text_at = _ELF_HEADER.size + 3 * _PROGRAM.size
    dynamic_at = _aligned(text_at + len(code))
    dynamic_len = 8 * _DYNAMIC.size
    symbols_at = dynamic_at + dynamic_len
    symbols = _SYMBOL.pack(0, 0, 0, 0, 0, 0) + _SYMBOL.pack(at_name[entry], GLOBAL_FUNCTION, 0, 1, text_at, len(code))
    symbols += b"".join(_SYMBOL.pack(at_name[name], GLOBAL_NOTYPE, 0, 0, 0, 0) for name in externals)
    names_at = symbols_at + len(symbols)
    relocations_at = _aligned(names_at + len(names))
    relocations = b"".join(
        _REL.pack(text_at + offset, (2 + externals.index(name)) << 32 | R_BPF_64_32) for offset, name in calls
    )
    dynamic = b"".join(
        _DYNAMIC.pack(tag, value)
        for tag, value in (
            (DT_STRTAB, names_at),
            (DT_SYMTAB, symbols_at),
            (DT_STRSZ, len(names)),
            (DT_SYMENT, _SYMBOL.size),
            (DT_REL, relocations_at),
            (DT_RELSZ, len(relocations)),
            (DT_RELENT, _REL.size),
            (0, 0),
        )
    )
    end = relocations_at + len(relocations)
    labels = b"\0.text\0.dynamic\0.dynsym\0.dynstr\0.rel.dyn\0.shstrtab\0"
    sections_at = _aligned(end + len(labels))

    def section(label: bytes, kind: int, flags: int, at: int, length: int, rest: tuple[int, int, int, int]) -> bytes:
        address = 0 if label == b".shstrtab" else at
        return _SECTION.pack(labels.index(b"\0" + label + b"\0") + 1, kind, flags, address, at, length, *rest)

    headers = [
        bytes(_SECTION.size),
        section(b".text", SHT_PROGBITS, 6, text_at, len(code), (0, 0, 8, 0)),
        section(b".dynamic", SHT_DYNAMIC, 3, dynamic_at, len(dynamic), (4, 0, 8, _DYNAMIC.size)),
        section(b".dynsym", SHT_DYNSYM, 2, symbols_at, len(symbols), (4, 1, 8, _SYMBOL.size)),
        section(b".dynstr", SHT_STRTAB, 2, names_at, len(names), (0, 0, 1, 0)),
        section(b".rel.dyn", SHT_REL, 2, relocations_at, len(relocations), (3, 0, 8, _REL.size)),
        section(b".shstrtab", SHT_STRTAB, 0, end, len(labels), (0, 0, 1, 0)),
    ]
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    sizes = (_ELF_HEADER.size, _PROGRAM.size, 3, _SECTION.size, len(headers), len(headers) - 1)
    header = _ELF_HEADER.pack(ident, ET_DYN, EM_BPF, 1, text_at, _ELF_HEADER.size, sections_at, 0, *sizes)
    programs = _PROGRAM.pack(1, _READ | _EXECUTE, text_at, text_at, text_at, len(code), len(code), 8)
    rest_len = end - dynamic_at
    programs += _PROGRAM.pack(1, _READ | _WRITE, dynamic_at, dynamic_at, dynamic_at, rest_len, rest_len, 8)
    programs += _PROGRAM.pack(2, _READ | _WRITE, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8)
    parts = (
        (0, header + programs),
        (text_at, code),
        (dynamic_at, dynamic),
        (symbols_at, symbols),
        (names_at, names),
        (relocations_at, relocations),
        (end, labels),
        (sections_at, b"".join(headers)),
    )
    out = bytearray(sections_at + len(headers) * _SECTION.size)
    for at, data in parts:
        out[at : at + len(data)] = data
    return bytes(out)


def _aligned(offset: int) -> int:
    return (offset + 7) & ~7


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(link(Path(sys.argv[1]).read_bytes()))
