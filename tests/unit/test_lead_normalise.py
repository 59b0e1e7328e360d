"""What each kind of answer becomes, and when nothing is claimed."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.lead import normalise


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("joe@example.com", "joe@example.com"),
        ("  Joe.Doe+ads@EXAMPLE.Com\n", "Joe.Doe+ads@example.com"),
        ("josé@münchen.de", "josé@münchen.de"),
    ],
)
def test_an_address_keeps_its_mailbox_and_has_its_domain_in_lower_case(raw: str, expected: str) -> None:
    assert normalise.email(raw) == (expected, None)


@pytest.mark.parametrize("raw", ["joe", "joe@", "joe@example", "a..b@example.com", "joe@example.com.", "none"])
def test_what_is_no_address_is_invalid(raw: str) -> None:
    assert normalise.email(raw) == (None, "invalid")


@pytest.mark.parametrize(
    ("raw", "answered", "guessed", "expected"),
    [
        ("+1 (415) 555-2671", None, None, ("+14155552671", None)),
        ("+49 151 12345678", None, "US", ("+4915112345678", None)),
        ("0151 12345678", "DE", None, ("+4915112345678", None)),
        ("0151 12345678", None, "DE", ("+4915112345678", "region-guessed")),
        ("0044 20 7946 0018", None, "DE", ("+442079460018", None)),
        ("0044 20 7946 0018", None, None, ("+442079460018", None)),
        ("0011 44 20 7946 0018", None, "AU", ("+442079460018", "region-guessed")),
        ("34 612 34 56 78", None, "ES", ("+34612345678", "region-guessed")),
        ("1 415 555 2671", "US", None, ("+14155552671", None)),
        ("١٢٣", None, "EG", (None, "invalid")),
        ("0151 12345678", None, None, (None, "no-region")),
        ("9876543210", None, "US", (None, "invalid")),
        ("+12", None, "US", (None, "invalid")),
        ("call me", None, "US", (None, "invalid")),
    ],
)
def test_a_number_is_read_in_the_country_it_names_or_the_person_or_else_the_form(
    raw: str, answered: str | None, guessed: str | None, expected: tuple[str | None, str | None]
) -> None:
    assert normalise.phone(raw, answered=answered, guessed=guessed) == expected


def test_the_country_a_person_gave_outweighs_that_of_the_form() -> None:
    assert normalise.phone("06 12 34 56 78", answered="FR", guessed="DE") == ("+33612345678", None)


def test_digits_that_are_both_a_national_number_and_one_without_its_plus_are_ambiguous() -> None:
    """+49 49151 12345678 is a valid number of Rhauderfehn, +49 151 12345678 a mobile; people leave out the plus."""
    assert normalise.phone("4915112345678", answered=None, guessed="DE") == (None, "ambiguous")


@pytest.mark.parametrize(
    ("raw", "locale", "expected"),
    [
        ("1971-03-05", None, (date(1971, 3, 5), None)),
        ("1971-03-05T00:00:00+0000", None, (date(1971, 3, 5), None)),
        ("1971/3/5", "de_DE", (date(1971, 3, 5), None)),
        ("05.03.1971", None, (date(1971, 3, 5), None)),
        ("14/07/1985", None, (date(1985, 7, 14), None)),
        ("07/14/1985", "de_DE", (date(1985, 7, 14), None)),
        ("14/07/1985", "en_US", (date(1985, 7, 14), None)),
        ("03/05/1971", "en_US", (date(1971, 3, 5), None)),
        ("03/05/1971", "EN_US", (date(1971, 3, 5), None)),
        ("05/05/1971", "fr_FR", (date(1971, 5, 5), None)),
        ("03/05/1971", "en_GB", (None, "ambiguous")),
        ("03-05-1971", None, (None, "ambiguous")),
        ("31/02/1971", None, (None, "invalid")),
        ("14/14/1985", None, (None, "invalid")),
        ("1850-01-01", None, (None, "invalid")),
        ("2026-11-25", None, (None, "invalid")),
        ("14/07-1985", None, (None, "invalid")),
        ("14/07/85", None, (None, "invalid")),
        ("July 1985", None, (None, "invalid")),
    ],
)
def test_a_date_of_birth_is_claimed_only_if_it_has_one_reading(
    raw: str, locale: str | None, expected: tuple[date | None, str | None]
) -> None:
    assert normalise.birth_date(raw, locale=locale, not_after=date(2026, 11, 24)) == expected


@pytest.mark.parametrize(
    ("raw", "language", "expected"),
    [
        ("DE", None, "DE"),
        ("deu", None, "DE"),
        ("Germany", None, "DE"),
        (" united  STATES ", None, "US"),
        ("United States of America", None, "US"),
        ("UK", None, "GB"),
        ("South Korea", None, "KR"),
        ("Deutschland", "de_DE", "DE"),
        ("ÖSTERREICH", "de_DE", "AT"),
        ("Brasil", "pt_BR", "BR"),
        ("México", "es_LA", "MX"),
        ("Germany", "es_LA", "DE"),
        ("中国", "zh_CN", "CN"),
    ],
)
def test_a_country_is_known_by_its_codes_and_by_its_names_in_english_and_the_language_of_the_form(
    raw: str, language: str | None, expected: str
) -> None:
    assert normalise.country(raw, language=language) == (expected, None)


@pytest.mark.parametrize("language", [None, "de_DE", "xx_XX"])
def test_a_country_that_nobody_knows_is_invalid(language: str | None) -> None:
    assert normalise.country("Atlantis", language=language) == (None, "invalid")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("2015-02-28T08:49:14+0000", datetime(2015, 2, 28, 8, 49, 14, tzinfo=UTC)),
        ("2015-02-28T08:49:14-05:00", datetime(2015, 2, 28, 13, 49, 14, tzinfo=UTC)),
        ("2015-02-28T08:49:14", datetime(2015, 2, 28, 8, 49, 14, tzinfo=UTC)),
        ("1440120384", datetime(2015, 8, 21, 1, 26, 24, tzinfo=UTC)),
        ("yesterday", None),
        ("9" * 30, None),
        ("0001-01-01T00:00:00+0500", None),
    ],
)
def test_a_time_is_read_as_graph_or_the_webhook_writes_it(raw: str, expected: datetime | None) -> None:
    assert normalise.instant(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("1", True), ("", False), (True, True), (False, False), (1, True), (0, False), ("TRUE", True), ("maybe", None)],
)
def test_meta_says_yes_and_no_in_several_ways(raw: object, expected: bool | None) -> None:
    assert normalise.boolean(raw) is expected


@given(st.text(), st.sampled_from([None, "US", "DE", "AQ", "ZZ"]))
def test_no_text_makes_a_reading_raise(raw: str, country: str | None) -> None:
    normalise.text(raw)
    normalise.email(raw)
    normalise.phone(raw, answered=None, guessed=country)
    normalise.birth_date(raw, locale=None, not_after=None)
    normalise.country(raw, language="de_DE")
    normalise.instant(raw)


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2026, 1, 1)), st.sampled_from([None, "en_US", "fr_FR"]))
def test_a_date_is_never_read_as_another_day(born: date, locale: str | None) -> None:
    """Whatever the habit it was written in: the day it means, or nothing."""
    for written in (f"{born:%d/%m/%Y}", f"{born:%d.%m.%Y}", f"{born:%Y-%m-%d}"):
        if locale != "en_US" or not (born.day <= 12 and "/" in written):
            assert normalise.birth_date(written, locale=locale, not_after=None)[0] in {born, None}
