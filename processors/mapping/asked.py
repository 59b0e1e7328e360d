"""What forms ask, by the names that mapping files know it by. Performs no I/O."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from processors.lead import normalise
from processors.lead.form import Question, read_form
from processors.lead.loose import a_text, dump
from processors.lead.standard import BY_TYPE
from processors.lead.standard import Field as StandardField
from processors.mapping import file
from processors.mapping.effective import Effective
from processors.mapping.sources import fold
from processors.mapping.template import read_template
from processors.mapping.yaml_text import Place
from schemas import shapes

Kind = Literal["field", "question", "standard", "tracking", "disclaimer"]

_STANDARD: frozenset[str] = frozenset(get_args(StandardField))


@dataclass(frozen=True, slots=True)
class Named:
    """Something that a form may ask, as a source names it."""

    kind: Kind
    name: str


# What is answered though no form lists it: forms that verify by SMS add it.
UNLISTED = frozenset({Named("field", "phone_number_verified"), Named("standard", "phone_verified")})


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedForm:
    """A form by its newest snapshot."""

    form_id: str
    page_id: str | None
    name: str
    is_active: bool
    questions: Mapping[str, Question]
    tracking: frozenset[str]
    disclaimers: Mapping[str, str | None]  # each checkbox's text by its key
    verifies_phone: bool  # by SMS: what came of it is answered though it is no question

    def __str__(self) -> str:
        return f"form {self.form_id} ({self.name})"

    def asks(self, named: Named) -> list[Named]:
        """What the name stands for here, by keys: questions, a tracking parameter or a checkbox; empty if nothing."""
        name = named.name
        match named.kind:
            case "field":
                found: Iterable[str] = [name] if name in self.questions else []
            case "standard":
                found = [key for key, asked in self.questions.items() if BY_TYPE.get(asked.type or "") == name]
            case "question":
                label = fold(name)
                found = [key for key, asked in self.questions.items() if asked.label and fold(asked.label) == label]
            case "tracking":
                return [named] if name in self.tracking and name not in self.questions else []
            case "disclaimer":
                return [named] if name in self.disclaimers else []
        return [Named("field", key) for key in found]

    def everything(self) -> Iterator[Named]:
        """All that may be answered, by keys."""
        yield from (Named("field", key) for key in self.questions)
        yield from (Named("tracking", key) for key in sorted(self.tracking - self.questions.keys()))
        yield from (Named("disclaimer", key) for key in self.disclaimers)

    def names(self, kind: Kind) -> list[str]:
        """What could be named here in this way."""
        match kind:
            case "field":
                return list(self.questions)
            case "question":
                return [asked.label for asked in self.questions.values() if asked.label]
            case "standard":
                types = {asked.type or "" for asked in self.questions.values()}
                return sorted({BY_TYPE[each] for each in types if each in BY_TYPE})
            case "tracking":
                return sorted(self.tracking)
            case "disclaimer":
                return list(self.disclaimers)

    def options(self, key: str) -> list[tuple[str, str]]:
        """The options of a question: what is answered, and its text."""
        shown = self.questions[key].options or {}
        keyed = {text for option, text in shown.items() if option != text}
        return [(option, text) for option, text in shown.items() if option != text or text not in keyed]


def newest(records: Iterable[shapes.Form]) -> list[AskedForm]:
    """Each form as it was last seen, by its id."""
    last: dict[str, shapes.Form] = {}
    for record in records:
        known = last.get(record["form_id"])
        if known is None or known["seen_at"] <= record["seen_at"]:
            last[record["form_id"]] = record
    return [asked(last[form_id]) for form_id in sorted(last)]


def asked(record: shapes.Form) -> AskedForm:
    """The form in one record of `meta.leadgen.forms`."""
    form = read_form(dump(record["form"]))
    return AskedForm(
        form_id=record["form_id"],
        page_id=record["page_id"],
        name=form.name or "without a name",
        is_active=a_text(record["form"].get("status")) in (None, "ACTIVE"),
        questions=form.questions,
        tracking=form.tracking,
        disclaimers={box.key: box.text for box in form.checkboxes.values()},
        verifies_phone=bool(normalise.boolean(record["form"].get("is_phone_sms_verify_enabled")))
        or any(question.type == "PHONE_OTP" for question in form.questions.values()),
    )


def named(source: file.Source) -> Named | None:  # noqa: PLR0911  one for each source
    """What a source names on a form; None where it needs none."""
    match source:
        case file.Standard(standard=name):
            return Named("standard", name)
        case file.Custom(field=name):
            return Named("field", name)
        case file.Question(question=name):
            return Named("question", name)
        case file.Tracking(tracking=name):
            return Named("tracking", name)
        case file.Disclaimer(disclaimer=name):
            return Named("disclaimer", name)
        case file.Property(lead=name) if name in _STANDARD:
            return Named("standard", name)
        case _:
            return None


def reads(its: Effective) -> Iterator[tuple[Place, Named | None]]:
    """What a field reads and where it says so, templates included; None for what is not from a form."""
    for number, source in enumerate(its.sources):
        yield (*its.where("from"), number), named(source)
    for number, transform in enumerate(its.transform):
        if isinstance(transform, file.Template):
            for place in read_template(transform.template).places:
                if place.kind != "value":
                    is_asked = place.kind != "lead" or place.name in _STANDARD
                    kind: Kind = "standard" if place.kind == "lead" else place.kind
                    yield (*its.where("transform"), number), Named(kind, place.name) if is_asked else None
