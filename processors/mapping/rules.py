"""What a mapping file may not say though its grammar allows it. Performs no I/O."""

from collections.abc import Iterator, Sequence

from processors.mapping import file
from processors.mapping.effective import Effective
from processors.mapping.file import UNMAPPED, Mapping, Override, Source, TargetField, Transform, Type
from processors.mapping.formats import unfillable, unreadable, unwritable
from processors.mapping.template import read_template
from processors.mapping.typed import fits
from processors.mapping.yaml_text import Place

Broken = tuple[Place, str]  # where, and what is wrong there

_TYPED = frozenset({"number", "boolean", "date", "timestamp"})  # transforms whose result is no text
_NEED_TEXT = _TYPED | {"trim", "lower", "upper", "email", "e164", "country", "option_text"}
_NEED_THE_ANSWER = {"option_text"}  # and nothing that was made of it
_KEEP_THE_ANSWER = frozenset({"trim", "lower", "upper", "first", "all"})
_CHOOSE = ("first", "all")  # of what is there, and change none of it
# What fields take that no transform has made of text. A text may fit any type: that shows lead by lead.
_TAKERS: dict[str, frozenset[Type]] = {
    "boolean": frozenset({"string", "boolean"}),
    "number": frozenset({"string", "int", "long", "float", "double"}),
    "date": frozenset({"string", "date", "timestamp"}),
    "timestamp": frozenset({"string", "date", "timestamp"}),
}
_LEAD_KINDS = {
    "is_test": "boolean",
    "is_organic": "boolean",
    "phone_verified": "boolean",
    "date_of_birth": "date",
    "created_at": "timestamp",
    "received_at": "timestamp",
    "fetched_at": "timestamp",
}
_EXAMPLES: dict[Type, str] = {
    "boolean": ": true or false",
    "date": ": such as 2026-11-24",
    "timestamp": ": such as 2026-11-24T15:00:00Z",
}
_TEXT_MAKERS = frozenset({"code", "template", "join", "format_date", "hash"})


def broken_rules(mapping: Mapping) -> Iterator[Broken]:
    """Everything that is wrong with a mapping that its grammar lets pass."""
    yield from _names(mapping)
    yield from _ignored(mapping)
    for name, field in mapping.fields.items():
        yield from _field(Effective(name=name, field=field))
        for form_id in field.forms:
            its = Effective(name=name, field=field, form_id=form_id)
            if mapping.filter.forms and form_id not in mapping.filter.forms:
                yield its.place, "is a form that the filter leaves out: add it there, or take it out here"
            # What is wrong with the field itself has been told.
            yield from (told for told in _field(its) if told[0][: len(its.place)] == its.place)


def _names(mapping: Mapping) -> Iterator[Broken]:
    taken = {UNMAPPED: f"{UNMAPPED}, which keeps what no field took"}
    if mapping.key.casefold() == UNMAPPED:
        yield ("key",), f"{UNMAPPED} is the field that keeps what no field took: choose another name"
    taken.setdefault(mapping.key.casefold(), f"the key, {mapping.key}")
    for name in mapping.fields:
        other = taken.setdefault(name.casefold(), f"the field {name}")
        if other != f"the field {name}":
            yield ("fields", name), f"is named like {other}: choose another name"


def _ignored(mapping: Mapping) -> Iterator[Broken]:
    """A field id cannot be read and ignored; which of the two was meant nobody knows."""
    readers = {key: name for name, field in mapping.fields.items() for key in _read_by(field)}
    for place, key in enumerate(mapping.ignore):
        if key in readers:
            yield ("ignore", place), f"`{key}` is read by the field {readers[key]}: ignore it or read it, not both"


def _read_by(field: TargetField) -> Iterator[str]:
    parts: tuple[TargetField | Override, ...] = (field, *field.forms.values())
    for part in parts:
        for source in part.sources or ():
            if isinstance(source, file.Custom):
                yield source.field
        for transform in part.transform or ():
            if isinstance(transform, file.Template) and not any(unfillable(transform.template)):
                yield from (each.name for each in read_template(transform.template).places if each.kind == "field")


def _field(its: Effective) -> Iterator[Broken]:
    kind, default, transforms = its.field.type, its.default, its.transform
    if not its.sources and default is None and not (transforms and isinstance(transforms[0], file.Template)):
        yield its.place, "has nothing to read: give it `from`, a template first in `transform`, or a `default`"
    if default is not None and not fits(kind, default):
        yield its.where("default"), f"`{default}` is no {kind}{_EXAMPLES.get(kind, '')}"
    for number, transform in enumerate(transforms):
        yield from (((*its.where("transform"), number, *deeper), what) for deeper, what in _transform(transform))
    yield from (((*its.where("transform"), number), what) for number, what in _order(transforms, kind))
    yield from _written(its)
    if not any(_name(transform) in _TYPED | _TEXT_MAKERS for transform in transforms):
        for number, source in enumerate(its.sources):
            given = _kind_of(source)
            if given and kind not in _TAKERS[given]:
                yield (*its.where("from"), number), f"gives a {given}, which a field of type {kind} does not take"


def _written(its: Effective) -> Iterator[Broken]:
    """Values that the file itself gives and the field cannot hold: each lead with one would fail."""
    kind, transforms = its.field.type, its.transform
    if not transforms:
        for number, source in enumerate(its.sources):
            if isinstance(source, file.Constant) and not fits(kind, source.constant):
                yield (*its.where("from"), number, "constant"), f"`{source.constant}` is no {kind}"
    for number, transform in enumerate(transforms):
        if isinstance(transform, file.Code) and all(each in _CHOOSE for each in transforms[number + 1 :]):
            place = (*its.where("transform"), number, "code")
            for option, code in transform.code.table.items():
                if not fits(kind, code):
                    yield (*place, "table", option), f"`{code}` is no {kind}"
            otherwise = transform.code.otherwise
            if otherwise is not None and not fits(kind, otherwise):
                yield (*place, "otherwise"), f"`{otherwise}` is no {kind}"


def _name(transform: Transform) -> str:
    return transform if isinstance(transform, str) else next(iter(type(transform).model_fields))


def _kind_of(source: Source) -> str | None:
    """What a source gives if it is no text."""
    match source:
        case file.Disclaimer():
            return "boolean"
        case file.Property():
            return _LEAD_KINDS.get(source.lead)
        case _:
            return None


def _order(transforms: Sequence[Transform], field_type: Type) -> Iterator[tuple[int, str]]:
    """Transforms that come too late, or whose result the field does not take."""
    made: str | None = None  # by the last transform whose result is no text
    changed: str | None = None  # by the first one after which it is not the answer any more
    for number, transform in enumerate(transforms):
        kind = _name(transform)
        if made and kind in _NEED_TEXT:
            yield number, f"{kind} reads text, and {made} before it has made something else: put it before {made}"
        if changed and kind in _NEED_THE_ANSWER:
            yield number, f"{kind} looks up the answer, which {changed} before it has changed: put it first"
        if kind == "all" and field_type != "strings":
            yield number, f"all is for a field of type strings, this is a {field_type}: `first` or `join`"
        if kind in _TYPED:
            made = kind
        elif kind in _TEXT_MAKERS:
            made = None
        if kind not in _KEEP_THE_ANSWER:
            changed = changed or kind
    last = max((number for number, transform in enumerate(transforms) if _name(transform) == made), default=0)
    if made and field_type not in _TAKERS[made]:
        yield last, f"{made} makes what a field of type {field_type} does not take"


def _transform(transform: Transform) -> Iterator[Broken]:
    match transform:
        case file.Date() | file.Timestamp():
            name = _name(transform)
            for number, written in enumerate(getattr(transform, name)):
                if told := unreadable(written):
                    yield (name, number), f"`{written}` {told}"
        case file.FormatDate():
            if told := unwritable(transform.format_date):
                yield ("format_date",), f"`{transform.format_date}` {told}"
        case file.Number():
            if transform.number.decimal == transform.number.thousands:
                yield ("number",), "has one character for decimals and thousands"
        case file.Boolean():
            both = {word.casefold() for word in transform.boolean.true} & {
                word.casefold() for word in transform.boolean.false
            }
            if both:
                yield ("boolean",), f"means true and false by `{min(both)}`"
        case file.Template():
            yield from ((("template",), told) for told in unfillable(transform.template))
        case _:
            return
