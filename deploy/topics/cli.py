"""`leadstream topics`: plan shows the differences, apply mends them."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from ingest.registry import RegistryError, open_registry
from ingest.settings import KafkaSettings, MappingSettings, RegistrySettings, read
from processors.mapping.reading import BadMapping, read_folder

from .cluster import ClusterError, admin_client
from .declared import apply, plan
from .differences import Difference

topics = typer.Typer(
    help="The topics and schemas that everything stands on, as declared and as they are.", no_args_is_help=True
)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")]
Replication = Annotated[
    int | None, typer.Option(min=1, help="Copies of each new topic; else 3, or one for each of fewer brokers.")
]


@topics.command(name="plan")
def show(as_json: AsJson = False, replication: Replication = None) -> None:
    """Shows how the cluster and the registry differ from what is declared. Exits 1 if they do.

    Each mapping file in MAPPING_DIR declares a topic, and the schema of its records.

    Example: leadstream topics plan
    """
    differences, _ = _run(mend=False, replication=replication)
    _print(differences, as_json=as_json)
    raise typer.Exit(1 if differences else 0)


@topics.command(name="apply")
def mend(
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this it is only shown.")] = False,
    as_json: AsJson = False,
    replication: Replication = None,
) -> None:
    """Makes it so: creates topics, sets their settings, registers schemas. Exits 1 if something is left.

    Example: leadstream topics apply --yes
    """
    differences, left = _run(mend=yes, replication=replication)
    _print(differences, as_json=as_json)
    if differences and not yes:
        typer.echo("Nothing was done. `leadstream topics apply --yes` does it.", err=True)
    elif differences and not left:
        typer.echo("Done.", err=True)
    elif left:
        typer.echo("Not done, and why:", err=True)
        for difference in left:
            typer.echo(f"  {difference.sentence}", err=True)
    raise typer.Exit(1 if left else 0)


def _run(*, mend: bool, replication: int | None) -> tuple[list[Difference], list[Difference]]:
    """What differs, and what still does afterwards."""

    async def run() -> tuple[list[Difference], list[Difference]]:
        kafka, settings, folder = read(KafkaSettings), read(RegistrySettings), read(MappingSettings).mapping_dir
        mappings = [each.mapping for each in read_folder(folder)] if folder else []
        cluster = admin_client(kafka)
        async with open_registry(
            settings.registry_url, username=settings.registry_username, password=settings.registry_password
        ) as registry:
            differences = await plan(
                cluster, registry, mappings=mappings, prefix=kafka.topic_prefix, replication=replication
            )
            return differences, await apply(differences, cluster, registry) if mend else differences

    try:
        return asyncio.run(run())
    except (BadMapping, ClusterError, RegistryError) as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None


def _print(differences: Sequence[Difference], *, as_json: bool) -> None:
    if as_json:
        told = [{"kind": type(each).__name__, "sentence": each.sentence, **asdict(each)} for each in differences]
        typer.echo(json.dumps(told, indent=2))
    elif not differences:
        typer.echo("Topics and schemas are as declared.")
    else:
        for difference in differences:
            typer.echo(f"{'+' if difference.mendable else '!'} {difference.sentence}")
