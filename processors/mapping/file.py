"""What a mapping file may say: one target, its filter, its fields with their sources and transforms. Performs no I/O.

These models are the file's grammar: what they refuse is refused with its place, and the JSON Schema that editors
complete by is made of them (`schemas/mapping.schema.json`).
"""

import hashlib
import json
from collections.abc import Mapping as Map
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from ingest.records import CRM
from processors.lead.standard import Field as StandardField

Type = Literal["string", "boolean", "int", "long", "float", "double", "date", "timestamp", "strings"]
UNMAPPED = "unmapped"  # the field that keeps what no field took

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]  # of Avro, and of a PostgreSQL column
Id = Annotated[str, Field(pattern=r"^[0-9]{1,32}$")]
Text = Annotated[str, Field(min_length=1)]
# The fields of a Lead that are one value.
LeadProperty = Literal[
    "lead_id",
    "created_at",
    "received_at",
    "fetched_at",
    "source",
    "completeness",
    "is_test",
    "page_id",
    "form_id",
    "form_name",
    "form_locale",
    "form_version",
    "platform",
    "is_organic",
    "ad_id",
    "ad_name",
    "adset_id",
    "adset_name",
    "campaign_id",
    "campaign_name",
    "partner_name",
    "retailer_item_id",
    StandardField,
    "privacy_policy_url",
    "privacy_policy_text",
    "disclaimer_title",
    "disclaimer_text",
    "home_listing",
    "vehicle",
    "post_submission_check_result",
    "other_fields",
]


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True, serialize_by_alias=True
    )


class Standard(_Part):
    """What was answered to Meta's standard question of this kind, whatever its key on the form, as it was typed."""

    standard: StandardField


class Custom(_Part):
    """What was answered to the question with this field id."""

    field: Text


class Question(_Part):
    """What was answered to the question that reads so; case and spaces do not matter."""

    question: Text


class Tracking(_Part):
    """The tracking parameter of the form with this key."""

    tracking: Text


class Disclaimer(_Part):
    """Whether the disclaimer's checkbox with this key was ticked: true, false, or nothing where it is not known."""

    disclaimer: Text


class Property(_Part):
    """A property of the lead on `leads.v1`: what is typed there is normalised already, or empty."""

    lead: LeadProperty


class Constant(_Part):
    """Always this text."""

    constant: Text


def _only_key(value: object) -> str:
    if isinstance(value, _Part):
        return next(iter(type(value).model_fields.values())).alias or next(iter(type(value).model_fields))
    if isinstance(value, dict) and len(value) == 1:
        return str(next(iter(value)))
    return "?"


Source = Annotated[
    Annotated[Standard, Tag("standard")]
    | Annotated[Custom, Tag("field")]
    | Annotated[Question, Tag("question")]
    | Annotated[Tracking, Tag("tracking")]
    | Annotated[Disclaimer, Tag("disclaimer")]
    | Annotated[Property, Tag("lead")]
    | Annotated[Constant, Tag("constant")],
    Discriminator(
        _only_key,
        custom_error_type="source",
        custom_error_message="a source is one of these with a value: standard, field, question, tracking, disclaimer,"
        " lead, constant",
    ),
]

# Transforms that need no word more.
Plain = Literal[
    "trim",  # no spaces around it, single ones within
    "lower",
    "upper",
    "email",  # a valid address, its domain in lower case
    "e164",  # a telephone number as +4930123456, read in the country the lead tells of
    "country",  # ISO 3166-1 alpha-2, from a code or a name
    "number",  # 1234.5
    "boolean",  # true, false, 1, 0, yes, no
    "date",  # ISO 8601, or as Meta writes a date of birth on forms of the lead's language
    "timestamp",  # a moment, ISO 8601 or unix seconds; UTC where it does not say
    "option_text",  # the text of the option that was chosen, in place of its key
    "first",  # of several values the first
    "all",  # every value, told in so many words: for fields of type strings
    "hash",  # the SHA-256, in hex, as Meta matches: of the text in lower case, of a number in E.164 its digits alone
]


class Region(_Part):
    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166-1 alpha-2, such as DE")]


class E164(_Part):
    """A telephone number; one without its country code is read as one of this region."""

    e164: Region


class Country(_Part):
    """The country, as ISO 3166-1 has it."""

    country: Literal["alpha2", "alpha3", "name"]


class Date(_Part):
    """A date, read in the first of these formats that fits, such as %d.%m.%Y (strptime's)."""

    date: Annotated[tuple[Text, ...], Field(min_length=1)]


class Timestamp(_Part):
    """A moment, read in the first of these formats that fits; UTC where the format has no offset."""

    timestamp: Annotated[tuple[Text, ...], Field(min_length=1)]


class FormatDate(_Part):
    """A date or a moment (UTC) as text in this format (strftime's)."""

    format_date: Text


class Separators(_Part):
    decimal: Annotated[str, Field(min_length=1, max_length=1)] = "."
    thousands: Annotated[str, Field(max_length=1)] = ""


class Number(_Part):
    """A number written with these separators."""

    number: Separators


class Answers(_Part):
    true: tuple[Text, ...] = ()
    false: tuple[Text, ...] = ()


class Boolean(_Part):
    """True or false, by these words besides the usual ones; case does not matter."""

    boolean: Answers


class Table(_Part):
    table: Annotated[Map[str, str], Field(min_length=1)]
    otherwise: str | None = Field(default=None, description="for what is not in the table; left out, that fails")


class Code(_Part):
    """A code for each option: looked up by the option's key or its text."""

    code: Table


class Split(_Part):
    """Each value cut into several at this separator; spaces around the parts, and empty parts, are left out."""

    split: Text


class Join(_Part):
    """All values as one text with this between them."""

    join: str


class Template(_Part):
    """A text with values put in: {value}, or {standard.first_name}, {field.budget}, {tracking.utm_source},
    {lead.form_name}. What is empty is left out; where all of them are, so is the text.
    """

    template: Text


Transform = Annotated[
    Annotated[Plain, Tag("plain")]
    | Annotated[E164, Tag("e164")]
    | Annotated[Country, Tag("country")]
    | Annotated[Date, Tag("date")]
    | Annotated[Timestamp, Tag("timestamp")]
    | Annotated[FormatDate, Tag("format_date")]
    | Annotated[Number, Tag("number")]
    | Annotated[Boolean, Tag("boolean")]
    | Annotated[Code, Tag("code")]
    | Annotated[Split, Tag("split")]
    | Annotated[Join, Tag("join")]
    | Annotated[Template, Tag("template")],
    Discriminator(
        lambda value: "plain" if isinstance(value, str) else _only_key(value),
        custom_error_type="transform",
        custom_error_message=f"a transform is one of {', '.join(get_args(Plain))}, or one of e164, country, date,"
        " timestamp, format_date, number, boolean, code, split, join, template with what it needs",
    ),
]


class Override(_Part):
    """What is otherwise for one form; what is not said here is as the field says."""

    sources: tuple[Source, ...] | None = Field(default=None, alias="from")
    transform: tuple[Transform, ...] | None = None
    default: str | None = None
    required: bool | None = None


class TargetField(_Part):
    """One field of the target's records, and where its value comes from."""

    type: Type = "string"
    doc: Annotated[str, Field(min_length=1, description="what it means to who reads the topic")]
    sources: tuple[Source, ...] = Field(
        default=(), alias="from", description="the first that has a value is taken; may be left out before a template"
    )
    transform: tuple[Transform, ...] = ()
    default: str | None = Field(default=None, description="where no source has a value")
    required: bool = Field(default=False, description="a lead without a value is a dead letter of this target")
    if_invalid: Literal["dead", "default"] = Field(
        default="dead", description="what a transform refuses: a dead letter of this target, or as if it were empty"
    )
    forms: Map[Id, Override] = Field(default_factory=dict, description="by form id")


class Filter(_Part):
    """Which leads the target gets; nothing said is every lead. Test leads go to none."""

    pages: tuple[Id, ...] = Field(default=(), description="of these pages only")
    forms: tuple[Id, ...] = Field(default=(), description="of these forms only")
    organic: Literal["include", "exclude", "only"] = "include"


class Mapping(_Part):
    """A mapping file: one target, its filter and its fields."""

    target: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,48}$", description="names the topic")]
    version: int = Field(
        default=1, ge=1, le=999, description="of the topic: a change that readers cannot follow is a 2"
    )
    owner: Annotated[str, Field(min_length=1, description="who is asked about it")]
    doc: Annotated[str, Field(min_length=1, description="what the target is")]
    key: Name = Field(default="lead_id", description="the field that holds the lead's id, by which a sink upserts")
    filter: Filter = Filter()
    ignore: tuple[Text, ...] = Field(
        default=(), description="field ids that are left out on purpose, not even unmapped"
    )
    fields: Annotated[Map[Name, TargetField], Field(min_length=1)]

    @property
    def id(self) -> str:
        """The target as headers, fates and commands name it, such as `sales.v1`."""
        return f"{self.target}.v{self.version}"

    @property
    def topic(self) -> str:
        return CRM + self.id

    @property
    def hash(self) -> str:
        """The sha256, in hex, of what the file says; comments and layout do not count."""
        said = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()
