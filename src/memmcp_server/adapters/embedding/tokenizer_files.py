"""The tokenizer of all-MiniLM-L6-v2, built from the vocabulary that this package carries.

The model's data package holds weights only. The vocabulary is that of bert-base-uncased (Apache-2.0), one token a
line, its line number its id; everything else about the tokenizer is the few settings below.
"""

import gzip
import hashlib
import json
from importlib import resources
from pathlib import Path

from memmcp_server.domain.identifiers import Json

VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
TOKENS_MAX = 256
"""What the model was trained to read (its card's ``max_seq_length``); more text is cut."""

_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class DamagedFile(Exception):
    """A file that this package needs does not have the pinned checksum."""


def vocabulary() -> dict[str, int]:
    """Return token -> id. Raises: DamagedFile."""
    packed = resources.files(__package__).joinpath("data", "vocab.txt.gz").read_bytes()
    text = gzip.decompress(packed)
    digest = hashlib.sha256(text).hexdigest()
    if digest != VOCABULARY_SHA256:
        message = f"vocab.txt.gz has sha256 {digest}, expected {VOCABULARY_SHA256}: reinstall the package"
        raise DamagedFile(message)
    # Not splitlines: some tokens are line separators of their own.
    tokens = text.decode("utf-8").removesuffix("\n").split("\n")
    return {token: number for number, token in enumerate(tokens)}


def write_tokenizer(directory: Path) -> None:
    """Write the four files that fastembed reads beside ``model.onnx``."""
    vocab = vocabulary()
    documents: dict[str, Json] = {
        "tokenizer.json": _tokenizer(vocab),
        "tokenizer_config.json": {
            "do_lower_case": True,
            "model_max_length": TOKENS_MAX,
            "tokenizer_class": "BertTokenizer",
            **_named_specials(),
        },
        "special_tokens_map.json": _named_specials(),
        "config.json": {"model_type": "bert", "hidden_size": 384, "pad_token_id": vocab["[PAD]"]},
    }
    for name, document in documents.items():
        (directory / name).write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def _named_specials() -> dict[str, Json]:
    return {f"{token[1:-1].lower()}_token": token for token in _SPECIAL_TOKENS}


def _tokenizer(vocab: dict[str, int]) -> Json:
    def special(token: str) -> Json:
        return {"SpecialToken": {"id": token, "type_id": 0}}

    def text(sequence: str, type_id: int) -> Json:
        return {"Sequence": {"id": sequence, "type_id": type_id}}

    separator_of_pair: Json = {"SpecialToken": {"id": "[SEP]", "type_id": 1}}
    single: list[Json] = [special("[CLS]"), text("A", 0), special("[SEP]")]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": vocab[token],
                "content": token,
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
            for token in _SPECIAL_TOKENS
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, text("B", 1), separator_of_pair],
            "special_tokens": {
                token: {"id": token, "ids": [vocab[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": dict(vocab),
        },
    }
