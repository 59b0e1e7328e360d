"""`leadstream mapping new`: a first mapping file, from what a form asks."""

import re
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from deploy.reading import reading
from ingest.records import Topics
from ingest.settings import MappingSettings, read
from processors.mapping.asked import newest
from processors.mapping.drafting import SCHEMA_FILE, draft, target_name
from processors.mapping.editing import editor_schema

from .forms import read_forms

_TARGET = re.compile(r"[a-z][a-z0-9_]{0,48}")


def new(
    *,
    form: Annotated[str, typer.Option("--form", help="The form's id, as `mapping forms` lists it.")],
    target: Annotated[str | None, typer.Option("--target", help="Names the topic; else the form's name does.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Who is asked about it: a team, or an address.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file; else <target>.yaml in MAPPING_DIR.")] = None,
) -> None:
    """Write a first mapping file from a form's questions, to be edited: each question has a field.

    Beside it goes mapping.schema.json, by which editors complete and check, if it is not there. A file that is there is
    never written over.

    Example: leadstream mapping new --form 612782880265944 --target homes --owner crm@example.com
    """
    if target is not None and not _TARGET.fullmatch(target):
        raise typer.BadParameter("up to 49 small letters, digits and _, a letter first.", param_hint="--target")
    folder = None if out else read(MappingSettings).mapping_dir
    if out is None and folder is None:
        raise typer.BadParameter("set MAPPING_DIR to the folder of mapping files, or say --out FILE.")
    with reading() as (settings, reader):
        known = newest(read_forms(reader, Topics(prefix=settings.topic_prefix)))
    found = next((each for each in known if each.form_id == form), None)
    if found is None:
        _refuse(f"form {form} is none of the {len(known)} that are known: `leadstream mapping forms` lists them")
    name = target or target_name(found)
    path = out or (folder or Path()) / f"{name}.yaml"
    _write(path, draft(found, target=name, owner=owner))
    schema = path.with_name(SCHEMA_FILE)
    if not schema.exists():
        _write(schema, editor_schema())
    typer.echo(
        f"Next: edit it, then `leadstream mapping check {path}` and `leadstream mapping preview {path}`.", err=True
    )


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        reason = "is there already" if path.exists() else f"cannot be written ({error.strerror})"
        _refuse(f"{path} {reason}: choose another --out, or another --target")
    typer.echo(f"Wrote {path}", err=True)


def _refuse(why: str) -> NoReturn:
    typer.echo(f"leadstream: {why}", err=True)
    raise typer.Exit(1)
