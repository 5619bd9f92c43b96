from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.agents import Agent, data_directory, environment


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with data_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def desk() -> Iterator[Path]:
    """A data directory whose daemon is kept by a connected agent."""
    with data_directory() as directory:
        agent = Agent(directory, environ=environment())
        agent.initialize()
        yield directory
        agent.close()
