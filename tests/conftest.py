"""What every test may ask for."""

import gc
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import trading.adapters.evm  # noqa: F401 - puts the limit of recursion back, before a test imports what raises it

ROOT = Path(__file__).resolve().parent.parent
COLLECTED_AFTER = (20_000, 20, 20)
"""Thresholds of the garbage collector: at Python's own (700, 10, 10) a tenth of a run is spent looking for cycles."""

# How long an example takes is the machine's load here, and says nothing of the code.
settings.register_profile("loaded machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loaded machine")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A run in the background of a shell hands the ignored Ctrl-C on to whatever the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Spare the collector what lives until the end: passing over thousands of tests each time is a tenth of a run."""
    del session
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECTED_AFTER)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def market_dir() -> Path:
    """Recorded market data, which is not part of the project (see README, "Recorded data")."""
    directory = Path(os.environ.get("MEMMCP_MARKET_DIR", ROOT.parent / "shared" / "market"))
    if not (directory / "README.md").exists():
        pytest.skip(f"no recorded market data at {directory}: set MEMMCP_MARKET_DIR")
    return directory
