"""A mapping file held against the forms whose leads it gets, before any lead does. Performs no I/O."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from processors.mapping.asked import UNLISTED, AskedForm, Kind, Named, newest, reads
from processors.mapping.codes import check_codes
from processors.mapping.effective import Effective, for_form
from processors.mapping.file import Filter, Mapping
from processors.mapping.findings import Finding, Found
from processors.mapping.reading import Loaded
from schemas import shapes

_SIMILAR = 0.7  # difflib's ratio
_UNKNOWN: dict[Kind, str] = {
    "field": "`{}` is no question of {}",
    "question": "“{}” is no question of {}",
    "standard": "no question of {1} asks for {0}",
    "tracking": "`{}` is no tracking parameter of {}",
    "disclaimer": "`{}` is no checkbox of {}",
}
# What is written in the file is certainly wrong, or may be right for a form that is made tomorrow.
_ERRORS = frozenset({"field", "question", "disclaimer"})


def check(loaded: Loaded, forms: Iterable[shapes.Form]) -> list[Finding]:
    """What is found, in the order of the file. `forms` are records of `meta.leadgen.forms`, of any age and order."""
    mapping = loaded.mapping
    known = newest(forms)
    taken = [form for form in known if _takes(mapping.filter, form)]
    found = [*_scope(mapping, known, taken), *_contradictions(mapping)]
    if taken:
        found += [*_unknown(mapping, taken), *_never(mapping, taken), *check_codes(mapping, taken)]
        found += _left(mapping, taken)
    return sorted((each.within(loaded) for each in found), key=lambda each: (each.line, each.form_id or ""))


def _takes(said: Filter, form: AskedForm) -> bool:
    return (not said.forms or form.form_id in said.forms) and (not said.pages or form.page_id in said.pages)


def _scope(mapping: Mapping, known: Sequence[AskedForm], taken: Sequence[AskedForm]) -> Iterator[Found]:
    """Forms and pages that are named but not known."""
    forms, pages = {form.form_id for form in known}, {form.page_id for form in known}
    for number, form_id in enumerate(mapping.filter.forms):
        if form_id not in forms:
            yield Found("warning", ("filter", "forms", number), form_id, f"form {form_id} is not known here")
    for number, page_id in enumerate(mapping.filter.pages):
        if page_id not in pages:
            yield Found("warning", ("filter", "pages", number), None, f"no form of page {page_id} is known here")
    for name, field in mapping.fields.items():
        for form_id in field.forms:
            if form_id not in forms and form_id not in mapping.filter.forms:
                yield Found("warning", ("fields", name, "forms", form_id), form_id, "this form is not known here")
    if not taken:
        seen = "the filter takes none of the forms that are known" if known else "no form is known"
        yield Found(
            "warning",
            ("filter",) if known else (),
            None,
            f"{seen}, so this was held against none: `leadstream mapping forms` lists those that are",
        )


def _contradictions(mapping: Mapping) -> Iterator[Found]:
    for name, field in mapping.fields.items():
        if field.required and field.default is not None:
            yield Found("warning", ("fields", name, "required"), None, "says nothing, as there is a default")


def _unknown(mapping: Mapping, taken: Sequence[AskedForm]) -> Iterator[Found]:
    """Sources that no form has, or the one form that they are for."""
    for name, field in mapping.fields.items():
        own = {form.form_id: form for form in taken if form.form_id in field.forms}
        for its in (Effective(name=name, field=field), *(for_form(name, field, form_id) for form_id in own)):
            forms = taken if its.form_id is None else [own[its.form_id]]
            owner = str(own[its.form_id]) if its.form_id else "any form"
            for place, named in reads(its):
                is_new = place[: len(its.place)] == its.place
                if named and is_new and named not in UNLISTED and not any(form.asks(named) for form in forms):
                    yield Found(
                        "error" if named.kind in _ERRORS else "warning",
                        place,
                        its.form_id,
                        _UNKNOWN[named.kind].format(named.name, owner) + _instead(named, taken),
                    )


def _instead(named: Named, forms: Sequence[AskedForm]) -> str:
    """Where there is something of this name that is named otherwise, or something of a similar name."""
    others: tuple[Kind, ...] = ("field", "tracking", "disclaimer", "question")
    for form in forms:
        for kind in others:
            if kind != named.kind and form.asks(Named(kind, named.name)):
                return f": on {form} it is `{kind}: {named.name}`"
    for form in forms:
        if close := get_close_matches(named.name, form.names(named.kind), n=1, cutoff=_SIMILAR):
            return f"; {form} has `{close[0]}`"
    return ""


def _never(mapping: Mapping, taken: Sequence[AskedForm]) -> Iterator[Found]:
    """Required fields of which an active form asks nothing: all its leads would be dead letters."""
    for form in taken:
        for name, field in mapping.fields.items():
            its = for_form(name, field, form.form_id)
            if not (its.required and its.default is None and form.is_active):
                continue
            named = [each for _, each in reads(its)]
            if all(each and each not in UNLISTED and not form.asks(each) for each in named):
                yield Found(
                    "error",
                    its.where("required"),
                    form.form_id,
                    f"{form} asks nothing that this field reads: all its leads would be dead letters; give it a"
                    f" `default`, or under `forms: {form.form_id}:` another source or `required: false`",
                )


def _left(mapping: Mapping, taken: Sequence[AskedForm]) -> Iterator[Found]:
    """What active forms ask and no field takes."""
    words = {"field": "the question", "tracking": "the tracking parameter", "disclaimer": "the checkbox"}
    for form in taken:
        if form.is_active:
            read = {
                asked
                for name, field in mapping.fields.items()
                for _, named in reads(for_form(name, field, form.form_id))
                if named
                for asked in form.asks(named)
            }
            for asked in form.everything():
                if asked not in read and asked.name not in mapping.ignore:
                    yield Found(
                        "warning",
                        ("fields",),
                        form.form_id,
                        f"no field takes {words[asked.kind]} `{asked.name}` of {form}: it stays in unmapped; name it in"
                        " a field's `from`, or in `ignore`",
                    )
