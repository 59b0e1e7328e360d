"""Each transform of a mapping file as a function of values. Performs no I/O of its own.

A value that cannot be read is refused, never guessed. No text here, and so none of a failure, holds a value.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Literal, get_args
from unicodedata import normalize

import pycountry

from processors.lead import normalise
from processors.lead.form import read_locale
from processors.mapping.file import (
    E164,
    Boolean,
    Code,
    Country,
    Custom,
    Date,
    FormatDate,
    Join,
    Number,
    Plain,
    Property,
    Separators,
    Source,
    Split,
    Standard,
    Table,
    Timestamp,
    Tracking,
    Transform,
)
from processors.mapping.file import Template as TemplateTransform
from processors.mapping.sources import Read, Said, Value, Values, fold, reader
from processors.mapping.template import Place, read_template
from processors.mapping.typed import decimal, iso_date, moment
from schemas.shapes import Lead

# Why a lead fails for a target: the transform that refused a value, or the last two of a field.
Reason = Literal[
    "email",
    "e164",
    "country",
    "number",
    "boolean",
    "date",
    "timestamp",
    "format_date",
    "option_text",
    "code",
    "type",  # the value is none of the field's type
    "required",
]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Each:
    """A transform of one value at a time; None is what it refuses, for the reason."""

    reason: Reason
    read: Callable[[Value, Lead], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A transform of all values together. It refuses nothing; `reads` is what it takes from the lead besides them."""

    change: Callable[[Values, Said], Values]
    reads: tuple[Read, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A transform of the text alone that takes every text."""

    change: Callable[[str], str]


Step = Each | Whole | Text


def step(transform: Transform) -> Step:  # noqa: PLR0911  one for each transform
    """What a transform does. `ValueError` for a template that cannot be read."""
    match transform:
        case str():
            return _PLAIN[transform]
        case E164(e164=region):
            return Each(reason="e164", read=lambda value, _: _phone(value.text, region.region, None))
        case Country(country=form):
            return Each(reason="country", read=_COUNTRIES[form])
        case Date(date=formats):
            return Each(reason="date", read=lambda value, _: _first_date(value.text, formats))
        case Timestamp(timestamp=formats):
            return Each(reason="timestamp", read=lambda value, _: _first_moment(value.text, formats))
        case FormatDate(format_date=form):
            return Each(reason="format_date", read=lambda value, _: _formatted(value.text, form))
        case Number(number=separators):
            return Each(reason="number", read=_number_reader(separators))
        case Boolean(boolean=words):
            said = {fold(word): "true" for word in words.true} | {fold(word): "false" for word in words.false}
            return Each(reason="boolean", read=lambda value, _: _boolean(value, said))
        case Code(code=table):
            return Each(reason="code", read=_coder(table))
        case Split(split=separator):
            return Whole(change=lambda values, _: [part for value in values for part in _parts(value, separator)])
        case Join(join=between):
            return Whole(change=lambda values, _: [_joined(values, between)] if values else ())
        case TemplateTransform(template=text):
            return _template(text)


def _phone(raw: str, answered: str | None, guessed: str | None) -> str | None:
    return normalise.phone(raw, answered=answered, guessed=guessed)[0]


def _phone_of_lead(value: Value, lead: Lead) -> str | None:
    return _phone(value.text, lead["country"], read_locale(lead["form_locale"])[1])


def _alpha2(value: Value, lead: Lead) -> str | None:
    return normalise.country(value.text, language=read_locale(lead["form_locale"])[0])[0]


def _alpha3(value: Value, lead: Lead) -> str | None:
    code = _alpha2(value, lead)
    return code and _country(code)[0]


def _country_name(value: Value, lead: Lead) -> str | None:
    code = _alpha2(value, lead)
    return code and _country(code)[1]


@lru_cache(maxsize=512)
def _country(alpha2: str) -> tuple[str, str]:
    """Alpha-3 and the name, of a code that was read."""
    entry = next(entry for entry in pycountry.countries if entry.alpha_2 == alpha2)
    return entry.alpha_3, entry.name


def _number_reader(separators: Separators) -> Callable[[Value, Lead], str | None]:
    # Groups of three; or, as in India, of two before the last three.
    thousands = " " if separators.thousands.isspace() else separators.thousands  # a space may be of any kind
    mark, point = re.escape(thousands), re.escape(separators.decimal)
    grouped = rf"\d{{1,3}}(?:{mark}\d{{3}})+|\d{{1,2}}(?:{mark}\d{{2}})*{mark}\d{{3}}|" if mark else ""
    pattern = re.compile(rf"([+-]?)({grouped}\d+|(?={point}\d))(?:{point}(\d+))?")

    def read(value: Value, _: Lead) -> str | None:
        found = pattern.fullmatch(normalise.text(value.text))
        if found is None:
            return None
        sign, whole, fraction = found.groups()
        return _plain_number(f"{sign}{whole.replace(thousands, '')}{'.' + fraction if fraction else ''}")

    return read


def _plain_number(text: str) -> str | None:
    """In plain digits, with a point, whatever the script it was typed in."""
    number = decimal(text)
    return None if number is None else f"{number or abs(number):f}"


def _boolean(value: Value, words: Mapping[str, str]) -> str | None:
    for said in (value.text, value.option):
        if said is not None:
            if word := words.get(fold(said)):
                return word
            usual = normalise.boolean(said)
            if usual is not None:
                return "true" if usual else "false"
    return None


def _date_of_form(value: Value, lead: Lead) -> str | None:
    found, _ = normalise.day(value.text, locale=lead["form_locale"])
    return None if found is None else found.isoformat()


def _first_date(text: str, formats: tuple[str, ...]) -> str | None:
    found = _parsed(text, formats)
    return None if found is None else found.date().isoformat()


def _moment(value: Value, _: Lead) -> str | None:
    found = normalise.instant(value.text.strip())
    return None if found is None else found.isoformat()


def _first_moment(text: str, formats: tuple[str, ...]) -> str | None:
    found = _parsed(text, formats)
    if found is None:
        return None
    try:
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    except OverflowError:  # in the first or the last hours that there are
        return None


def _parsed(text: str, formats: tuple[str, ...]) -> datetime | None:
    tidy = normalise.text(text)
    for form in formats:
        try:
            return datetime.strptime(tidy, form)  # noqa: DTZ007  who asks knows what a missing offset means
        except ValueError:
            continue
    return None


def _formatted(text: str, form: str) -> str | None:
    found: date | datetime | None = iso_date(text) or moment(text)
    try:
        return None if found is None else found.strftime(form)
    except ValueError:
        return None


def _coder(table: Table) -> Callable[[Value, Lead], str | None]:
    exact = dict(table.table)
    folded: dict[str, str] = {}
    for key, code in exact.items():
        folded.setdefault(fold(key), code)

    def read(value: Value, _: Lead) -> str | None:
        said = [text for text in (value.text, value.option) if text is not None]
        for text in said:
            if text in exact:
                return exact[text]
        return next((folded[found] for text in said if (found := fold(text)) in folded), table.otherwise)

    return read


def _parts(value: Value, separator: str) -> Values:
    parts = [part.strip() for part in value.text.split(separator)]
    if parts == [value.text]:
        return (value,)  # with its option
    return [Value(part, None, value.places) for part in parts if part]


def _joined(values: Values, between: str) -> Value:
    return Value(between.join(value.text for value in values), None, _all_places(values))


def _first(values: Values, _: Said) -> Values:
    """The others count as taken: the file says in so many words that they are not wanted."""
    return [values[0]._replace(places=_all_places(values))] if values else ()


def _all_places(values: Values) -> int:
    places = 0
    for value in values:
        places |= value.places
    return places


def _template(text: str) -> Whole:
    template = read_template(text)
    reads = tuple(_place_reader(place) for place in template.places)

    def change(values: Values, said: Said) -> Values:
        texts, places = [], 0
        for read in reads:
            found = values if read is None else read(said)
            texts.append(found[0].text if len(found) == 1 else ", ".join(value.text for value in found))
            for value in found:
                places |= value.places
        filled = template.fill(texts)
        return (Value(filled, None, places),) if filled else ()

    return Whole(change=change, reads=tuple(read for read in reads if read is not None))


def _place_reader(place: Place) -> Read | None:
    """None: the values so far."""
    if place.kind == "value":
        return None
    source: dict[str, type[Source]] = {"standard": Standard, "field": Custom, "tracking": Tracking, "lead": Property}
    return reader(source[place.kind].model_validate({place.kind: place.name}))


def _digest(text: str) -> str:
    """As Meta's Conversions API matches: lower case, no spaces around; of a telephone number its digits alone.

    https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters
    """
    plain = normalize("NFC", text.strip().lower())
    return hashlib.sha256((plain[1:] if _E164.fullmatch(plain) else plain).encode()).hexdigest()


_E164 = re.compile(r"\+[0-9]+")
_COUNTRIES: Mapping[str, Callable[[Value, Lead], str | None]] = {
    "alpha2": _alpha2,
    "alpha3": _alpha3,
    "name": _country_name,
}
_PLAIN: Mapping[Plain, Step] = {
    "trim": Text(change=normalise.text),
    "lower": Text(change=str.lower),
    "upper": Text(change=str.upper),
    "email": Each(reason="email", read=lambda value, _: normalise.email(value.text)[0]),
    "e164": Each(reason="e164", read=_phone_of_lead),
    "country": Each(reason="country", read=_alpha2),
    "number": Each(reason="number", read=_number_reader(Separators())),
    "boolean": Each(reason="boolean", read=lambda value, _: _boolean(value, {})),
    "date": Each(reason="date", read=_date_of_form),
    "timestamp": Each(reason="timestamp", read=_moment),
    "option_text": Each(reason="option_text", read=lambda value, _: value.option),
    "first": Whole(change=_first),
    "all": Whole(change=lambda values, _: values),
    "hash": Text(change=_digest),
}
