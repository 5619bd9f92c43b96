"""The set-up behind ``make run`` and ``make test``: each step once, again when its inputs change, clear failures."""

import sys
import threading
from pathlib import Path

import pytest
from scripts import set_up

pytestmark = pytest.mark.requirement("Q1")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(set_up, "ROOT", tmp_path)
    monkeypatch.setattr(set_up, "VENV", tmp_path)
    (tmp_path / "lock").write_text("one", encoding="utf-8")
    return tmp_path


def test_a_step_is_done_once_and_again_when_its_input_or_outcome_changes(project: Path) -> None:
    done: list[str] = []

    def work() -> None:
        done.append((project / "lock").read_text(encoding="utf-8"))
        (project / "made").touch()

    def call() -> None:
        set_up.step("packages", [project / "lock"], project / "made", work)

    call()
    call()
    assert done == ["one"]
    (project / "lock").write_text("two", encoding="utf-8")
    call()
    assert done == ["one", "two"]
    (project / "made").unlink()
    call()
    assert done == ["one", "two", "two"]


def test_a_step_that_made_nothing_is_an_error_and_is_tried_again(project: Path) -> None:
    for _ in range(2):
        with pytest.raises(set_up.SetUpError, match="made no made"):
            set_up.step("packages", [project / "lock"], project / "made", lambda: None)


def test_a_lock_is_shared_out_with_each_package_whole_and_once() -> None:
    first, second = "one==1 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n", "two==2 \\\n    --hash=sha256:3\n"
    lock = f"# made by a tool\n{first}{second}three==3\n"
    assert set_up.shares(lock, 2) == [f"{first}three==3\n", second]
    whole = (Path(set_up.__file__).parent.parent / "requirements-dev.lock").read_text("utf-8")
    parts = set_up.shares(whole, set_up.INSTALLERS)
    assert sorted("".join(parts).splitlines()) == sorted(each for each in whole.splitlines() if each[0] != "#")


def test_a_failing_command_shows_its_last_output(project: Path) -> None:
    with pytest.raises(set_up.SetUpError, match="exit code 3:\nno such package"):
        set_up.call([sys.executable, "-c", "print('no such package'); raise SystemExit(3)"], cwd=project)


def test_a_wrong_argument_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert set_up.main(["everything"]) == 2
    assert "run|test" in capsys.readouterr().err


def test_a_folder_that_is_no_virtual_environment_any_more_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = tmp_path / ".venv"
    monkeypatch.setattr(set_up, "VENV", venv)
    monkeypatch.setattr(set_up, "BIN", venv / "bin")
    made: list[object] = []
    monkeypatch.setattr(set_up, "call", lambda command, **_: made.append(command))
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    (venv / "pyvenv.cfg").touch()
    set_up.make_venv()
    assert made == []
    (venv / "pyvenv.cfg").unlink()  # its pip would install into the machine's own Python now
    set_up.make_venv()
    assert made == [[sys.executable, "-m", "venv", "--clear", venv]]


def test_a_command_that_hangs_is_ended_and_named(project: Path) -> None:
    with pytest.raises(set_up.SetUpError, match="took more than 0 s"):
        set_up.call([sys.executable, "-c", "import time; time.sleep(60)"], cwd=project, tries=2, seconds_max=0.2)


@pytest.mark.parametrize(
    ("system", "machine", "libc", "has"),
    [
        ("linux", "x86_64", "glibc", True),
        ("linux", "aarch64", "glibc", False),
        ("linux", "x86_64", "", False),
        ("darwin", "x86_64", "", False),
    ],
)
def test_surfpool_is_fetched_only_where_it_has_a_binary(system: str, machine: str, libc: str, *, has: bool) -> None:
    assert set_up.has_surfpool(system, machine, libc) is has


def test_without_surfpool_the_set_up_goes_on_and_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(set_up, "SURFPOOL", project)
    monkeypatch.setattr(set_up, "has_surfpool", lambda: True)
    monkeypatch.setattr(set_up, "npm_ci", lambda *_, **__: set_up.call([sys.executable, "-c", "raise SystemExit(1)"]))
    for name in ("package.json", "package-lock.json"):
        (project / name).write_text("{}", encoding="ascii")
    set_up.provide_surfpool()
    assert "no Surfpool, its tests will be skipped" in capsys.readouterr().out


def test_npm_installs_beside_pip_where_the_machine_has_a_node_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    began = threading.Event()
    monkeypatch.setattr(set_up, "own_node", lambda: (Path("node"), Path("npm")))
    monkeypatch.setattr(set_up, "provide_npm", lambda _: began.set())

    def python(_: str) -> None:
        assert began.wait(10)

    monkeypatch.setattr(set_up, "provide_python", python)
    set_up.set_up("test")


def test_npm_out_of_a_wheel_comes_after_the_packages_and_what_fails_beside_them_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    monkeypatch.setattr(set_up, "own_node", lambda: None)
    monkeypatch.setattr(set_up, "provide_python", lambda kind: done.append(f"python {kind}"))
    monkeypatch.setattr(set_up, "provide_npm", lambda kind: done.append(f"npm {kind}"))
    set_up.set_up("run")
    assert done == ["python run", "npm run"]

    def away(_: str) -> None:
        msg = "the registry is away"
        raise set_up.SetUpError(msg)

    monkeypatch.setattr(set_up, "own_node", lambda: (Path("node"), Path("npm")))
    monkeypatch.setattr(set_up, "provide_npm", away)
    with pytest.raises(set_up.SetUpError, match="the registry is away"):
        set_up.set_up("test")
    assert done[2:] == ["python test"]
