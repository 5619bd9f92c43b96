"""Sessions of the page: each begins with a secret that works once or is known, and each ends."""

import pytest
from tests.doubles.clocks import ManualClock

from memmcp_server.domain.grants import Scope
from memmcp_server.errors import InvalidInput, TooManyCalls, Unauthorized
from memmcp_server.services.logins import (
    AGE_S,
    CODE_S,
    CODES_MAX,
    FAILURES_MAX,
    FAILURES_S,
    IDLE_S,
    SESSIONS_MAX,
    Logins,
)

pytestmark = pytest.mark.requirement("O5")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def logins(clock: ManualClock) -> Logins:
    return Logins(clock)


def test_a_code_begins_one_session_of_its_role(logins: Logins) -> None:
    role, code, lasts_s = logins.new_code("viewer")
    assert (role, lasts_s) == ("viewer", CODE_S)
    assert logins.redeem(code) == ("viewer", False)
    assert logins.redeem(code) is None
    with pytest.raises(InvalidInput, match="role is 'root'; allowed are viewer, operator"):
        logins.new_code("root")


def test_a_code_expires_and_the_oldest_make_room(logins: Logins, clock: ManualClock) -> None:
    _, code, _ = logins.new_code("operator")
    clock.advance(CODE_S)
    assert logins.redeem(code) is None
    first, *_rest = [logins.new_code("operator")[1] for _ in range(CODES_MAX + 1)]
    assert logins.redeem(first) is None
    assert logins.redeem(_rest[0]) == ("operator", False)


def test_a_session_is_bounded_by_idleness_and_by_age(logins: Logins, clock: ManualClock) -> None:
    idle = logins.begin("operator", "code", is_steward=True)
    clock.advance(IDLE_S)
    assert logins.find(idle) is None
    used = logins.begin("viewer", "code")
    for _ in range(int(AGE_S / (IDLE_S / 2)) - 1):
        clock.advance(IDLE_S / 2)
        found = logins.find(used)
        assert found is not None
        assert logins.is_alive(found)
    clock.advance(IDLE_S / 2)
    assert not logins.is_alive(found)
    assert logins.find(used) is None


def test_a_viewer_may_read_and_an_operator_is_not_bounded(logins: Logins) -> None:
    viewer, operator = logins.find(logins.begin("viewer", "desk-tv")), logins.find(logins.begin("operator", "code"))
    assert viewer is not None
    assert viewer.grant is not None
    assert viewer.grant.scopes == {Scope.MEMORY_READ}
    assert operator is not None
    assert operator.grant is None
    assert not operator.is_steward


def test_sessions_are_ended_one_by_one_all_at_once_and_by_too_many(logins: Logins) -> None:
    first, second = logins.begin("operator", "code"), logins.begin("viewer", "code")
    found = logins.find(first)
    assert found is not None
    assert logins.end(first)
    assert not logins.end(first)
    assert not logins.is_alive(found)
    _, code, _ = logins.new_code("operator")
    assert logins.end_all() == 1
    assert logins.find(second) is None
    assert logins.redeem(code) is None
    oldest, *others = [logins.begin("viewer", "code") for _ in range(SESSIONS_MAX + 1)]
    assert logins.find(oldest) is None
    assert all(logins.find(each) for each in others)


def test_after_too_many_failures_nobody_is_heard_for_a_while(logins: Logins, clock: ManualClock) -> None:
    for _ in range(FAILURES_MAX):
        logins.require_patience()
        assert isinstance(logins.failed(), Unauthorized)
    with pytest.raises(TooManyCalls) as refused:
        logins.require_patience()
    assert refused.value.retry_after_s == FAILURES_S
    clock.advance(FAILURES_S)
    logins.require_patience()


def test_nothing_that_is_kept_opens_a_session(logins: Logins) -> None:
    secret, (_, code, _) = logins.begin("operator", "code"), logins.new_code("operator")
    assert secret not in repr(logins)
    assert code not in repr(logins)
