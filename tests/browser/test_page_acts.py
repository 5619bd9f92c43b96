"""The action pad on the real paper desk: chosen, understood, confirmed, done once, followed, undone.

What an act came to is read where it is kept: in the daemon's answers and in the desk's own journal, in which each act
is one row. One application and one page serve the whole file; each test begins with a desk that is ACTIVE and holds
BONK. Acts that ``test_page_keys`` does by keyboard alone are not done here again.
"""

import re
from collections.abc import Iterator

import httpx2
import pytest
from playwright.sync_api import Browser, Route, expect
from tests.support.paper_stage import MINT, STRATEGY
from tests.support.signer_stage import armed_signer
from tests.support.signing import PASSPHRASE

from trading.signing.secrets import Passphrase

from .paper_pad import AUTH, PaperPad, paper_pad
from .test_page import axe_violations

pytestmark = [pytest.mark.browser, pytest.mark.requirement("D10")]


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaperPad]:
    with paper_pad(browser, tmp_path_factory.mktemp("pad")) as pad:
        yield pad


@pytest.fixture
def pad(opened: PaperPad) -> PaperPad:
    opened.begin()
    return opened


def test_entries_are_stopped_and_that_is_undone_by_an_act_of_its_own(pad: PaperPad) -> None:
    expect(pad.consequence).to_contain_text("Nothing new is opened")
    assert axe_violations(pad.page, "#acts") == []
    pad.choose("Stop entries", "rebuilding the node")
    pad.send(twice=True)
    expect(pad.answer).to_contain_text("Done: ")
    assert pad.snapshot()["entries_allowed"] is False
    expect(pad.page.locator("#entries")).to_have_text("no entries")
    pad.dialog.get_by_role("button", name="Undo: resume").click()
    expect(pad.consequence).to_contain_text("Entries are allowed again, in the paper desk")
    pad.choose("Resume", "the node is back")
    pad.type_word("resume")
    pad.send()
    expect(pad.answer).to_contain_text("Done: ")
    assert pad.snapshot()["entries_allowed"] is True
    [stopped, resumed] = pad.commands()
    assert (stopped[0], stopped[1]["reason"]) == ("stop_entries", "rebuilding the node")
    assert (resumed[0], resumed[1]["reason"]) == ("resume", "the node is back")
    assert [each["action"] for each in pad.audited()[:2]] == ["resume", "stop_entries"]
    pad.watched.expect_only()


def test_a_desk_that_only_reduces_buys_nothing(pad: PaperPad) -> None:
    pad.choose("Reduce only")
    pad.send()
    expect(pad.answer).to_contain_text("Done: ")
    expect(pad.page.locator("#trading-state")).to_have_text("REDUCING")
    wish = {"scope": "tokens", "weights_bps": {MINT: 2_000}, "reason": "more of it"}
    shown = httpx2.post(f"{pad.daemon.url}/rebalance", json=wish, headers=AUTH).json()
    assert shown["legs"][0]["would_be"] == "denied"
    assert pad.done() == ["reduce_only"]
    pad.watched.expect_only()


def test_selling_everything_needs_the_word_and_is_followed_until_nothing_is_held(pad: PaperPad) -> None:
    pad.choose("Flatten and halt", "the feed lies")
    expect(pad.consequence).to_contain_text("1 position worth")
    pad.send()
    expect(pad.answer).to_have_text("Type the word flatten to confirm it.")
    assert pad.done() == []
    pad.type_word("flatten")
    pad.send(twice=True)
    expect(pad.answer).to_contain_text("1 position is still held.")
    pad.move()
    expect(pad.answer).to_contain_text("Nothing is held any more.")
    snapshot = pad.snapshot()
    assert (snapshot["state"], snapshot["positions"]) == ("HALTED", [])
    assert pad.done() == ["flatten_and_halt"]
    pad.watched.expect_only()


def test_what_adds_risk_is_not_done_in_another_state_than_the_one_that_was_seen(pad: PaperPad) -> None:
    pad.choose("Switch profile")
    pad.dialog.get_by_label("Profile", exact=True).fill("aggressive")
    pad.type_word("profile")

    def reduced_on_the_way(route: Route) -> None:
        pad.daemon.portal.call(pad.paper.control, "reduce_only")
        route.continue_()

    pad.page.route("**/actions/profile", reduced_on_the_way)
    pad.send()
    expect(pad.answer).to_contain_text("The desk is REDUCING by now")
    assert pad.done() == []
    assert pad.snapshot()["profile"] == "foundation"
    pad.watched.expect_only("403 (Forbidden)")


def test_the_profile_is_switched_and_one_that_is_none_is_refused(pad: PaperPad) -> None:
    pad.choose("Switch profile", "the market is calm")
    expect(pad.consequence).to_contain_text("Now: foundation")
    profile = pad.dialog.get_by_label("Profile", exact=True)
    profile.fill("nobodys")
    pad.type_word("profile")
    pad.send()
    expect(pad.answer).to_contain_text("nobodys")
    assert pad.done() == []
    profile.fill("cautious")
    pad.send(twice=True)
    expect(pad.answer).to_contain_text("Done: ")
    expect(pad.page.locator("#profile")).to_have_text("cautious")
    assert pad.snapshot()["profile"] == "cautious"
    assert pad.get("/profiles/log?limit=1")["entries"][0]["why"] == "the market is calm"
    [(kind, switched)] = pad.commands()
    assert (kind, switched["profile"]) == ("switch_profile", "cautious")
    pad.watched.expect_only("422 (Unprocessable")


def test_money_is_booked_and_the_target_set_and_an_amount_that_is_none_is_refused_by_name(pad: PaperPad) -> None:
    before = pad.snapshot()
    pad.choose("Set the target")
    expect(pad.consequence).to_contain_text("The compounding target becomes this much")
    amount = pad.dialog.get_by_label("Amount in SOL")
    amount.fill("a lot")
    pad.send()
    expect(pad.answer).to_contain_text("mount_sol")
    for label, sol in (("Set the target", "25.5"), ("Book a deposit", "1.5"), ("Book a withdrawal", "0.5")):
        pad.choose(label)
        amount.fill(sol)
        pad.send(twice=True)
        expect(pad.answer).to_contain_text("Done: ")
    after = pad.snapshot()
    assert after["compounding"]["target"]["lamports"] == 25_500_000_000
    assert after["net_deposits"]["lamports"] - before["net_deposits"]["lamports"] == 10**9
    assert after["cash"]["lamports"] - before["cash"]["lamports"] == 10**9
    assert pad.get("/projection")["targets"][0]["after"]["lamports"] == 25_500_000_000
    assert pad.done() == ["set_target", "deposit", "withdraw"]
    pad.watched.expect_only("422 (Unprocessable")


def test_a_rebalance_is_shown_confirmed_and_followed_until_every_order_is_settled(pad: PaperPad) -> None:
    pad.choose("Rebalance", "less of it")
    share = pad.dialog.get_by_label(re.compile("^BONK, %"))
    share.fill("nonsense")
    look = pad.dialog.get_by_role("button", name="Show what it would do")
    look.click()
    expect(pad.answer).to_contain_text("The share of")
    share.fill("0")
    look.click()
    expect(pad.page.locator("#acts-preview tbody tr")).to_contain_text("sell 100 %")
    expect(pad.answer).to_contain_text("Nothing has happened yet")
    assert axe_violations(pad.page, "#acts") == []
    trades = pad.snapshot()["trades_total"]
    pad.type_word("rebalance")
    pad.send(twice=True)
    expect(pad.page.locator("#acts-more [data-outcome=working]")).to_be_visible()
    expect(pad.end).to_have_text("1 order is under way.")
    pad.move()
    expect(pad.page.locator("#acts-more [data-outcome=filled]")).to_be_visible()
    expect(pad.end).to_have_text("The end: every order is settled.")
    snapshot = pad.snapshot()
    assert (snapshot["positions"], snapshot["trades_total"]) == ([], trades + 1)
    assert len(pad.done()) == 1
    pad.watched.expect_only()


def test_cash_moves_between_the_strategies_and_nothing_is_traded(pad: PaperPad) -> None:
    before = pad.strategy(STRATEGY)["capital"]["lamports"]
    trades = pad.snapshot()["trades_total"]
    pad.choose("Rebalance", "more for the breakouts")
    pad.pick("What is moved", "buckets")
    pad.dialog.get_by_label(re.compile("^momentum_breakout, %")).fill("60")
    pad.dialog.get_by_label(re.compile("^mean_reversion, %")).fill("10")
    pad.dialog.get_by_label(re.compile("^manual, %")).fill("10")
    pad.send()
    expect(pad.page.locator("#acts-preview tbody tr").first).to_contain_text(STRATEGY)
    pad.type_word("rebalance")
    pad.send(twice=True)
    expect(pad.answer).to_contain_text("Done: ")
    assert pad.strategy(STRATEGY)["capital"]["lamports"] > before
    assert pad.snapshot()["trades_total"] == trades
    pad.watched.expect_only()


def test_a_candidate_is_promoted_only_past_its_gates_and_demoted_again(pad: PaperPad) -> None:
    good, poor = (pad.paper.candidates[name] for name in ("good", "poor"))
    pad.choose("Promote a candidate", "the best we have")
    pad.page.locator("#acts-candidate").select_option(poor)
    pad.send()
    expect(pad.page.locator("#acts-preview")).to_contain_text("not passed")
    expect(pad.answer).to_have_text("Nothing of it can be done now.")
    expect(pad.page.locator("#acts-word-row")).to_be_hidden()
    pad.page.locator("#acts-candidate").select_option(good)
    pad.send()
    expect(pad.page.locator("#acts-preview")).to_contain_text("✓ passed")
    assert axe_violations(pad.page, "#acts") == []
    assert pad.strategy(STRATEGY)["lineage"] == ""
    pad.type_word("promote")
    pad.send(twice=True)
    expect(pad.answer).to_contain_text("Done: ")
    assert pad.strategy(STRATEGY)["lineage"] == good
    pad.dialog.get_by_role("button", name="Undo: demote a strategy").click()
    pad.pick("Strategy", STRATEGY)
    expect(pad.consequence).to_contain_text("its candidate is demoted")
    pad.choose("Demote a strategy", "it smells")
    pad.send(twice=True)
    expect(pad.answer).to_contain_text("Done: ")
    found = {each["id"]: each["stage"] for each in pad.get("/candidates")["candidates"]}
    assert found == {good: "demoted", poor: "candidate"}
    assert pad.done() == ["promote_strategy", "demote_strategy"]
    pad.watched.expect_only()


def test_an_answer_that_was_lost_is_found_by_its_key_and_nothing_is_done_twice(pad: PaperPad) -> None:
    pad.choose("Close a position")
    pad.type_word("close")
    pad.page.route("**/actions/close", lost)
    pad.send()
    expect(pad.answer).to_contain_text("It was done after all")
    pad.move()
    expect(pad.end).to_contain_text("The end: ")
    assert pad.done() == ["close_position"]
    pad.watched.expect_only("ERR_FAILED", "Failed to load resource")


def lost(route: Route) -> None:
    """The request arrives, its answer does not."""
    route.fetch()
    route.abort()


def test_an_act_without_an_answer_outlives_the_reload_and_the_login_and_happens_once(pad: PaperPad) -> None:
    pad.choose("Close a position", "before the reload")
    pad.dialog.get_by_label("Percent of it").fill("50")
    pad.type_word("close")
    pad.page.route("**/actions/close", lost)
    # Nobody finds out by its key before the page is gone.
    pad.page.route("**/actions/answer*", lambda route: route.abort())
    pad.send()
    expect(pad.answer).to_contain_text("It is not known whether it was done")
    pad.page.unroute_all(behavior="wait")
    pad.page.context.clear_cookies()
    pad.page.reload()
    expect(pad.page.locator("#acts-open")).to_have_text("Act…")
    pad.log_in()
    expect(pad.page.locator("#acts-open .badge")).to_have_text("1")
    pad.page.keyboard.press("k")
    item = pad.dialog.locator("#acts-sent li")
    expect(item).to_contain_text("This was sent before the reload, at ")
    expect(item).to_contain_text("Close a position. 50 % of BONK")
    expect(item.get_by_role("status")).to_contain_text("It was done: ")
    assert axe_violations(pad.page, "#acts") == []
    pad.move()
    expect(item.get_by_role("status")).to_contain_text("The end: ")
    expect(pad.page.locator("#acts-open .badge")).to_be_hidden()
    item.get_by_role("button", name="Put away").click()
    expect(item).to_have_count(0)
    assert [(kind, body["percent"]) for kind, body in pad.commands()] == [("close_position", 50)]
    pad.watched.expect_only("ERR_FAILED", "Failed to load resource")


def test_what_never_arrived_is_sent_again_after_the_reload_as_it_was(pad: PaperPad) -> None:
    amount = pad.dialog.get_by_label("Amount in SOL")
    before = pad.snapshot()["cash"]["lamports"]
    pad.choose("Book a deposit", "from the cold wallet")
    amount.fill("0.25")
    pad.page.route("**/actions/**", lambda route: route.abort())
    with pad.page.expect_request("**/actions/deposit") as first:
        pad.send()
    expect(pad.answer).to_contain_text("It is not known whether it was done")
    pad.page.unroute_all(behavior="wait")
    pad.page.reload()
    expect(pad.page.locator("#acts-open .badge")).to_have_text("1")
    pad.page.keyboard.press("k")
    item = pad.dialog.locator("#acts-sent li")
    expect(item.get_by_role("status")).to_contain_text("Nothing of it is done so far")
    assert pad.done() == []
    # The same act by the form is the same one, too: whatever comes of it, it comes once.
    pad.choose("Book a deposit", "worded anew")
    amount.fill("0.25")
    with pad.page.expect_request("**/actions/deposit") as second:
        pad.page.route("**/actions/deposit", lost)
        pad.page.route("**/actions/answer*", lambda route: route.abort())
        pad.send()
    assert second.value.post_data_json["idempotency_key"] == first.value.post_data_json["idempotency_key"]
    expect(pad.answer).to_contain_text("It is not known whether it was done")
    pad.page.unroute_all(behavior="wait")
    again = httpx2.post(second.value.url, json=first.value.post_data_json, headers=AUTH)
    assert again.json()["status"] == "done"
    expect(pad.answer).to_contain_text("It was done after all")
    assert pad.snapshot()["cash"]["lamports"] - before == 250_000_000
    assert pad.done() == ["deposit"]
    pad.watched.expect_only("ERR_FAILED", "Failed to load resource")


def test_what_is_sent_again_from_the_list_needs_its_word_once_more(pad: PaperPad) -> None:
    pad.choose("Flatten and halt", "the feed lies")
    pad.type_word("flatten")
    pad.page.route("**/actions/flatten-and-halt", lambda route: route.abort())
    pad.send()
    expect(pad.answer).to_contain_text("It is not known whether it was done")
    pad.page.unroute_all(behavior="wait")
    pad.page.reload()
    expect(pad.page.locator("#acts-open .badge")).to_have_text("1")
    pad.page.keyboard.press("k")
    pad.dialog.get_by_role("button", name="Send it again…").click()
    expect(pad.consequence).to_contain_text("As it was sent before: 1 position")
    pad.send()
    expect(pad.answer).to_have_text("Type the word flatten to confirm it.")
    pad.type_word("flatten")
    pad.send()
    expect(pad.answer).to_contain_text("1 position is still held.")
    pad.move()
    expect(pad.answer).to_contain_text("Nothing is held any more.")
    [(kind, body)] = pad.commands()
    assert (kind, body["reason"]) == ("flatten_and_halt", "the feed lies")
    pad.watched.expect_only("ERR_FAILED", "Failed to load resource")


def test_the_sidecar_answers_with_reasons_and_cost_and_its_failure_is_said(pad: PaperPad) -> None:
    pad.dialog.get_by_label("Ask the sidecar", exact=True).check()
    pad.pick("About", MINT)
    pad.dialog.get_by_label("Question").fill("Is <b>BONK</b> done?")
    pad.paper.chat.faults = ["words"]
    pad.send()
    expect(pad.answer).not_to_have_text(re.compile("^(|Sent; waiting for the desk.)$"))
    assert "answered" not in pad.answer.inner_text()
    pad.paper.chat.faults = []
    pad.send(twice=True)
    expect(pad.answer).to_have_text("a-model answered.")
    expect(pad.page.locator("#acts-more")).to_contain_text("500 + 100 tokens")
    expect(pad.page.locator("#acts-more .quoted li").first).to_have_text("the move is late")
    assert axe_violations(pad.page, "#acts") == []
    assert pad.get("/sidecar/log?limit=5")["entries"][0]["question"]
    assert pad.done() == []
    pad.watched.expect_only("503 (Service Unavailable)")


def test_a_task_of_the_pad_is_claimed_and_answered_where_it_was_filed(pad: PaperPad) -> None:
    before = len(pad.get("/tasks")["tasks"])
    [position] = pad.snapshot()["positions"]
    pad.choose("Ask an agent", "")
    pad.pick("About", position["trajectory_id"])
    pad.dialog.get_by_label("What is asked").fill("Was it the unlock?")
    pad.send(twice=True)
    watched = pad.dialog.locator(".watched")
    expect(watched).to_contain_text("Any connected agent may take it")
    assert axe_violations(pad.page, "#acts") == []
    task, *_ = pad.get("/tasks")["tasks"]
    context = pad.get(f"/tasks/{task['id']}")["context"]
    assert context
    assert len(pad.get("/tasks")["tasks"]) == before + 1
    tasks = f"{pad.daemon.url}/tasks/{task['id']}"
    httpx2.post(f"{tasks}/claim", json={"agent": "quick"}).raise_for_status()
    expect(watched).to_contain_text("Held by quick")
    httpx2.post(f"{tasks}/complete", json={"agent": "quick", "text": "<i>Yes</i>."}).raise_for_status()
    expect(watched.locator(".quoted")).to_have_text("<i>Yes</i>.")
    pad.watched.expect_only()


@pytest.mark.requirement("T10")
def test_real_money_is_disarmed_by_one_act_and_armed_on_a_terminal_alone(pad: PaperPad) -> None:
    pad.choose("Disarm real money", "be safe")
    pad.send()
    expect(pad.answer).to_contain_text("signer")
    assert "Done" not in pad.answer.inner_text()
    with pad.daemon.portal.wrap_async_context_manager(armed_signer(pad.signing)) as signer:
        (pad.signing.parent / "mandate.toml").write_bytes((pad.signing / "mandate.toml").read_bytes())
        pad.choose("Disarm real money", "the chain lies")
        expect(pad.page.locator("#acts-live")).to_contain_text("Armed: first")
        pad.send(twice=True)
        expect(pad.answer).to_have_text("Done: real money was disarmed.")
        assert signer.core.status()["armed"] is None
        assert pad.get("/live")["armed"] is None
        pad.choose("Arm real money", "")
        expect(pad.dialog.get_by_role("region", name="Commands")).to_contain_text("memmcp-trade live arm --data-dir")
        expect(pad.dialog.get_by_label("What the mandate allows")).to_contain_text("Passkey above")
        expect(pad.page.locator("#acts-send")).to_be_hidden()
        assert axe_violations(pad.page, "#acts") == []
        for path in ("/live", "/live/arm", "/actions/arm"):
            refused = httpx2.post(f"{pad.daemon.url}{path}", json={"reason": "arm it"}, headers=AUTH)
            assert refused.status_code in (404, 405)
        assert signer.core.status()["armed"] is None
        text = (pad.signing / "mandate.toml").read_bytes()
        pad.daemon.portal.call(signer.core.arm, Passphrase(PASSPHRASE), text, pad.signing / "mandate.toml")
        expect(pad.page.locator("#acts-live")).to_contain_text("Armed: first")
        assert pad.done() == []
        pad.watched.expect_only("503 (Service Unavailable)")
