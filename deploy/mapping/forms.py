"""The forms that mapping files are held against: what `meta.leadgen.forms` has of them."""

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from deploy.reading import reading
from deploy.sending import ReadsTopics
from deploy.table import print_aligned
from ingest.records import FORMS, Topics
from processors.mapping.asked import newest
from schemas.shapes import Form


def forms(*, as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False) -> None:
    """The forms that are known, and what each asks: by these ids `mapping new` and mapping files name them.

    `work retry` looks at each page's forms, soon after it starts and then every FORMS_CHECK seconds.

    Example: leadstream mapping forms
    """
    with reading() as (settings, reader):
        known = newest(read_forms(reader, Topics(prefix=settings.topic_prefix)))
    known.sort(key=lambda form: (form.page_id or "", not form.is_active, form.form_id))
    if as_json:
        told = [
            {
                "form_id": form.form_id,
                "page_id": form.page_id,
                "name": form.name,
                "active": form.is_active,
                "questions": {key: asked.label for key, asked in form.questions.items()},
                "tracking": sorted(form.tracking),
                "disclaimers": dict(form.disclaimers),
            }
            for form in known
        ]
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
        return
    if not known:
        typer.echo("No form is known yet: `leadstream work retry` looks at the forms of each page.", err=True)
        return
    rows = [
        (form.form_id, form.page_id or "-", "yes" if form.is_active else "no", str(len(form.questions)), form.name)
        for form in known
    ]
    print_aligned([("form", "page", "active", "questions", "name"), *rows])


def read_forms(reader: ReadsTopics, topics: Topics) -> list[Form]:
    """Every version of every form that was seen, as it was last told. ReadingError where the topic cannot be read."""
    last: dict[bytes | None, bytes | None] = {}
    for received in reader.read(topics(FORMS)):
        last[received.key] = received.value
    return [form for value in last.values() if value is not None for form in _read(value)]


def _read(value: bytes) -> Iterator[Form]:
    """The form in a record; what is no form is left out, as `work fetch` does."""
    try:
        told = json.loads(value)
    except ValueError:
        return
    if isinstance(told, dict) and isinstance(told.get("form_id"), str) and isinstance(told.get("form"), dict):
        yield Form(
            form_id=told["form_id"],
            version=str(told.get("version")),
            page_id=told.get("page_id"),
            seen_at=int(told.get("seen_at") or 0),
            form=told["form"],
        )
