"""A form's version changes with what a person was shown, and with nothing else."""

import json
import random
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from ingest.meta.graph import Json, JsonObject, snapshot

FORM: JsonObject = {
    "id": "7",
    "name": "Test drive, München",
    "locale": "de_DE",
    "status": "ACTIVE",
    "page_id": "1",
    "questions": [
        {"id": "11", "key": "email", "type": "EMAIL", "label": "E-Mail"},
        {
            "id": "12",
            "key": "size",
            "type": "CUSTOM",
            "label": "Größe?",
            "options": [
                {"key": "s", "value": "klein", "photo": {"url": "https://a?sig=1"}},
                {"key": "l", "value": "groß"},
            ],
        },
    ],
    "legal_content": {
        "id": "9",
        "privacy_policy": {"url": "https://example.com/privacy", "link_text": "Datenschutz"},
        "custom_disclaimer": {"title": "t", "checkboxes": [{"key": "c1", "text": "Ja", "is_required": True}]},
    },
    "privacy_policy_url": "https://example.com/privacy",
    "context_card": {"title": "Hello"},
}


def changed(path: str, value: Json) -> JsonObject:
    copy = json.loads(json.dumps(FORM))
    *way, last = path.split(".")
    place: Any = copy  # walks lists and objects alike
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[int(last) if last.isdigit() else last] = value
    return cast("JsonObject", copy)


def shuffled(value: Json, chance: random.Random) -> Json:
    if isinstance(value, list):
        return [shuffled(item, chance) for item in value]
    if isinstance(value, dict):
        return {name: shuffled(value[name], chance) for name in chance.sample(list(value), len(value))}
    return value


@given(st.randoms(use_true_random=False), st.integers(), st.integers(), st.integers())
def test_neither_the_order_of_keys_nor_counters_make_another_snapshot(
    chance: random.Random, leads: int, organic: int, expired: int
) -> None:
    counted = FORM | {"leads_count": leads, "organic_leads_count": organic, "expired_leads_count": expired}
    other = shuffled(counted, chance)
    assert isinstance(other, dict)

    assert snapshot(other) == snapshot(FORM)


def test_what_a_person_is_shown_makes_another_version() -> None:
    ways: list[tuple[str, Json]] = [
        ("name", "Test drive"),
        ("locale", "en_US"),
        ("questions.0.label", "Mail"),
        ("questions.0.key", "mail"),
        ("questions.1.options.0.value", "winzig"),
        ("questions.1.options.1.key", "xl"),
        ("legal_content.custom_disclaimer.checkboxes.0.text", "Nein"),
        ("legal_content.privacy_policy.link_text", "Privacy"),
        ("privacy_policy_url", "https://example.com/other"),
        ("questions", None),
        ("legal_content", None),
    ]
    versions = {snapshot(FORM).version, *(snapshot(changed(path, value)).version for path, value in ways)}

    assert len(versions) == len(ways) + 1


def test_the_order_of_questions_and_options_is_part_of_what_is_shown() -> None:
    questions, options = FORM["questions"], cast("Any", FORM)["questions"][1]["options"]
    assert isinstance(questions, list)

    assert snapshot(changed("questions", questions[::-1])).version != snapshot(FORM).version
    assert snapshot(changed("questions.1.options", options[::-1])).version != snapshot(FORM).version


def test_status_cards_and_signed_photo_addresses_keep_the_version_and_stay_in_the_text() -> None:
    for path, value in [
        ("status", "ARCHIVED"),
        ("context_card.title", "Bye"),
        ("questions.1.options.0.photo.url", "https://a?sig=2"),
    ]:
        other = snapshot(changed(path, value))
        assert other.version == snapshot(FORM).version
        assert other.text != snapshot(FORM).text


def test_the_text_is_the_whole_form_without_its_counters() -> None:
    assert json.loads(snapshot(FORM | {"leads_count": 7}).text) == FORM


def test_the_version_is_the_same_on_every_machine() -> None:
    """A changed way of counting would make every form look new, so the figure is written down."""
    assert snapshot(FORM).version == "3e9f787b7810ca7b298ca8f541ed942decc5670210b8f1a0fd95178f08a3384c"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*FORM, "leads_count", "\ud800"]), json_values))
def test_any_form_has_a_snapshot_that_can_be_stored(form: JsonObject) -> None:
    """Half a surrogate pair too, which JSON can write and UTF-8 cannot."""
    found = snapshot(form)

    assert json.loads(found.text.encode()) == {name: value for name, value in form.items() if name != "leads_count"}
    assert len(found.version) == 64
