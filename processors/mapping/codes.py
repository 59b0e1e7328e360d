"""Tables of codes held against the options of forms. Performs no I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from processors.mapping import file
from processors.mapping.asked import AskedForm, Named, named
from processors.mapping.effective import Effective, for_form
from processors.mapping.file import Mapping
from processors.mapping.findings import Found
from processors.mapping.sources import fold
from processors.mapping.yaml_text import Place

# After others it is not known before a lead comes what is looked up.
_LEAVE_THE_OPTION = frozenset({"trim", "lower", "upper", "first", "all", "option_text"})
_FEW = 5  # options that a sentence can list
_TICKED = [("true", "true"), ("false", "false")]


@dataclass(slots=True)
class _Use:
    """What a table was held against, over all forms."""

    table: file.Table
    options: set[str] = field(default_factory=set)  # keys and texts, folded
    any_text: bool = False  # something may come in that is no option


def check_codes(mapping: Mapping, forms: Sequence[AskedForm]) -> Iterator[Found]:
    """Options that a table has no code for, and entries of a table that are no option anywhere."""
    uses: dict[Place, _Use] = {}
    for form in forms:
        for name, each in mapping.fields.items():
            its = for_form(name, each, form.form_id)
            for number, transform in enumerate(its.transform):
                if isinstance(transform, file.Code):
                    place = (*its.where("transform"), number, "code", "table")
                    use = uses.setdefault(place, _Use(table=transform.code))
                    yield from _hold(its, number, form, use, place)
    for place, use in uses.items():
        if use.options and not use.any_text:
            for entry in use.table.table:
                if fold(entry) not in use.options:
                    yield Found("warning", (*place, entry), None, f"`{entry}` is no option of any form")


def _hold(its: Effective, number: int, form: AskedForm, use: _Use, place: Place) -> Iterator[Found]:
    before = its.transform[:number]
    if not all(isinstance(each, str) and each in _LEAVE_THE_OPTION for each in before):
        use.any_text = True
        return
    known = {fold(entry) for entry in use.table.table}
    for what, options in _options(its, form, use):
        missing = []
        for option, text in options:
            looked_up = {fold(text)} if "option_text" in before else {fold(option), fold(text)}
            use.options |= looked_up
            if not looked_up & known:
                missing.append(option)
        if missing and use.table.otherwise is None:
            is_fatal = its.field.if_invalid == "dead" and form.is_active
            outcome = "a lead with one is a dead letter" if its.field.if_invalid == "dead" else "that stays in unmapped"
            yield Found(
                "error" if is_fatal else "warning",
                place,
                form.form_id,
                f"{what} of {form} has {_options_in_words(missing)} without a code: {outcome}; add a code for each, or"
                " `otherwise`",
            )


def _options(its: Effective, form: AskedForm, use: _Use) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What is asked with its options, of what the field reads on this form."""
    for source in its.sources:
        name = named(source)
        if name is None or isinstance(source, file.Property):
            use.any_text = True
            continue
        for asked in form.asks(name):
            options = _TICKED if asked.kind == "disclaimer" else _of_question(form, asked)
            if options:
                yield f"{asked.kind} `{asked.name}`", options
            else:
                use.any_text = True


def _of_question(form: AskedForm, asked: Named) -> list[tuple[str, str]]:
    return form.options(asked.name) if asked.kind == "field" else []


def _options_in_words(options: Sequence[str]) -> str:
    few = ", ".join(f"`{option}`" for option in options[:_FEW])
    more = f" and {len(options) - _FEW} more" if len(options) > _FEW else ""
    return f"{'the option' if len(options) == 1 else 'the options'} {few}{more}"
