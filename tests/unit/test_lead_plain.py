"""What is read without the libraries is read as they read it."""

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from processors.lead import normalise, plain


def as_the_library_reads_the_address(raw: str) -> str | None:
    try:
        return validate_email(raw, check_deliverability=False).normalized
    except EmailNotValidError:
        return None


def as_the_library_reads_the_number(raw: str) -> str | None:
    try:
        number = phonenumbers.parse(raw, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@pytest.mark.parametrize("raw", ["joe@example.com", "Joe.Doe+ads_2@mail-1.Example.CO.uk", "1@2.de"])
def test_an_address_in_plain_letters_needs_no_library(raw: str) -> None:
    assert plain.email(raw) == as_the_library_reads_the_address(raw)


_MAILBOXES = st.one_of(
    st.sampled_from(["joe", "Info", "postmaster", "a.b", ".a", "a..b", "o'hara", '"joe"', "josé", "x" * 250, ""]),
    st.text("aZ0._+-@\"<'é ", max_size=70),
)
_LABELS = st.one_of(
    st.sampled_from(["example", "com", "DE", "test", "local", "xn--mnchen-3ya", "xn--a", "ab--c", "x" * 63, "y" * 64]),
    st.text("aZ0-é\u0301_ ", max_size=5),
)


@given(_MAILBOXES, st.lists(_LABELS, max_size=5).map(".".join))
@example("sales", "Example.com")
@example("joe", "@example.com")
@example("x" * 242, "example.com")
@example("x" * 243, "example.com")
@example("x" * 232, "xn--mnchen-3ya.de")
def test_an_address_is_read_as_the_library_reads_it_or_not_at_all(mailbox: str, domain: str) -> None:
    raw = f"{mailbox}@{domain}"
    assert plain.email(raw) in (None, as_the_library_reads_the_address(raw))


@pytest.mark.parametrize(
    "raw",
    [
        "+1 (212) 555-2671",
        "+49 151.123 45678",
        "+4915112345678",
        "+14155552671",
        "+393331234567",
        "+8613812345678",
        "+97150123456",
    ],
)
def test_a_number_in_e164_needs_no_library(raw: str) -> None:
    assert plain.phone(raw) == as_the_library_reads_the_number(raw)


_CODES = st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)).map(str)
_NATIONAL = st.text("0123456789", max_size=15)
_PREFIXED = st.tuples(st.sampled_from(["0", "00", "1", "8", "9", "15", "0150", "044", "1150"]), _NATIONAL).map("".join)


@given(st.tuples(st.one_of(_CODES, st.just("999"), st.just("0")), st.one_of(_NATIONAL, _PREFIXED)).map("".join))
@example("49015112345678")
@example("5491123456789")
@example("5211234567890")
@example("390612345678")
@example("4915112345678\n")
@example("13105551")
def test_a_number_is_read_as_the_library_reads_it_or_not_at_all(digits: str) -> None:
    number = f"+{digits}"
    assert plain.phone(number) in (None, as_the_library_reads_the_number(number))


_GROUPED = st.lists(
    st.one_of(st.text("0123456789", max_size=5), st.sampled_from([" ", "(", ")", "-", ".", "--", ") ("]))
)


@given(_CODES, _GROUPED.map("".join))
@example("49", " (0) 151 123-45678")
@example("49", "-(1511) 234 5678 ")
@example("49", " " * 240 + "1511 2345678")
def test_a_number_in_groups_is_read_as_the_library_reads_it_or_not_at_all(code: str, rest: str) -> None:
    for raw in (f"+{code}{rest}", f"+({code}){rest}"):
        assert plain.phone(raw) in (None, as_the_library_reads_the_number(raw))


@given(_GROUPED.map("".join))
@example("0049 151 12345678")
@example("0151 12345678")
def test_where_no_country_is_named_the_library_finds_none(raw: str) -> None:
    assert not plain.names_no_country(raw) or as_the_library_reads_the_number(raw) is None


def as_the_library_reads_the_dialled(raw: str, region: str) -> str | None:
    """The only reading of a number that people of a country dial."""
    readings = dict(normalise.readings(raw, region))
    return next(iter(readings)) if len(readings) == 1 else None


@pytest.mark.parametrize(
    ("raw", "region"),
    [
        ("0151 23456789", "DE"),
        ("(030) 1234-5678", "DE"),
        ("07400 123456", "GB"),
        ("(212) 555-2671", "US"),
        ("1 212 555 2671", "US"),
        ("06 12 34 56 78", "FR"),
        ("612 345 678", "ES"),
        ("098765 43210", "IN"),
    ],
)
def test_a_number_as_its_country_dials_it_needs_no_library(raw: str, region: str) -> None:
    expected = as_the_library_reads_the_dialled(raw, region)
    assert expected is not None
    assert expected == plain.national(raw, region) or raw.startswith("1")  # which may be the country's own code


_REGIONS = st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS))
_KINDS = st.sampled_from([phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE])


@st.composite
def dialled(draw: st.DrawFn) -> tuple[str, str]:
    """A number of a country, some of its digits changed, with or without what is dialled before it."""
    region = draw(_REGIONS)
    example_number = phonenumbers.example_number_for_type(region, draw(_KINDS))
    digits = phonenumbers.national_significant_number(example_number) if example_number else "0"
    kept = digits[: draw(st.integers(0, len(digits)))]
    rest = draw(st.text("0123456789", max_size=max(2, len(digits) - len(kept) + 1)))
    before = draw(st.sampled_from(["", "", "0", "00", "1", "8", "011", "15", "0" + digits[:2], digits[:2]]))
    between = draw(st.sampled_from(["", " ", "-", ") ", "."]))
    return f"{before}{kept}{between}{rest}", region


@given(dialled(), _REGIONS)
@example(("0049 151 12345678", "DE"), "DE")
@example(("49 151 12345678", "DE"), "DE")
@example(("011 44 7400 123456", "US"), "CA")
@example(("02 1234567", "IT"), "IT")
@example(("15123456789", "DE"), "AT")
def test_a_dialled_number_is_read_as_the_library_reads_it_or_not_at_all(
    number: tuple[str, str], elsewhere: str
) -> None:
    raw, home = number
    for region in (home, elsewhere):
        assert plain.national(raw, region) in (None, as_the_library_reads_the_dialled(raw, region))


@given(_GROUPED.map("".join), _REGIONS)
def test_dialled_groups_are_read_as_the_library_reads_them_or_not_at_all(raw: str, region: str) -> None:
    assert plain.national(raw, region) in (None, as_the_library_reads_the_dialled(raw, region))


@given(st.text("+0123456789 ().-/x;٣", max_size=20))
def test_what_is_written_otherwise_is_read_as_the_library_reads_it_or_not_at_all(raw: str) -> None:
    assert plain.phone(raw) in (None, as_the_library_reads_the_number(raw))
