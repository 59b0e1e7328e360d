"""A first mapping file, from what a form asks: every question has a field, and nothing in it can fail a lead.

It is a beginning for people: what can be chosen is listed to be translated, and what is not wanted is taken out.
Performs no I/O.
"""

from collections.abc import Iterator
from typing import NamedTuple

from processors.lead.standard import BY_TYPE
from processors.lead.standard import Field as StandardField
from processors.mapping.asked import AskedForm
from processors.mapping.file import UNMAPPED, LeadProperty, Type
from processors.mapping.naming import Names, comment, scalar, slug

SCHEMA_FILE = "mapping.schema.json"  # beside the mapping files, for editors

_KEY = "lead_id"
_MANY = 40  # options: more are told by their texts, not translated one by one
_LONG = 200  # characters of an option's key, likewise
_MAX_TARGET = 49
_TRANSFORMS: dict[StandardField, tuple[Type, str]] = {
    "email": ("string", "email"),
    "work_email": ("string", "email"),
    "phone": ("string", "e164"),
    "work_phone": ("string", "e164"),
    "whatsapp": ("string", "e164"),
    "date_of_birth": ("date", "date"),
    "country": ("string", "country"),
}
_PROPERTIES: tuple[tuple[LeadProperty, Type, str], ...] = (
    ("created_at", "timestamp", "When the form was submitted."),
    ("form_id", "string", "Meta's id of the form."),
    ("form_name", "string", "The form's name."),
    ("platform", "string", "Where it was seen: fb or ig."),
    ("is_organic", "boolean", "Whether it came without an ad."),
    ("campaign_id", "string", "Meta's id of the campaign."),
    ("campaign_name", "string", "The campaign's name."),
    ("ad_id", "string", "Meta's id of the ad."),
    ("ad_name", "string", "The ad's name."),
)


class _Field(NamedTuple):
    """One field as it is written."""

    name: str
    doc: str
    source: str
    type: Type = "string"
    transform: str | None = None
    options: tuple[tuple[str, str], ...] = ()  # to be translated, with their texts


def target_name(form: AskedForm) -> str:
    """A name for the form's target: its own, as far as that can be written in a topic's name."""
    found = slug(form.name)[:_MAX_TARGET].strip("_")
    return found if found and found[0].isalpha() else f"form_{form.form_id}"


def draft(form: AskedForm, *, target: str | None = None, owner: str | None = None) -> str:
    """The file's text, which `check` finds nothing in as long as the form is as it is."""
    fields = "\n".join(line for field in _fields(form) for line in ("", *_written(field)))
    who = scalar(owner) if owner else "nobody yet"
    return f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
# A first file, made from form {form.form_id}, {comment(form.name)}.
# Take out what nobody needs, and give the rest the CRM's names. What no field takes is kept in `{UNMAPPED}`, and so is
# what cannot be read, where it says `if_invalid: default`; without that, such a lead is a dead letter.
# A field takes one answer. Where people may tick several, make it `type: strings` with `- all` last in `transform`: a
# type that changes once the topic is there needs a new `version`.
# Then: `leadstream mapping check`, `leadstream mapping preview`, and to make it live `leadstream topics apply`.
target: {scalar(target or target_name(form))}
owner: {who}  # who is asked about it: a team, or an address
doc: {scalar(f"Leads of the form {form.name}.")}
filter:
  forms: [{scalar(form.form_id)}]  # without this, of every form
fields:{fields}
"""


def _fields(form: AskedForm) -> Iterator[_Field]:
    names = Names({_KEY, UNMAPPED, *(name for name, _, _ in _PROPERTIES)})
    kinds = [BY_TYPE.get(asked.type or "") for asked in form.questions.values()]
    for number, ((key, asked), kind) in enumerate(zip(form.questions.items(), kinds, strict=True), start=1):
        # Two of one kind are told apart by their field ids.
        source = f"standard: {kind}" if kind and kinds.count(kind) == 1 else f"field: {scalar(key)}"
        name = names.take(kind or slug(key) or slug(asked.label or "") or f"question_{number}")
        how = _TRANSFORMS.get(kind) if kind else None
        yield _Field(name, asked.label or key, source, *(how or ("string", *_chosen(form.options(key)))))
    if form.verifies_phone:
        doc = "Whether the telephone number was verified by SMS."
        yield _Field(names.take("phone_verified"), doc, "standard: phone_verified", "boolean", "boolean")
    for number, key in enumerate(sorted(form.tracking - form.questions.keys()), start=1):
        doc = f"The tracking parameter {key}."
        yield _Field(names.take(slug(key) or f"tracking_{number}"), doc, f"tracking: {scalar(key)}")
    for number, (key, text) in enumerate(form.disclaimers.items(), start=1):
        doc = f"Whether it was agreed to: {text or key}"
        yield _Field(names.take(slug(key) or f"agreement_{number}"), doc, f"disclaimer: {scalar(key)}", "boolean")
    for property_, type_, doc in _PROPERTIES:
        yield _Field(property_, doc, f"lead: {property_}", type_)


def _chosen(options: list[tuple[str, str]]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """How an answer is read that may be one of these options, and those that are to be translated."""
    if not options:
        return "trim", ()
    if len(options) > _MANY or any(len(option) > _LONG for option, _ in options):
        return "option_text", ()
    return "code", tuple(options)


def _written(field: _Field) -> Iterator[str]:
    yield f"  {field.name}:"
    yield f"    doc: {scalar(field.doc)}"
    if field.type != "string":
        yield f"    type: {field.type}"
    yield "    from:"
    yield f"      - {field.source}"
    if field.options:
        yield "    transform:"
        yield "      - code:"
        yield "          table:  # on the right, what the CRM calls it"
        for option, text in field.options:
            yield f"            {scalar(option)}: {scalar(option)}  # {comment(text)}"
    elif field.transform:
        yield f"    transform: [{field.transform}]"
    if field.transform not in (None, "trim"):
        yield "    if_invalid: default"
