"""The usual e-mail address and telephone number, read as the libraries read them, or not at all. Performs no I/O.

Nearly every answer is one of these, and the libraries look at each of its characters in turn, in thirty times as long.
None is whatever they have to decide, which is all that may be invalid too; a property test holds both to them.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES, EMAIL_MAX_LENGTH

_MAILBOX = re.compile(r"([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@([A-Za-z0-9.-]+)")
_LOWERED = frozenset(CASE_INSENSITIVE_MAILBOX_NAMES)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_LONGEST = 40  # characters; the library reads a few more
_GROUPING = str.maketrans("", "", " ().-")  # what people group digits with
_NATIONAL = re.compile(r"[0-9(][0-9 ().-]*")
_KINDS = (
    "mobile",
    "fixed_line",
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)


def email(raw: str) -> str | None:
    """Of a mailbox and a domain in plain letters: the address, its domain in lower case."""
    if len(raw) > EMAIL_MAX_LENGTH or not (found := _MAILBOX.fullmatch(raw)):
        return None
    mailbox, domain = found.groups()
    known = _domain(domain)
    return f"{mailbox}@{known}" if known is not None and mailbox.lower() not in _LOWERED else None


def phone(raw: str) -> str | None:
    """Of a number in E.164, however it is grouped, of a length that its country has: the number."""
    if not raw.startswith("+") or len(raw) > _LONGEST:
        return None
    number = raw.translate(_GROUPING)
    if not _E164.fullmatch(number) or not (plan := _plan(number[1:4])):
        return None
    national = number[plan.begins :]
    # A leading zero may be part of the number, and a prefix may have to go.
    stays = national[0] != "0" and not (plan.prefix and plan.prefix.match(national))
    return number if stays and len(national) in plan.lengths else None


def names_no_country(raw: str) -> bool:
    """Whether the library would surely find no calling code in a number: it is plain digits, grouped, without a +."""
    return _NATIONAL.fullmatch(raw) is not None


def national(raw: str, region: str | None) -> str | None:
    """Of a number that is dialled within its country, however it is grouped, which can be read in no other way: the
    number in E.164. `region` is ISO 3166-1 alpha-2.
    """
    if region is None or len(raw) > _LONGEST or not names_no_country(raw) or not (habit := _habit(region)):
        return None
    digits = raw.translate(_GROUPING)
    if digits.startswith(habit.other_readings) or (habit.abroad and habit.abroad.match(digits)):
        return None
    if habit.prefix and (dialled := habit.prefix.match(digits)):
        digits = digits[dialled.end() :]
    # A leading zero may be part of the number.
    return habit.calling_code + digits if digits[:1] != "0" and habit.has(digits) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A country's numbers: where they begin behind a + and its code, what may stand before them, how long they are."""

    begins: int
    prefix: re.Pattern[str] | None
    lengths: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Habit:
    """How numbers of a country are dialled within it, and which there are."""

    calling_code: str  # with its +
    other_readings: tuple[str, ...]  # beginnings that may be those of a number with its country
    abroad: re.Pattern[str] | None  # what is dialled before a number of another country
    prefix: re.Pattern[str] | None  # what is dialled before one of the same
    all: tuple[frozenset[int], re.Pattern[str]]  # lengths, any if empty; and what they look like
    kinds: tuple[tuple[frozenset[int], re.Pattern[str]], ...]  # mobile and fixed first

    def has(self, digits: str) -> bool:
        """Whether it is a number of one of the kinds that the country has."""
        return _is_of(self.all, digits) and any(_is_of(kind, digits) for kind in self.kinds)


def _is_of(kind: tuple[frozenset[int], re.Pattern[str]], digits: str) -> bool:
    lengths, pattern = kind
    return (not lengths or len(digits) in lengths) and pattern.fullmatch(digits) is not None


@lru_cache(maxsize=1024)
def _domain(domain: str) -> str | None:
    """As the library writes it; None where it refuses it, or writes it in other letters and so of another length."""
    try:
        found = validate_email(f"a@{domain}", check_deliverability=False).domain
    except EmailNotValidError:
        return None
    return found if found == domain.lower() else None


@cache
def _plan(digits: str) -> _Plan | None:
    """Of the country whose calling code the first three digits of a number begin with; None where there is none."""
    for length in (1, 2, 3):
        code = int(digits[:length])
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            region = phonenumbers.region_code_for_country_code(code)
            known = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
            if known is None or known.general_desc is None:
                return None
            prefix, numbers = known.national_prefix_for_parsing, known.general_desc
            return _Plan(
                begins=1 + length,
                prefix=re.compile(prefix) if prefix else None,
                lengths=frozenset((*numbers.possible_length, *numbers.possible_length_local_only)),
            )
    return None


@cache
def _habit(region: str) -> _Habit | None:
    """None for what is no country, for a calling code that is mainly another's, and where numbers are rewritten."""
    known = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if known is None or known.national_prefix_transform_rule or known.leading_digits:
        return None
    if phonenumbers.region_code_for_country_code(known.country_code or 0) != region:
        return None
    every, *kinds = (
        (frozenset(each.possible_length), re.compile(each.national_number_pattern))
        for each in (known.general_desc, *(getattr(known, kind) for kind in _KINDS))
        if each is not None and each.national_number_pattern
    )
    return _Habit(
        calling_code=f"+{known.country_code}",
        other_readings=("00", str(known.country_code)),
        abroad=re.compile(known.international_prefix) if known.international_prefix else None,
        prefix=re.compile(known.national_prefix_for_parsing) if known.national_prefix_for_parsing else None,
        all=every,
        kinds=tuple(kinds),
    )
