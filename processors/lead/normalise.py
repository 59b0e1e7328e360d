"""Reads one answer as one kind of value, or says why it cannot. Performs no I/O of its own.

Each function takes what a person typed and returns a value and a code: a value without a code is certain, a value with
one was chosen and may be wrong, a code without a value claims nothing. Nothing is guessed silently.
"""

import gettext
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Literal
from unicodedata import normalize

import phonenumbers
import pycountry
from email_validator import EmailNotValidError, validate_email

from processors.lead import plain

Code = Literal["invalid", "ambiguous", "no-region", "region-guessed", "several", "dummy"]

_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?:T.*)?")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})")
_MONTHS = 12
_OLDEST_BIRTH = date(1900, 1, 1)

_SAID = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}

# What people write for countries that ISO 3166 names otherwise, or that it does not name.
_OTHER_NAMES = {
    "america": "US",
    "burma": "MM",
    "cape verde": "CV",
    "czech republic": "CZ",
    "england": "GB",
    "great britain": "GB",
    "holland": "NL",
    "ivory coast": "CI",
    "macau": "MO",
    "northern ireland": "GB",
    "palestine": "PS",
    "russia": "RU",
    "scotland": "GB",
    "swaziland": "SZ",
    "the netherlands": "NL",
    "turkey": "TR",
    "u.k.": "GB",
    "u.s.": "US",
    "u.s.a.": "US",
    "uae": "AE",
    "uk": "GB",
    "vatican": "VA",
    "wales": "GB",
}


def text(raw: str) -> str:
    """One line in Unicode's composed form, no spaces around it or doubled; empty if nothing was typed."""
    return normalize("NFC", " ".join(raw.split()))


def boolean(raw: object) -> bool | None:
    """Meta says yes as true, 1 or "1", and no as false, 0 or ""; None is anything else."""
    return _SAID.get(str(raw).strip().lower())


def instant(raw: str) -> datetime | None:
    """A time in UTC, from ISO 8601 as the Graph API writes it or from unix seconds as a webhook does."""
    try:
        if raw.isdecimal():
            return datetime.fromtimestamp(int(raw), UTC)
        moment = datetime.fromisoformat(raw)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


# Every target of a lead reads again what the lead's own mapping has read a moment before.
_recent = lru_cache(maxsize=128)


@_recent
def email(raw: str) -> tuple[str | None, Code | None]:
    """An address of valid syntax; no DNS is asked."""
    typed = raw.strip()
    if usual := plain.email(typed):
        return usual, None
    try:
        return validate_email(typed, check_deliverability=False).normalized, None
    except EmailNotValidError:
        return None, "invalid"


@_recent
def phone(raw: str, *, answered: str | None, guessed: str | None) -> tuple[str | None, Code | None]:
    """E.164. `answered` is the country the person gave, `guessed` that of the form's locale, as ISO 3166-1 alpha-2.

    A number that names its country need only have a possible length, since numbering plans grow; one that is read in
    the way of some country must be valid there, and may have only one such reading.
    """
    if usual := plain.phone(raw):
        return usual, None
    international = None if plain.names_no_country(raw) else _parse(raw, None)
    if international is not None:
        possible = phonenumbers.is_possible_number(international)
        return (_e164(international), None) if possible else (None, "invalid")
    region = answered or guessed
    if usual := plain.national(raw, region):
        return usual, None if answered else "region-guessed"
    match list(dict(readings(raw, region)).items()):
        case []:
            return None, "invalid" if region else "no-region"
        case [(number, names_its_country)]:
            return number, None if answered or names_its_country else "region-guessed"
        case _:
            return None, "ambiguous"


def birth_date(raw: str, *, locale: str | None, not_after: date | None) -> tuple[date | None, Code | None]:
    """A day in the past, read as `day` does."""
    born, code = day(raw, locale=locale)
    if born is not None and (born < _OLDEST_BIRTH or (not_after is not None and born > not_after)):
        return None, "invalid"
    return born, code


def day(raw: str, *, locale: str | None) -> tuple[date | None, Code | None]:
    """A date, on a form of Meta's locale. A number that could be the day or the month is `ambiguous`: none is claimed.

    Dots are day first wherever they are written. Slashes and hyphens are month first on forms in US English, where the
    country's habit and Meta's agree; elsewhere only a number above 12 decides.
    """
    value = raw.strip()
    if found := _YEAR_FIRST.fullmatch(value):
        year, _, month, day = found.groups()
    elif found := _YEAR_LAST.fullmatch(value):
        first, separator, second, year = found.groups()
        month_first = (locale or "").lower() == "en_us"
        if int(second) <= _MONTHS and (separator == "." or int(first) > _MONTHS or int(first) == int(second)):
            day, month = first, second
        elif int(second) > _MONTHS or month_first:
            month, day = first, second
        else:
            return None, "ambiguous"
    else:
        return None, "invalid"
    try:
        return date(int(year), int(month), int(day)), None
    except ValueError:
        return None, "invalid"


def country(raw: str, *, language: str | None) -> tuple[str | None, Code | None]:
    """ISO 3166-1 alpha-2, from either code or a name in English or in the form's language (`de`, `pt_BR`)."""
    name = text(raw).casefold()
    found = _countries(None).get(name) or _OTHER_NAMES.get(name) or _countries(language).get(name)
    return (found, None) if found else (None, "invalid")


def readings(raw: str, region: str | None) -> Iterator[tuple[str, bool]]:
    """Each valid number that digits without a leading + may stand for, and whether it names its country itself."""
    digits = phonenumbers.normalize_digits_only(raw)
    candidates = []
    if region:
        candidates.append((_parse(raw, region), False))
        if digits.startswith(str(phonenumbers.country_code_for_region(region))):
            candidates.append((_parse("+" + digits, None), False))
    if digits.startswith("00"):
        candidates.append((_parse("+" + digits[2:], None), True))
    for number, names_its_country in candidates:
        if number is not None and phonenumbers.is_valid_number(number):
            yield _e164(number), names_its_country


def _parse(raw: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(raw, region)
    except phonenumbers.NumberParseException:
        return None


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@lru_cache(maxsize=64)
def _countries(language: str | None) -> Mapping[str, str]:
    """Codes and names in lower case to alpha-2; None is English."""
    languages = [language, language.partition("_")[0]] if language else []
    translations = gettext.translation("iso3166-1", pycountry.LOCALES_DIR, languages=languages, fallback=True)
    found: dict[str, str] = {}
    for entry in pycountry.countries:
        names = [getattr(entry, kind, None) for kind in ("name", "common_name", "official_name")]
        for name in (entry.alpha_2, entry.alpha_3, *(name for name in names if name)):
            found.setdefault(text(name).casefold(), entry.alpha_2)
            found.setdefault(text(translations.gettext(name)).casefold(), entry.alpha_2)
    return found
