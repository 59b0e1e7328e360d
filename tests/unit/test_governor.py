"""Who may be asked: budgets, lost access and silence are told apart, and what is decided is told once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ingest.meta.errors import AccessLost, Blocked, GraphError, Missing, OverBudget, Scope, Unavailable
from ingest.meta.graph import BusinessUse, Load, Usage
from ingest.meta.pages import PageAccess
from processors.access import AccessStates, Standing, State, access_record
from processors.governor import BLOCKED_MS, LOAD_MS, UNESTIMATED_MS, Governor

NOW = 1_795_000_000_000
TOKEN = SecretStr("token of two pages")
ONE = PageAccess(page_id="1", token=TOKEN, app_id="7")
TWO = PageAccess(page_id="2", token=TOKEN, app_id="7")
OTHER = PageAccess(page_id="3", token=SecretStr("another token"), app_id="7")
STRANGER = PageAccess(page_id="4", token=SecretStr("a third token"), app_id="8")
PAGES = (ONE, TWO, OTHER, STRANGER)


class Desk:
    def __init__(self) -> None:
        self.now = NOW
        self.states = AccessStates(secret=SecretStr("app secret"), clock=lambda: self.now)
        self.governor = Governor(self.states, clock=lambda: self.now, quiet_ms=60_000)

    def closed(self) -> set[str]:
        """The pages that may not be asked."""
        return {page.page_id for page in PAGES if self.governor.standing(page).state in ("paused", "broken")}


def load(percent: float) -> Load:
    return Load(calls=percent, cpu_time=0.0, total_time=0.0)


def leadgen(percent: float, regain_after: float = 0.0) -> Usage:
    use = BusinessUse(object_id="1", kind="leadgen", load=load(percent), regain_after=regain_after)
    return Usage(business=(use,))


@pytest.mark.parametrize(
    ("error", "closed"),
    [
        (OverBudget("business-limit", scope="page"), {"1"}),
        (OverBudget("token-limit", scope="token"), {"1", "2"}),
        (OverBudget("app-limit", scope="app"), {"1", "2", "3"}),
        (AccessLost("permission", scope="page"), {"1"}),
        (AccessLost("token-expired", scope="token"), {"1", "2"}),
        (AccessLost("capability", scope="app"), {"1", "2", "3"}),
        (Blocked("blocked"), {"1", "2"}),
        (Unavailable("timeout"), set()),
        (Missing("not-found"), set()),
    ],
    ids=lambda value: f"{value.reason}" if isinstance(value, GraphError) else "",
)
def test_a_refusal_closes_what_it_is_about_and_nothing_else(error: GraphError, closed: set[str]) -> None:
    desk = Desk()
    desk.governor.refused(ONE, error, "55")
    assert desk.closed() == closed


@pytest.mark.parametrize(
    ("error", "milliseconds"),
    [
        (OverBudget("business-limit", scope="page", regain_after=420.0), 420_000),
        (OverBudget("business-limit", scope="page"), UNESTIMATED_MS),
        (OverBudget("business-limit", scope="page", regain_after=0.0), UNESTIMATED_MS),
        (Blocked("blocked"), BLOCKED_MS),
    ],
)
def test_a_pause_is_as_long_as_meta_says(error: GraphError, milliseconds: int) -> None:
    desk = Desk()
    desk.governor.refused(ONE, error, "55")
    desk.now = NOW + milliseconds - 1
    assert "1" in desk.closed()
    desk.now += 1
    assert desk.closed() == set()


def test_the_calls_that_were_under_way_when_a_budget_ran_out_tell_no_news() -> None:
    desk = Desk()
    for _ in range(200):
        desk.governor.refused(ONE, OverBudget("business-limit", scope="page", regain_after=120.0), "55")
        desk.now += 3
    assert len(desk.governor.news()) == 1
    assert desk.governor.news() == []


def test_a_dead_token_is_told_once() -> None:
    desk = Desk()
    for _ in range(5):
        desk.governor.refused(ONE, AccessLost("token-expired", scope="token"), "55")
    [told] = desk.governor.news()
    assert (told.state, told.reason, told.page_id) == ("broken", "token-expired", "1")
    assert TOKEN.get_secret_value() not in str(access_record(told))


def test_what_was_told_is_obeyed_by_every_other_worker() -> None:
    desk, second = Desk(), Desk()
    desk.governor.refused(ONE, OverBudget("token-limit", scope="token", regain_after=60.0), "55")
    for told in desk.governor.news():
        record = access_record(told)
        second.states.take((record.key or b"").decode(), record.value)
    assert second.closed() == {"1", "2"}


@pytest.mark.parametrize(
    ("usage", "closed"),
    [
        (leadgen(99.0), set()),
        (leadgen(100.0), {"1"}),
        (leadgen(50.0, regain_after=300.0), {"1"}),
        (Usage(app=load(100.0)), {"1", "2", "3"}),
        (Usage(page=load(101.0)), {"1"}),
        (Usage(business=(BusinessUse(object_id="1", kind="ads_management", load=load(100), regain_after=0),)), set()),
        (Usage(), set()),
    ],
)
def test_a_budget_that_the_headers_call_used_up_is_not_tried(usage: Usage, closed: set[str]) -> None:
    desk = Desk()
    desk.governor.answered(ONE, usage)
    assert desk.closed() == closed


def test_the_last_quarter_of_a_budget_belongs_to_live_leads() -> None:
    desk = Desk()
    desk.governor.answered(ONE, leadgen(80.0))
    assert desk.governor.standing(ONE, live=True).state == "open"
    assert desk.governor.standing(ONE, live=False).reason == "background"
    assert desk.governor.standing(OTHER, live=False).state == "open"
    desk.governor.answered(ONE, leadgen(10.0))
    assert desk.governor.standing(ONE, live=False).state == "open"


def test_what_a_header_said_of_a_budget_is_forgotten_with_the_window_it_spoke_of() -> None:
    desk = Desk()
    desk.governor.answered(ONE, Usage(app=load(90.0), page=load(90.0)))
    desk.now += LOAD_MS - 1
    assert desk.governor.standing(ONE, live=False).reason == "background"
    desk.now += 1
    assert desk.governor.standing(ONE, live=False).state == "open"


def test_single_leads_that_are_missing_put_a_page_in_doubt_and_its_next_lead_ends_it() -> None:
    desk = Desk()
    for _ in range(10):
        assert desk.governor.missed(ONE, "the same lead").state == "doubtful"
    assert desk.closed() == set()
    desk.governor.answered(ONE, Usage())
    assert [told.state for told in desk.governor.news()] == ["doubtful", "open"]


def test_a_form_that_is_given_says_nothing_of_the_leads_of_its_page() -> None:
    desk = Desk()
    for lead_id in ("1", "2", "3", "4"):
        desk.governor.missed(ONE, lead_id)
    desk.now += 1
    desk.governor.gave_form(ONE, Usage())
    assert not desk.governor.readable_since(ONE, NOW)
    assert desk.states.standing(ONE).state == "doubtful"
    assert desk.governor.missed(ONE, "5").state == "broken"


@pytest.mark.parametrize("scope", ["app", "token", "page"])
def test_what_was_opened_again_is_asked_for_one_lead_by_each_of_its_pages(scope: Scope) -> None:
    desk = Desk()
    for page in (ONE, TWO):
        desk.governor.answered(page, Usage())
    desk.now += 1
    desk.governor.refused(ONE, AccessLost("permission", scope=scope), "55")
    desk.now += 60_000
    key = desk.states.key(ONE, scope)
    opened = access_record(Standing(state="open", key=key, reason="repaired", at=desk.now))
    for told in [access_record(news) for news in desk.governor.news()] + [opened]:
        desk.states.take(key, told.value)
    assert desk.closed() == set()
    assert not desk.governor.proven(ONE)
    assert desk.governor.proven(TWO) is (scope == "page")
    desk.governor.answered(TWO, Usage())
    assert desk.governor.proven(TWO)


def test_five_different_leads_that_are_missing_in_a_row_break_a_page() -> None:
    desk = Desk()
    for lead_id in ("1", "2", "3", "4"):
        desk.governor.missed(ONE, lead_id)
    desk.governor.answered(ONE, Usage())
    for lead_id in ("5", "6", "7", "8"):
        assert desk.governor.missed(ONE, lead_id).state == "doubtful"
    assert desk.governor.missed(ONE, "9").state == "broken"
    assert desk.closed() == {"1"}


def test_a_page_that_goes_unanswered_is_left_alone_while_the_others_go_on() -> None:
    desk = Desk()
    for _ in range(6):
        assert desk.closed() == set()
        desk.governor.answered(OTHER, Usage())
        desk.governor.refused(ONE, Unavailable("timeout"), "55")
        desk.now += 1000
    assert desk.closed() == {"1"}
    assert desk.governor.news() == []
    desk.now += 60_000
    assert desk.closed() == set()
    assert not desk.governor.proven(ONE)
    desk.governor.answered(OTHER, Usage())
    desk.governor.refused(ONE, Unavailable("timeout"), "55")
    assert desk.closed() == {"1"}  # one call tells it now
    desk.now += 60_000
    desk.governor.answered(ONE, Usage())
    assert desk.governor.proven(ONE)


def test_no_page_is_left_alone_where_nobody_is_answered() -> None:
    desk = Desk()
    for _ in range(20):
        for page in PAGES:
            desk.governor.refused(page, Unavailable("timeout"), "55")
        desk.now += 1000
    assert desk.closed() == set()


@pytest.mark.parametrize(
    ("leads", "storm"), [(("1", "2", "3"), True), (("1", "1", "1"), False)], ids=["three leads", "one lead three times"]
)
def test_when_most_calls_of_most_pages_fail_for_half_a_minute_it_is_a_storm(
    leads: tuple[str, str, str], storm: bool
) -> None:
    desk = Desk()
    for _ in range(31):
        for page, lead_id in zip(PAGES, leads, strict=False):
            desk.governor.refused(page, Unavailable("timeout"), lead_id)
        if desk.now < NOW + 27_000:
            assert not desk.governor.storm
        desk.now += 1000
    assert desk.governor.storm is storm
    assert desk.governor.silent is storm


@pytest.mark.parametrize(("leads", "storm"), [(5, True), (7, False)])
def test_each_lead_that_a_call_gave_is_an_answer(leads: int, storm: bool) -> None:
    desk, seen = Desk(), False
    for second in range(31):
        desk.governor.answered(ONE, Usage(), leads=leads)
        for page in PAGES[1:]:
            for place in range(2):
                desk.governor.refused(page, Unavailable("timeout"), f"{second}/{place}")
        seen = seen or desk.governor.storm
        desk.now += 1000
    assert seen is storm


def test_a_storm_is_over_with_the_first_answer() -> None:
    desk = Desk()
    for number in range(31):
        desk.governor.refused(ONE, Unavailable("timeout"), str(number))
        desk.now += 1000
    assert desk.governor.storm
    desk.governor.answered(OTHER, Usage())
    assert not desk.governor.storm
    desk.governor.refused(ONE, Unavailable("timeout"), "5")
    assert not desk.governor.storm


def test_one_page_that_fails_among_others_is_no_storm() -> None:
    desk = Desk()
    for _ in range(40):
        for _ in range(5):
            desk.governor.refused(ONE, Unavailable("timeout"), "55")
        desk.governor.answered(OTHER, Usage())
        desk.now += 1000
    assert not desk.governor.storm
    assert not desk.governor.silent


def test_a_word_of_ours_that_was_compacted_away_before_it_was_read_is_not_waited_for() -> None:
    desk = Desk()
    for reason in ("token-invalid", "token-expired"):
        desk.governor.refused(ONE, AccessLost(reason, scope="token"), "55")
    _, last = [access_record(told) for told in desk.governor.news()]
    key = desk.states.key(ONE, "token")
    desk.states.take(key, last.value)
    desk.states.take(key, access_record(Standing(state="open", key=key, reason="repaired", at=NOW)).value)
    assert desk.closed() == set()


def test_a_pause_does_not_open_what_is_broken_and_a_trial_is_no_proof_that_leads_can_be_read() -> None:
    desk = Desk()
    desk.governor.refused(ONE, AccessLost("permission", scope="page"), "55")
    desk.governor.refused(ONE, OverBudget("business-limit", scope="page", regain_after=60.0), "55")
    desk.now += 61_000
    assert desk.closed() == {"1"}
    second = Desk()
    key = second.states.key(ONE, "page")
    second.states.take(key, access_record(Standing(state="open", key=key, reason="repaired", at=NOW)).value)
    assert not second.governor.readable_since(ONE, NOW - 1)


def test_a_page_that_was_not_answered_last_time_is_not_proven() -> None:
    desk = Desk()
    desk.governor.answered(ONE, Usage())
    assert desk.governor.proven(ONE)
    desk.governor.refused(ONE, Unavailable("timeout"), "55")
    assert not desk.governor.proven(ONE)


REFUSALS = st.one_of(
    st.builds(
        lambda scope, seconds: OverBudget("app-limit", scope=scope, regain_after=seconds),
        st.sampled_from(["app", "token", "page"]),
        st.one_of(st.none(), st.floats(0, 7200)),
    ),
    st.builds(lambda scope: AccessLost("permission", scope=scope), st.sampled_from(["app", "token", "page"])),
    st.just(Blocked("blocked")),
    st.just(Unavailable("timeout")),
)


@given(st.lists(st.tuples(st.sampled_from(PAGES), REFUSALS, st.integers(0, 600_000)), max_size=30))
def test_two_workers_that_read_the_same_topic_agree(
    happened: list[tuple[PageAccess, GraphError, int]],
) -> None:
    """One decides, the other only reads; and the first reads its own words back, as late as it likes."""
    desk, second = Desk(), Desk()
    topic = []
    for page, error, passed in happened:
        desk.governor.refused(page, error, "55")
        topic += [access_record(told) for told in desk.governor.news()]
        desk.now += passed
        second.now = desk.now
    before = [desk.states.standing(page) for page in PAGES]
    for record in topic:
        for states in (desk.states, second.states):
            states.take((record.key or b"").decode(), record.value)
    assert [desk.states.standing(page) for page in PAGES] == before
    assert [second.states.standing(page) for page in PAGES] == before


def told(desk: Desk, state: State, at: int, until: int | None = None) -> tuple[str, bytes | None]:
    key = desk.states.key(ONE, "page")
    record = access_record(Standing(state=state, key=key, reason="told by another", until=until, at=at))
    return key, record.value


def test_what_lies_before_our_own_last_word_is_older_than_what_we_know() -> None:
    desk = Desk()
    desk.governor.refused(ONE, OverBudget("business-limit", scope="page", regain_after=600.0), "55")
    [ours] = [access_record(news) for news in desk.governor.news()]
    desk.states.take(*told(desk, "open", NOW - 1))
    assert desk.closed() == {"1"}
    desk.states.take(desk.states.key(ONE, "page"), ours.value)
    desk.states.take(*told(desk, "open", NOW + 1))
    assert desk.closed() == set()


def test_after_a_pause_the_page_is_asked_for_one_lead_also_where_another_worker_told_it() -> None:
    desk = Desk()
    desk.governor.answered(ONE, Usage())
    desk.states.take(*told(desk, "paused", NOW, NOW + 60_000))
    desk.now += 60_000
    assert desk.closed() == set()
    assert not desk.governor.proven(ONE)


def test_what_nobody_can_read_changes_nothing() -> None:
    desk = Desk()
    desk.states.take(*told(desk, "broken", NOW))
    desk.states.take(desk.states.key(ONE, "page"), b"not json")
    assert desk.closed() == {"1"}
    desk.states.take(desk.states.key(ONE, "page"), None)
    assert desk.closed() == set()


def test_of_two_pauses_the_longer_one_counts() -> None:
    desk = Desk()
    desk.governor.refused(ONE, OverBudget("business-limit", scope="page", regain_after=60.0), "55")
    desk.governor.refused(ONE, OverBudget("app-limit", scope="app", regain_after=600.0), "55")
    assert desk.governor.standing(ONE).until == NOW + 600_000


def test_one_silent_page_of_three_is_no_storm_however_often_it_is_asked() -> None:
    desk = Desk()
    for number in range(40):
        for other in (TWO, OTHER):
            desk.governor.answered(other, Usage())
        for call in range(5):
            desk.governor.refused(ONE, Unavailable("timeout"), str(5 * number + call))
        desk.now += 1000
    assert not desk.governor.storm
