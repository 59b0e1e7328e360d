"""Which version of a form a lead was given on, as far as our looks can tell."""

import json
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.meta.graph import JsonObject, Snapshot, snapshot
from ingest.records import FORMS, Received, Record
from processors.form_history import FormHistory, Given, Kind

FORM = "10"
PAGE = "1"


def node(*keys: str, name: str = "Spring", status: str = "ACTIVE", tracking: Iterable[str] = ()) -> JsonObject:
    return {
        "id": FORM,
        "name": name,
        "status": status,
        "questions": [{"key": key, "label": key.title(), "type": "CUSTOM"} for key in keys],
        "tracking_parameters": [{"key": key, "value": "x"} for key in tracking],
    }


def received(record: Record) -> Received:
    return Received(
        topic=record.topic, partition=0, offset=0, key=record.key, value=record.value, headers=(), timestamp=0
    )


class Looks:
    """A history, and what was told on the way to it."""

    def __init__(self) -> None:
        self.history = FormHistory()
        self.told: list[Record] = []

    def see(self, form: JsonObject, at: int) -> tuple[Kind, ...]:
        news = self.history.news(FORM, PAGE, snapshot(form), now=at)
        if news is None:
            return ()
        self.told.append(news.record)
        self.history.put(news.version)
        return news.kinds

    def at(self, moment: int | None, *keys: str) -> Snapshot | None:
        found = self.history.version_at(FORM, Given(at=moment, keys=frozenset(keys)))
        return found.snapshot if found else None


def test_nothing_is_known_of_a_form_that_nobody_has_seen() -> None:
    assert Looks().at(5, "a") is None


def test_a_lead_goes_with_the_version_that_was_current_when_it_was_given() -> None:
    looks = Looks()
    first, second = node("a", name="Spring"), node("a", name="Summer")
    looks.see(first, 100)
    looks.see(second, 200)

    assert looks.at(150, "a") == snapshot(first)
    assert looks.at(200, "a") == snapshot(second)
    assert looks.at(None, "a") == snapshot(second)


def test_a_form_may_go_back_to_a_version_it_had() -> None:
    looks = Looks()
    first, second = node("a"), node("a", "b")
    for moment, form in ((100, first), (200, second), (300, first)):
        looks.see(form, moment)

    assert [looks.at(moment, "a") for moment in (150, 250, 350)] == [
        snapshot(first),
        snapshot(second),
        snapshot(first),
    ]
    assert [json.loads(record.value or b"")["since"] for record in looks.told] == [[100], [200], [100, 300]]


def test_a_lead_between_two_looks_goes_with_the_version_that_has_its_questions() -> None:
    """The form was edited at some moment before we saw it."""
    looks = Looks()
    looks.see(node("a"), 100)
    looks.see(edited := node("a", "b"), 200)
    looks.see(node("a", "b", "c"), 300)

    assert looks.at(150, "a", "b") == snapshot(edited)


def test_a_lead_whose_questions_only_a_much_later_version_has_goes_with_that() -> None:
    """A look may have met an answer of Meta's that was out of date."""
    looks = Looks()
    for moment, key in ((100, "a"), (200, "b"), (300, "c")):
        looks.see(node(key), moment)

    assert looks.at(150, "c") == snapshot(node("c"))


def test_a_lead_of_a_person_who_had_the_form_open_goes_with_the_version_before() -> None:
    looks = Looks()
    looks.see(before := node("a", "b"), 100)
    looks.see(node("a"), 200)

    assert looks.at(210, "a", "b") == snapshot(before)


def test_a_lead_from_before_our_first_look_goes_with_the_oldest_version_that_has_its_questions() -> None:
    looks = Looks()
    looks.see(oldest := node("a"), 100)
    looks.see(other := node("b"), 200)
    looks.see(node("b", "c"), 300)

    assert looks.at(50, "b") == snapshot(other)
    assert looks.at(50, "nowhere") == snapshot(oldest)


def test_a_lead_with_a_question_that_no_version_has_goes_with_that_of_its_time() -> None:
    looks = Looks()
    looks.see(first := node("a"), 100)
    looks.see(node("b"), 200)

    assert looks.at(150, "a", "nowhere") == snapshot(first)


def test_tracking_parameters_and_followers_are_known_questions() -> None:
    form = node("a", tracking=["utm"])
    questions = form["questions"]
    assert isinstance(questions, list)
    questions.append({"key": "make", "dependent_conditional_questions": [{"field_key": "trim", "name": "Which?"}]})
    looks = Looks()
    looks.see(form, 100)

    known = looks.history.current(FORM)
    assert known is not None
    assert known.keys == ("a", "make", "trim", "utm")


def test_what_is_known_is_no_news_whoever_told_it() -> None:
    """Two that look at one form do not take turns in telling."""
    one, other = Looks(), Looks()
    one.see(node("a"), 100)
    for record in one.told:
        other.history.follow(received(record))

    assert other.see(node("a"), 150) == ()
    assert other.see({**node("a"), "leads_count": 7, "thank_you_page": {"title": "New"}}, 160) == ()


@pytest.mark.parametrize(
    ("form", "kinds"),
    [
        (node("a", "b"), ("changed",)),
        (node("a", status="ARCHIVED"), ("archived",)),
        (node("a", status="DELETED"), ("archived",)),
        (node("a", "b", status="ARCHIVED"), ("changed", "archived")),
        (node("a", tracking=["utm"]), ("changed",)),
        ({**node("a"), "status": None}, ()),
    ],
)
def test_news_is_another_version_another_status_or_another_tracking_parameter(
    form: JsonObject, kinds: tuple[Kind, ...]
) -> None:
    looks = Looks()
    assert looks.see(node("a"), 100) == ("new",)
    assert looks.see(form, 200) == kinds
    assert looks.see(form, 300) == ()


def test_a_form_that_is_active_again_has_changed_and_keeps_its_moments() -> None:
    looks = Looks()
    looks.see(node("a"), 100)
    looks.see(node("a", status="ARCHIVED"), 200)

    assert looks.see(node("a"), 300) == ("changed",)
    assert [json.loads(record.value or b"")["since"] for record in looks.told] == [[100], [100], [100]]


def test_a_record_of_the_first_workers_is_current_since_it_was_seen() -> None:
    looks = Looks()
    looks.see(node("a"), 100)
    told = json.loads(looks.told[0].value or b"")
    del told["since"]
    old = Record(topic=FORMS, key=looks.told[0].key, value=json.dumps(told).encode())

    history = FormHistory()
    history.follow(received(old))
    version = history.current(FORM)
    assert version is not None
    assert version.since == (100,)
    assert version.snapshot == snapshot(node("a"))


@pytest.mark.parametrize(
    "value", [b"", b"null", b"{}", b"[1]", b"\xff", b'{"form_id":"1","version":"v","page_id":null}']
)
def test_a_record_that_cannot_be_read_says_nothing(value: bytes) -> None:
    history = FormHistory()
    history.follow(received(Record(topic=FORMS, key=b"10@v", value=value)))
    assert history.current(FORM) is None


def test_a_form_that_goes_back_and_forth_for_ever_keeps_a_hundred_moments_of_each_version() -> None:
    history = FormHistory()
    for now in range(300):
        news = history.news("10", "1", snapshot(node("a" if now % 2 else "b")), now=now)
        assert news is not None
        history.put(news.version)
    current = history.current("10")
    assert current is not None
    assert (current.keys, current.since) == (("a",), tuple(range(101, 300, 2)))


def test_a_tombstone_forgets_a_version() -> None:
    looks = Looks()
    looks.see(first := node("a"), 100)
    looks.see(node("b"), 200)
    looks.history.follow(received(Record(topic=FORMS, key=looks.told[1].key, value=None)))

    assert looks.at(None, "b") == snapshot(first)
    looks.history.follow(received(Record(topic=FORMS, key=looks.told[0].key, value=None)))
    assert looks.history.current(FORM) is None


def test_an_older_word_that_is_read_later_changes_nothing() -> None:
    """A worker reads what it has told itself once more, with what others told before."""
    looks = Looks()
    looks.see(node("a"), 100)
    looks.see(node("a", status="ARCHIVED"), 200)
    looks.history.follow(received(looks.told[0]))

    assert looks.see(node("a", status="ARCHIVED"), 300) == ()


def test_a_worker_whose_clock_is_behind_is_heard_all_the_same() -> None:
    looks = Looks()
    looks.see(node("a"), 1000)
    looks.see(node("b"), 500)
    looks.see(node("b", status="ARCHIVED"), 500)

    current = looks.history.current(FORM)
    assert current is not None
    assert (current.snapshot.version, current.status) == (snapshot(node("b")).version, "ARCHIVED")
    assert looks.see(node("b", status="ARCHIVED"), 600) == ()


def test_two_that_see_a_version_at_once_tell_of_one_change() -> None:
    """And each of them knows what the other's record leaves out."""
    one, other = Looks(), Looks()
    first, second = node("a", name="Spring"), node("a", name="Summer")
    for looks in (one, other):
        looks.see(node("c"), 50)
        looks.see(first, 100)
    one.see(second, 200)
    other.see(second, 250)
    one.history.follow(received(other.told[-1]))

    assert one.at(150, "a") == snapshot(first)
    assert one.at(200, "a") == snapshot(second)
    assert one.see(second, 300) == ()
    one.see(following := node("c", "d"), 400)
    assert one.at(200, "c") == snapshot(following)


def test_the_second_in_which_a_version_was_seen_is_that_of_the_version() -> None:
    """Meta tells the second of a lead, our looks the millisecond."""
    looks = Looks()
    looks.see(node("a", name="Spring"), 1_795_514_300_000)
    looks.see(seen := node("a", name="Summer"), 1_795_514_400_400)

    lead = Given.read({"created_time": "2026-11-24T10:00:00+0000"}, None)
    assert looks.at(lead.at, "a") == snapshot(seen)


@pytest.mark.parametrize(
    ("lead", "expected"),
    [
        ({"created_time": "2026-11-24T10:00:00+0000"}, 1_795_514_400_999),
        ({"created_time": "soon"}, 7_999),
        ({}, 7_999),
    ],
)
def test_a_lead_without_a_time_is_of_that_of_its_notification(lead: JsonObject, expected: int) -> None:
    assert Given.read(lead, 7).at == expected


def test_what_meta_adds_to_the_answers_is_no_question() -> None:
    lead: JsonObject = {"field_data": [{"name": "a"}, {"name": "phone_number_verified"}, {"name": 1}, "?", {}]}
    assert Given.read(lead, None) == Given(at=None, keys=frozenset({"a", "1"}))
    assert Given.read({"field_data": None}, None).keys == frozenset()


FORMS_OF_A_LIFE = st.lists(st.sets(st.sampled_from("abc"), min_size=1).map(frozenset), min_size=1, max_size=8)


@settings(deadline=None)
@given(life=FORMS_OF_A_LIFE, moment=st.integers(0, 1000), answered=st.sets(st.sampled_from("abcd")))
def test_a_version_that_has_all_answers_goes_before_one_that_has_not(
    life: list[frozenset[str]], moment: int, answered: set[str]
) -> None:
    looks = Looks()
    for place, keys in enumerate(life):
        looks.see(node(*sorted(keys)), 100 * (place + 1))

    found = looks.history.version_at(FORM, Given(at=moment, keys=frozenset(answered)))
    assert found is not None
    assert found.explains(Given(at=None, keys=frozenset(answered))) == any(answered <= keys for keys in life)
    current = life[max(0, min(moment // 100, len(life)) - 1)]
    if answered <= current and moment >= 100:
        assert set(found.keys) == current


@settings(deadline=None)
@given(life=FORMS_OF_A_LIFE, data=st.data())
def test_the_topic_in_whatever_order_tells_the_same(life: list[frozenset[str]], data: st.DataObject) -> None:
    """What compaction leaves is enough, and what is read twice or late does no harm."""
    looks = Looks()
    for place, keys in enumerate(life):
        looks.see(node(*sorted(keys)), 100 * (place + 1))

    compacted = list({record.key: record for record in looks.told}.values())
    shuffled = data.draw(st.permutations(compacted + looks.told))
    whole, last = FormHistory(), FormHistory()
    for record in shuffled:
        whole.follow(received(record))
    for record in compacted:
        last.follow(received(record))

    for moment in range(0, 100 * len(life) + 200, 50):
        asked = Given(at=moment, keys=frozenset("a"))
        assert whole.version_at(FORM, asked) == last.version_at(FORM, asked) == looks.history.version_at(FORM, asked)


@settings(deadline=None)
@given(life=FORMS_OF_A_LIFE)
def test_each_change_is_told_once(life: list[frozenset[str]]) -> None:
    looks = Looks()
    for place, keys in enumerate(life):
        looks.see(node(*sorted(keys)), 100 * (place + 1))

    assert len(looks.told) == 1 + sum(before != after for before, after in pairwise(life))
