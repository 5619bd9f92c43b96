"""``/swap/v2/build``: instructions for a transaction that we build and alone sign. A body of ``ports.SwapRouter``.

Metis routes, Jupiter takes no fee, and the signature is known before anything is sent: the main path.
"""

import base64
import binascii
from typing import Final

from solders.hash import Hash

from trading.adapters.jupiter.gateway import JupiterApi
from trading.adapters.jupiter.models import Build, Instruction
from trading.adapters.jupiter.offers import check_answer, check_wanted, evidence, impact_bps, parsed, venues
from trading.errors import RouteRefused
from trading.model.chain import BlockhashSeen, InstructionWanted, SwapOffer, SwapWanted

COMPUTE_BUDGET: Final = "ComputeBudget111111111111111111111111111111"
LABEL: Final = "Metis"  # Jupiter's terms: what the user must be shown the route as
_SET_PRICE: Final = 3
_PRICE_BYTES: Final = 9


class JupiterBuild:
    """Offers by ``/swap/v2/build``, exact in only, SOL wrapped and unwrapped on the way."""

    def __init__(self, api: JupiterApi) -> None:
        self._api = api

    @property
    def name(self) -> str:
        return "jupiter-build"

    async def offer(self, wanted: SwapWanted) -> SwapOffer:
        """Ask for an offer. ``blockhash.context_slot`` of the offer is 0: Jupiter does not tell it.

        Raises: RouteRefused with one of no_route, not_tradable, amount_too_small, circular, unauthorized, forbidden,
        bad_request, and not_as_asked for an answer to another question; RouterUnavailable; InvalidInput.
        """
        check_wanted(wanted)
        document = await self._api.get("/swap/v2/build", self._question(wanted))
        build = parsed(Build, document, self._api.gateway)
        check_answer(build, wanted)
        if build.tip_instruction is not None:
            raise RouteRefused("a tip that nobody asked for is in the offer", reason="not_as_asked")
        if build.price_impact_pct is None:
            self._api.gateway.reject("the offer tells no price impact")
        return SwapOffer(
            wanted=wanted,
            out_units=build.out_amount,
            min_out_units=build.other_amount_threshold,
            price_impact_bps=impact_bps(build.price_impact_pct),
            venues=venues(build),
            label=LABEL,
            compute_unit_price_micro_lamports=self._advice(build),
            setup=tuple(map(self._instruction, build.setup_instructions)),
            swap=self._instruction(build.swap_instruction),
            cleanup=(self._instruction(build.cleanup_instruction),) if build.cleanup_instruction else (),
            others=tuple(map(self._instruction, build.other_instructions)),
            lookup_tables=dict(build.addresses_by_lookup_table_address or {}),
            blockhash=self._blockhash(build),
            received_ns=self._api.clock.now_ns(),
            quote=evidence(document),
        )

    def _question(self, wanted: SwapWanted) -> dict[str, str]:
        section = self._api.section
        question = {
            "inputMint": wanted.in_mint,
            "outputMint": wanted.out_mint,
            "amount": str(wanted.amount_in),
            "taker": wanted.wallet,
            "slippageBps": str(wanted.slippage_bps),
            "maxAccounts": str(wanted.max_accounts),
            "wrapAndUnwrapSol": "true",
            "blockhashSlotsToExpiry": str(section.blockhash_slots),
            "computeUnitPricePercentile": str(section.compute_unit_price_percentile),
        }
        # Jupiter takes one of the two, not both.
        if wanted.dexes:
            allowed = [label for label in wanted.dexes if label not in section.dexes_excluded]
            if not allowed:
                raise RouteRefused("every venue that was asked for is excluded", reason="no_route")
            question["dexes"] = ",".join(allowed)
        elif section.dexes_excluded:
            question["excludeDexes"] = ",".join(section.dexes_excluded)
        return question

    def _advice(self, build: Build) -> int:
        """Return the price that the offer's compute budget sets; 0 where it sets none. The limit is ours to set."""
        for each in build.compute_budget_instructions:
            data = self._instruction(each).data
            if each.program_id == COMPUTE_BUDGET and len(data) == _PRICE_BYTES and data[0] == _SET_PRICE:
                return int.from_bytes(data[1:], "little")
        return 0

    def _blockhash(self, build: Build) -> BlockhashSeen | None:
        found = build.blockhash_with_metadata
        if found is None:
            return None
        return BlockhashSeen(str(Hash.from_bytes(bytes(found.blockhash))), found.last_valid_block_height, 0)

    def _instruction(self, given: Instruction) -> InstructionWanted:
        try:
            data = base64.b64decode(given.data, validate=True)
        except (binascii.Error, ValueError):
            self._api.gateway.reject(f"the data of an instruction of {given.program_id} is not base64")
        accounts = tuple((each.pubkey, each.is_signer, each.is_writable) for each in given.accounts)
        return InstructionWanted(given.program_id, accounts, data)
