"""Which of its signer's wallets a node may work for."""

from typing import Any, cast

import pytest

from trading.config import Sections
from trading.ports import Signer
from trading.runtime.node_run import _Wallets

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T16")]
DESKS, ARBITRAGES, FREE, OTHER = (letter * 32 for letter in "ABCD")


class Keys:
    async def wallets(self) -> list[str]:
        return [DESKS, ARBITRAGES, FREE, OTHER]


@pytest.mark.parametrize(("wanted", "found"), [((), [FREE, OTHER]), ((ARBITRAGES, FREE), [FREE])])
async def test_no_wallet_that_the_desk_or_arbitrage_uses_is_a_nodes(wanted: tuple[str, ...], found: list[str]) -> None:
    desk: dict[str, Any] = {"live": {"wallet": DESKS}, "arbitrage": {"wallet": ARBITRAGES}}
    sections = Sections.model_validate(desk | {"nodes": {"wallets": wanted}})
    assert await _Wallets(cast(Signer, Keys()), sections)() == found
