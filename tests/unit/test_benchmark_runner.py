"""``make bench``: what a benchmark prints is what the document shows."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from benchmarks import run

pytestmark = pytest.mark.requirement("Q3")


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "DOCUMENT", tmp_path / "benchmarks.md")
    return tmp_path / "benchmarks.md"


def fake(monkeypatch: pytest.MonkeyPatch, text: str, code: int) -> None:
    def main(_: list[str]) -> int:
        print(text)
        return code

    monkeypatch.setattr(run, "import_module", lambda _: SimpleNamespace(main=main))


def test_the_section_of_a_benchmark_is_replaced_and_the_others_stay(
    document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("bridge", "| 1 ms |"), ("journal", "| 2 rows |"), ("bridge", "| 3 ms |")):
        fake(monkeypatch, text, 0)
        assert run.main([name]) == 0
    made = document.read_text(encoding="utf-8")
    assert "| 1 ms |" not in made
    assert made.index("| 3 ms |") < made.index("| 2 rows |")


def test_what_is_told_elsewhere_leaves_the_document_alone(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, "| head | 3% |", 0)
    assert run.main(["capacity"]) == 0
    assert "| head | 3% |" in document.with_name("scaling.md").read_text(encoding="utf-8")
    assert not document.exists()


def test_a_missed_goal_is_printed_as_it_is_and_ends_with_one(
    document: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fake(monkeypatch, "| 900 ms, goal 100 |", 1)
    assert run.main(["bridge"]) == 1
    assert "900 ms" in document.read_text(encoding="utf-8")
    assert "1 short of a goal: bridge" in capfd.readouterr().out


def test_an_unknown_benchmark_is_wrong_use(capfd: pytest.CaptureFixture[str]) -> None:
    assert run.main(["everything"]) == 2
    assert "bridge" in capfd.readouterr().err
