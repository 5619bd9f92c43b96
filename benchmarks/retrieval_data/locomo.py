"""Reads a file in LoCoMo's published format (Maharana et al., 2024). The file itself is not part of this project.

A list of samples; each has ``conversation`` with ``speaker_a``, ``speaker_b``, ``session_N`` (turns with ``speaker``,
``dia_id``, ``text`` and, for images, ``blip_caption``) and ``session_N_date_time``, and ``qa`` (``question``,
``evidence``: turn ids, ``category``: 1 to 5). Evidence is at times written "D8:6; D9:17", "D:11:26" or "D30:05".
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .cases import Corpus, Question
from .conversations import TURN_S, turn_of

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_EVIDENCE = re.compile(r"D:?\s*(\d+)\s*:\s*(\d+)")
_SESSION = re.compile(r"session_(\d+)")
_DATE_FORMATS = ("%I:%M %p on %d %B, %Y", "%I:%M %p on %d %B %Y")


class BadData(ValueError):
    """The file is not in LoCoMo's format; the message says where."""


def read(path: Path) -> list[Corpus]:
    """Return one corpus a sample. Raises: BadData, OSError."""
    try:
        samples = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        message = f"{path}: not JSON: {problem}"
        raise BadData(message) from problem
    if not isinstance(samples, list):
        message = f"{path}: expected a list of samples, got {type(samples).__name__}"
        raise BadData(message)
    return [_corpus(sample, str(_field(sample, "sample_id", number))) for number, sample in enumerate(samples)]


def evidence_ids(said: object) -> list[str]:
    """Return the turn ids of an evidence entry as ``D<session>:<turn>``, whatever way they are written."""
    return [f"D{int(session)}:{int(turn)}" for session, turn in _EVIDENCE.findall(str(said))]


def moment(said: str) -> datetime:
    """Return the time of a session: "1:56 pm on 8 May, 2023". Raises: BadData."""
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime(said.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    message = f"session date_time: expected like '1:56 pm on 8 May, 2023', got {said!r}"
    raise BadData(message)


def _field(sample: object, name: str, otherwise: object) -> object:
    if not isinstance(sample, dict):
        message = f"a sample: expected an object, got {type(sample).__name__}"
        raise BadData(message)
    return sample.get(name, otherwise)


def _corpus(sample: Mapping[str, Any], sample_id: str) -> Corpus:
    conversation = sample.get("conversation")
    if not isinstance(conversation, dict):
        message = f"sample {sample_id}: has no conversation"
        raise BadData(message)
    name = "locomo-" + re.sub(r"[^a-z0-9]+", "-", sample_id.lower())
    memories, threads = [], {}
    numbers = sorted(int(found[1]) for key in conversation if (found := _SESSION.fullmatch(key)))
    for session in numbers:
        start = moment(str(conversation.get(f"session_{session}_date_time", "")))
        for place, turn in enumerate(conversation[f"session_{session}"]):
            text, caption = str(turn.get("text", "")), turn.get("blip_caption")
            shown = f"{text} [image: {caption}]" if caption else text
            [dia_id] = evidence_ids(turn["dia_id"])
            memory_id = f"{name}/{dia_id}"
            at = start + timedelta(seconds=TURN_S * place)
            memories.append(turn_of(name, memory_id, len(memories), str(turn["speaker"]), shown, at))
            threads[memory_id] = f"{name}/session_{session}"
    known = {memory.id for memory in memories}
    questions, without, unknown = [], 0, 0
    for asked in sample.get("qa", []):
        ids = {f"{name}/{each}" for said in asked.get("evidence") or [] for each in evidence_ids(said)}
        unknown += len(ids - known)
        found = frozenset(ids & known)
        if not found:
            without += 1
            continue
        category = CATEGORIES.get(asked.get("category"), f"category {asked.get('category')}")
        questions.append(Question(str(asked["question"]), category, found))
    notes = (f"{without} questions without evidence left out, {unknown} evidence turns unknown",)
    return Corpus(name, tuple(memories), threads, tuple(questions), notes)
