"""`leadstream mapping`: write a mapping file, check it, and see what it makes of real leads before it goes live."""

import typer

from processors.mapping.editing import editor_schema

from .check import check
from .forms import forms
from .new import new
from .preview import preview

mapping = typer.Typer(help="Mapping files: which lead fields go to which CRM topic.", no_args_is_help=True)
mapping.command()(forms)
mapping.command()(new)
mapping.command()(check)
mapping.command()(preview)


@mapping.command()
def schema() -> None:
    """The JSON Schema of mapping files, for an editor that is to complete them.

    Example: leadstream mapping schema > mapping.schema.json
    """
    typer.echo(editor_schema(), nl=False)
