"""The world of the Graph double: ids, tokens, settings, and that a killed double knows everything again."""

import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.graph import facts, ids, settings
from deploy.sandbox.graph.facts import Fact, decode, encode
from deploy.sandbox.graph.leads import full_answer
from deploy.sandbox.graph.state import OtherWorldError, State
from deploy.sandbox.graph.world import World

NUMBERINGS = [ids.PAGES, ids.FORM_IDS, ids.ADS, ids.ADSETS, ids.CAMPAIGNS, ids.PARTS, *ids.LEADS]


def world_in(directory: Path, *, seed: int = 1, history: int = 0) -> State:
    return State(directory, seed=seed, pages=3, history=history)


@given(number=st.integers(min_value=0, max_value=10**11 - 1))
def test_an_id_can_be_turned_back_into_its_number(number: int) -> None:
    for numbering in NUMBERINGS:
        object_id = numbering.id_of(number)
        assert len(object_id) in range(15, 18)
        assert numbering.number_of(object_id) == number


@given(form=st.integers(0, ids.FORMS - 1), n=st.integers(0, ids.LEADS_PER_FORM - 1))
def test_a_lead_id_names_its_form_and_its_place(form: int, n: int) -> None:
    assert ids.lead_number(ids.lead_id(form, n)) == (form, n)


@given(st.text(max_size=20))
def test_a_text_that_is_no_id_is_nobody(text: str) -> None:
    known = [numbering.number_of(text) for numbering in NUMBERINGS]
    assert known == [None] * len(NUMBERINGS) or text.isdigit()


def test_kinds_of_ids_cannot_be_mistaken_for_each_other() -> None:
    shapes = [(numbering.prefix, len(numbering.prefix) + numbering.digits) for numbering in NUMBERINGS]
    for prefix, length in shapes:
        others = [other for other in shapes if other[1] == length and other != (prefix, length)]
        assert not any(prefix.startswith(other) or other.startswith(prefix) for other, _ in others)


def test_two_forms_of_three_have_lead_ids_a_float_would_damage() -> None:
    damaged = [int(float(ids.lead_id(form, 7))) != int(ids.lead_id(form, 7)) for form in range(300)]
    assert 50 < sum(damaged) < 250


def test_settings_follow_from_their_arguments_alone(tmp_path: Path) -> None:
    first = settings("http://127.0.0.1:9", tmp_path / "a", pages=50)
    assert settings("http://127.0.0.1:9", tmp_path / "a", pages=50) == first
    file = Path(first["META_PAGES_FILE"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pages = yaml.safe_load(file.read_text())["pages"]
    world = World(1)
    assert len(pages) == 50
    assert pages[world.page(49).page_id] == {"token": world.page_token(49), "app_id": world.app.app_id}
    assert first["META_GRAPH_URL"] == "http://127.0.0.1:9"
    assert first["META_EXPORT_URL"] == "http://127.0.0.1:9/ads/lead_gen/export_csv/"
    other = settings("http://127.0.0.1:9", tmp_path / "b", seed=2)
    assert other["META_APP_SECRETS"] != first["META_APP_SECRETS"]


EVERYTHING: tuple[Fact, ...] = (
    facts.PagesAdded(count=2),
    facts.FormAdded(form=50_000, at=1_700_000_000, page=1, template="b2b", changes={"name": "Added"}),
    facts.LeadsMade(form=0, count=3, start=1_700_000_000, end=1_700_000_600),
    facts.FormChanged(form=0, changes={"name": "Renamed"}),
    facts.LeadsMade(form=50_000, count=1, start=1_700_000_000, end=1_700_000_000),
    facts.LeadCrafted(form=0, n=1, fields={"platform": None, "is_organic": True}, is_test=True),
    facts.LeadDeleted(form=0, n=2),
    facts.TokenReplaced(page=0),
    facts.TokenMarked(page=1, subcode=463),
    facts.TokenDescribed(
        page=2,
        expires_at=5,
        data_access_expires_at=6,
        missing_scopes=["leads_retrieval"],
        elsewhere=["pages_show_list"],
        issued_at=4,
    ),
    facts.AccessChanged(page=2, how="10"),
    facts.FieldsRestricted(page=0, fields=["ad_id"], code=3, omit=True),
    facts.PageSubscribed(page=0, fields=["leadgen", "feed"]),
    facts.AppSubscribed(callback_url="http://127.0.0.1:1/webhook", fields=["leadgen"], include_values=False),
    facts.ClockSet(ahead=60.0),
)


def test_every_kind_of_fact_survives_the_journal() -> None:
    assert {type(fact) for fact in EVERYTHING} == set(facts.KINDS.values()) - {facts.Began}
    assert [decode(encode(fact)) for fact in EVERYTHING] == list(EVERYTHING)


def test_a_killed_double_knows_everything_again(tmp_path: Path) -> None:
    """Nothing is closed or flushed here: the second world reads what the first has written so far."""
    first = world_in(tmp_path, history=4)
    for fact in EVERYTHING:
        first.record(fact)
    again = world_in(tmp_path, history=4)
    for form in [*range(12), 50_000]:
        assert again.leads_of(form).count == first.leads_of(form).count
        for n in range(first.leads_of(form).count):
            before, after = first.lead(form, n), again.lead(form, n)
            assert full_answer(after, seed=1) == full_answer(before, seed=1)
        assert again.form(form).node == first.form(form).node
    for page in range(5):
        assert again.access(page) == first.access(page)
        assert again.page_token(page) == first.page_token(page)
    assert again.app_subscription == first.app_subscription
    assert again.clock_ahead == 60.0
    first.close()
    again.close()


def test_a_line_torn_by_a_crash_is_forgotten(tmp_path: Path) -> None:
    world_in(tmp_path).close()
    journal = tmp_path / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"fact":"LeadsMade","form":0,"cou')
    state = world_in(tmp_path)
    state.make_leads(0, 1, start=1_700_000_000, end=1_700_000_000)
    state.close()
    again = world_in(tmp_path)
    assert again.leads_of(0).count == 1
    again.close()


def test_a_directory_of_another_seed_is_refused(tmp_path: Path) -> None:
    world_in(tmp_path).close()
    with pytest.raises(OtherWorldError, match="--seed 1"):
        world_in(tmp_path, seed=2)


@pytest.mark.parametrize("line", ['{"fact":"Unheard"}', '{"fact":"PagesAdded","more":1}', "not json"])
def test_a_journal_of_another_version_is_refused_in_a_sentence(tmp_path: Path, line: str) -> None:
    world_in(tmp_path).close()
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write(line + "\n")
    with pytest.raises(OtherWorldError, match="remove it"):
        world_in(tmp_path)


def test_worlds_of_different_seeds_tell_different_secrets_and_answers(tmp_path: Path) -> None:
    one, two = world_in(tmp_path / "1", seed=1, history=3), world_in(tmp_path / "2", seed=2, history=3)
    assert one.world.app.secret != two.world.app.secret
    assert one.page_token(0) != two.page_token(0)
    answers = [full_answer(state.lead(1, 0), seed=state.world.seed)["field_data"] for state in (one, two)]
    assert answers[0] != answers[1]
    one.close()
    two.close()


def test_ten_thousand_pages_are_made_only_when_they_are_asked_for(tmp_path: Path) -> None:
    state = State(tmp_path, seed=1, pages=10_000, history=0)
    pages = list(state.pages())
    assert len({page.page_id for page in pages}) == 10_000
    forms = [form for page in pages for form in state.form_numbers(page.number)]
    assert forms == list(range(8 + 2 * 9_997))
    assert all(state.page_of(form) == page.number for page in pages for form in state.form_numbers(page.number))
    state.close()
