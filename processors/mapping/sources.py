"""What a lead says, by each kind of source that a mapping file may name; and what of it no field took. No I/O.

Each value that a person gave has a bit of its own. It goes with the value through every transform, so that at the end
it is known exactly which were taken, however they were cut, joined or refused.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple, TypeVar

import orjson

from processors.lead import normalise
from processors.lead.form import read_locale
from processors.lead.standard import BY_NAME, BY_TYPE, Field
from processors.mapping.file import (
    Constant,
    Custom,
    Disclaimer,
    LeadProperty,
    Property,
    Question,
    Source,
    Standard,
    Tracking,
)
from schemas.shapes import Answer, Lead

_STANDARD = frozenset(BY_NAME.values())
_PLACES = 10_000  # values of one lead; without an end, each bit of 500,000 would lie in 60 kB
_LAST_PLACE = 1 << (_PLACES - 1)


class Value(NamedTuple):  # not a dataclass: dozens are made for each lead, and these in a third of the time
    """A value on its way from a source to a field."""

    text: str
    option: str | None = None  # the text of the option that was chosen
    places: int = 0  # the bits of what it came from


_new = tuple.__new__  # a named tuple's own constructor takes twice as long

Name = TypeVar("Name", bound=str)
Values = Sequence[Value]
Read = Callable[["Said"], Values]


class Said:
    """A lead, indexed once for all fields of a target. What is blank is not there."""

    __slots__ = ("_answers", "_by_key", "_by_question", "_by_standard", "_by_tracking", "_disclaimers", "lead")

    def __init__(self, lead: Lead) -> None:
        self.lead = lead
        self._answers: list[tuple[Answer, list[Value]]] = []
        self._by_key: dict[str, list[Value]] = {}
        self._by_standard: dict[Field, list[Value]] = {}
        self._by_tracking: dict[str, list[Value]] = {}
        self._by_question: dict[str, list[Value]] | None = None
        answers, by_key = self._answers, self._by_key
        place = 1  # the next one's bit; behind `_PLACES` of them there is none, and what has none is left, taken or not
        for answer in lead["answers"]:
            values: list[Value] = []
            texts = answer["option_texts"]
            for number, text in enumerate(answer["values"]):
                if text and not text.isspace():
                    values.append(_new(Value, (text, texts[number] if number < len(texts) else None, place)))
                    place = place << 1 if place < _LAST_PLACE else 0
            if not values:
                continue
            answers.append((answer, values))
            key = answer["key"]
            if answer["is_tracking"]:
                _add(self._by_tracking, key, values)
                continue
            if key in by_key:
                _add(by_key, key, values)
            else:
                by_key[key] = values
            # Nothing but a form that lists the question gives an answer one of these.
            type_ = answer["type"]
            if type_ is not None or answer["question"] is not None or texts:
                field = BY_TYPE.get(type_ or "")
            else:
                field = BY_NAME.get(key)
                _add(self._by_tracking, key, values)
            if field:
                _add(self._by_standard, field, values)
        self._disclaimers: list[tuple[str, bool, int]] = []
        for box in lead["disclaimers"]:
            if box["is_checked"] is not None:
                self._disclaimers.append((box["key"], box["is_checked"], place))
                place = place << 1 if place < _LAST_PLACE else 0

    def custom(self, key: str) -> Values:
        return self._by_key.get(key, ())

    def standard(self, field: Field) -> Values:
        return self._by_standard.get(field, ())

    def tracking(self, key: str) -> Values:
        return self._by_tracking.get(key, ())

    def question(self, folded: str) -> Values:
        """By the question as `fold` gives it."""
        if self._by_question is None:  # few files ask
            self._by_question = {}
            for answer, values in self._answers:
                if answer["question"]:  # parameters have none
                    _add(self._by_question, _folded(answer["question"]), values)
        return self._by_question.get(folded, ())

    def disclaimer(self, key: str) -> Values:
        found = (Value(_as_text(ticked), None, place) for name, ticked, place in self._disclaimers if name == key)
        return tuple(found)[:1]

    def property(self, name: LeadProperty) -> Values:
        """A property of the lead as text; one that was read from an answer takes that answer."""
        value = self.lead[name]
        text = _as_text(value)
        if not text or text.isspace():
            return ()
        place = self._origin(name, value) if name in _STANDARD else 0
        return (_new(Value, (text, None, place)),)

    def left(self, taken: int, ignored: Collection[str]) -> str | None:
        """What is not among the bits that were taken, nor to be ignored, as JSON text; None where that is nothing."""
        answers: dict[str, list[str]] = {}
        for answer, values in self._answers:
            if answer["key"] not in ignored:
                for value in values:
                    if not value.places & taken:
                        answers.setdefault(answer["key"], []).append(value.text)
        disclaimers = {
            key: ticked for key, ticked, place in self._disclaimers if not place & taken and key not in ignored
        }
        left = {"answers": answers, "disclaimers": disclaimers}
        found = {part: what for part, what in left.items() if what}
        return orjson.dumps(found).decode() if found else None  # texts are Unicode: a lead holds no others

    def _origin(self, field: Field, value: object) -> int:
        """The bit of the answer that the property was read from: of several, the first that reads so."""
        given = self.standard(field)
        if len(given) == 1:
            return given[0].places
        return next((each.places for each in given if _reads(field, each.text, self.lead) == value), 0)


def reader(source: Source) -> Read:  # noqa: PLR0911  one for each kind of source
    """What reads a source from a lead: its values, none where there is none."""
    match source:
        case Standard(standard=field):
            return lambda said: said.standard(field)
        case Custom(field=key):
            return lambda said: said.custom(key)
        case Question(question=label):
            folded = fold(label)
            return lambda said: said.question(folded)
        case Tracking(tracking=key):
            return lambda said: said.tracking(key)
        case Disclaimer(disclaimer=key):
            return lambda said: said.disclaimer(key)
        case Property(lead=name):
            return lambda said: said.property(name)
        case Constant(constant=text):
            values = (Value(text),) if text.strip() else ()
            return lambda _: values


def fold(text: str) -> str:
    """As texts are compared: one form of Unicode, spaces tidied, no case."""
    return normalise.text(text).casefold()


@lru_cache(maxsize=4096)
def _folded(label: str) -> str:
    return fold(label)


def _add(to: dict[Name, list[Value]], name: Name, values: list[Value]) -> None:
    """Behind what stands there, in a list of its own: the given one stands under several names."""
    known = to.get(name)
    to[name] = values if known is None else known + values


def _as_text(value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case date() | datetime():
            return value.isoformat()
        case _:
            return ""


def _reads(field: Field, raw: str, lead: Lead) -> object:
    """What the lead's own mapping makes of an answer to this standard question."""
    language, country = read_locale(lead["form_locale"])
    match field:
        case "email" | "work_email":
            return normalise.email(raw)[0]
        case "phone" | "work_phone" | "whatsapp":
            return normalise.phone(raw, answered=lead["country"], guessed=country)[0]
        case "phone_verified":
            return normalise.boolean(raw)
        case "date_of_birth":
            return normalise.day(raw, locale=lead["form_locale"])[0]
        case "country":
            return normalise.country(raw, language=language)[0]
        case _:
            return normalise.text(raw)
