"""Names of orders and trajectories outside a run.

Inside a run they are pure functions of what was decided, so that a replay names everything the same. Outside, two
runs over one recorded feed must not be mixed up, so the run's own id goes in front.
"""

SEPARATOR = "."


def public_id(run_id: str, local_id: str) -> str:
    """Return the name under which people, agents and memory know it."""
    return f"{run_id}{SEPARATOR}{local_id}"


def local_id(run_id: str, given: str) -> str:
    """Return the name inside this run; a name without a run is taken as it is."""
    return given.removeprefix(f"{run_id}{SEPARATOR}")
