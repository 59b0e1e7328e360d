"""A mapping file compiled: which leads its target takes, and the record it makes of one. Performs no I/O of its own.

The same lead always gives the same record. What no field took is in the record's `unmapped`, and never lost.
"""

from collections.abc import Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass

from processors.mapping.file import UNMAPPED, Mapping, Override, TargetField
from processors.mapping.sources import Read, Said, Value, Values, reader
from processors.mapping.transforms import Each, Reason, Step, Text, Whole, step
from processors.mapping.typed import Convert, Typed, converter, storable
from schemas.shapes import Lead

_NOT_OVERRIDDEN = Override()
_new = tuple.__new__  # a named tuple's own constructor takes twice as long


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A field for which the lead fails."""

    field: str
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A record of the target's Avro schema, whole also where it failed: there the failed fields are null."""

    record: dict[str, object]
    failures: tuple[Failed, ...]  # in the file's order


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How a field came by its value: what it was made of, as it was given, and why there is none."""

    field: str
    before: tuple[str, ...]
    after: object
    reason: Reason | None


class Target:
    """One target, from its mapping; made once, it maps any number of leads."""

    def __init__(self, mapping: Mapping) -> None:
        """`ValueError` for a template or a default that cannot be read; `read_mapping` lets none pass."""
        self.mapping = mapping
        self._pages = frozenset(mapping.filter.pages)
        self._forms = frozenset(mapping.filter.forms)
        self._ignored = frozenset(mapping.ignore)
        overridden = {form for field in mapping.fields.values() for form in field.forms}
        base = {name: _way(name, field, None) for name, field in mapping.fields.items()}
        self._ways = tuple(base.values())
        self._ways_of_forms = {form: _ways_of_form(mapping, base, form) for form in overridden}

    def wants(self, lead: Lead) -> bool:
        """Whether the target's filter takes the lead; no target takes a test lead. Where it is not known that it is
        organic, only `only` leaves it out.
        """
        said = self.mapping.filter
        return (
            not lead["is_test"]
            and (not self._pages or lead["page_id"] in self._pages)
            and (not self._forms or lead["form_id"] in self._forms)
            and not (said.organic == "exclude" and lead["is_organic"] is True)
            and not (said.organic == "only" and lead["is_organic"] is not True)
        )

    def map(self, lead: Lead) -> Mapped:
        """The target's record of a lead, whether the filter takes it or not."""
        said = Said(lead)
        record: dict[str, object] = {self.mapping.key: lead["lead_id"]}
        failures: list[Failed] = []
        taken = 0
        for way in self._ways_for(lead):
            value, places, reason = way.make(said)
            record[way.name] = value
            taken |= places
            if reason is not None:
                failures.append(Failed(field=way.name, reason=reason))
        record[UNMAPPED] = said.left(taken, self._ignored)
        return Mapped(record=record, failures=tuple(failures))

    def tell(self, lead: Lead) -> list[Told]:
        """The same field by field, for people who ask what becomes of their leads."""
        said = Said(lead)
        return [_told(way, said) for way in self._ways_for(lead)]

    def _ways_for(self, lead: Lead) -> "tuple[_Way, ...]":
        return self._ways_of_forms.get(lead["form_id"] or "", self._ways)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How one field is made."""

    name: str
    sources: tuple[Read, ...]
    steps: tuple[Step, ...]
    convert: Convert
    takes_all: bool
    default: Typed | None
    is_required: bool
    is_lenient: bool

    def make(self, said: Said) -> tuple[Typed | None, int, Reason | None]:
        """The value, the places it took, and why there is none where the lead fails for it."""
        values = self.given(said)
        refused = 0
        for each in self.steps:
            if isinstance(each, Each):
                kept: list[Value] = []
                for value in values:
                    text = each.read(value, said.lead)
                    if text is not None:
                        kept.append(_new(Value, (text, None, value.places)))
                    elif self.is_lenient:
                        refused |= value.places
                    else:
                        return None, 0, each.reason
                values = kept
            elif isinstance(each, Text):
                values = [_new(Value, (each.change(value.text), value.option, value.places)) for value in values]
            else:
                values = each.change(values, said)
        return self._typed(values, refused)

    def given(self, said: Said) -> Values:
        """The values of the first source that has one."""
        for source in self.sources:
            if values := source(said):
                return values
        return ()

    def _typed(self, values: Values, refused: int) -> tuple[Typed | None, int, Reason | None]:
        if self.takes_all:
            if values:
                taken = 0
                for value in values:
                    taken |= value.places
                return [storable(value.text) for value in values], taken & ~refused, None
        else:
            for number, value in enumerate(values):
                found = self.convert(value.text)
                if found is not None:
                    if len(values) > 1:
                        for other in values[number + 1 :]:  # also a part of the same answer: then it is left whole
                            refused |= other.places
                    return found, value.places & ~refused, None
                if not self.is_lenient:
                    return None, 0, "type"
                refused |= value.places
        if self.default is None and self.is_required:
            return None, 0, "required"
        return self.default, 0, None


def _ways_of_form(mapping: Mapping, base: Map[str, _Way], form: str) -> tuple[_Way, ...]:
    """What a form does not override is shared: a file may name hundreds of forms."""
    return tuple(
        _way(name, field, field.forms[form]) if form in field.forms else base[name]
        for name, field in mapping.fields.items()
    )


def _way(name: str, field: TargetField, override: Override | None) -> _Way:
    said = override or _NOT_OVERRIDDEN
    sources = field.sources if said.sources is None else said.sources
    transforms = field.transform if said.transform is None else said.transform
    return _Way(
        name=name,
        sources=tuple(map(reader, sources)),
        steps=tuple(map(step, transforms)),
        convert=converter(field.type),
        takes_all=field.type == "strings",
        default=_default(name, field, said),
        is_required=field.required if said.required is None else said.required,
        is_lenient=field.if_invalid == "default",
    )


def _default(name: str, field: TargetField, override: Override) -> Typed | None:
    text = field.default if override.default is None else override.default
    if text is None:
        return None
    found = converter(field.type)(text)
    if found is None:
        raise ValueError(f"fields.{name}.default is no {field.type}")
    return [text] if field.type == "strings" else found


def _told(way: _Way, said: Said) -> Told:
    after, _, reason = way.make(said)
    before = tuple(value.text for values in _inputs(way, said) for value in values)
    return Told(field=way.name, before=before, after=after, reason=reason)


def _inputs(way: _Way, said: Said) -> Iterator[Values]:
    yield way.given(said)
    for each in way.steps:
        if isinstance(each, Whole):
            for read in each.reads:
                yield read(said)
