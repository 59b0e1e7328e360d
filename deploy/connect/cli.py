"""`leadstream connect`: the configuration of a sink, and a supervisor for sinks that fail.

Exit codes: 0 done, 1 found wrong, 2 used wrongly.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.parent import Program
from deploy.running import run
from ingest import telemetry
from ingest.settings import read
from processors.mapping.reading import BadMapping, read_mapping

from .sink import postgres_sink
from .watching import WatchSettings, look_once

connect = typer.Typer(help="Kafka Connect, which writes CRM topics to where they are needed.", no_args_is_help=True)


@connect.command()
def config(
    mapping: Annotated[Path, typer.Argument(help="A mapping file.", dir_okay=False, exists=True)],
    *,
    table: Annotated[str | None, typer.Option(help="Where the rows go.", show_default="the topic's name")] = None,
    database: Annotated[str, typer.Option(help="As jdbc:postgresql://HOST:PORT/NAME.", metavar="JDBC-URL")],
    user: Annotated[str, typer.Option(help="Who writes; needs CREATE on the schema, or be the table's owner.")],
    password_file: Annotated[Path, typer.Option(help="As the worker sees it; its path is told, not its content.")],
    registry: Annotated[str, typer.Option(help="Apicurio's own API, as http://HOST:PORT/apis/registry/v2.")],
    topic_prefix: Annotated[str, typer.Option(envvar="TOPIC_PREFIX", help="Stands before the topic.")] = "",
) -> None:
    """The configuration of a sink into PostgreSQL for a target, as Kafka Connect takes it.

    Example: leadstream connect config mappings/sales.yaml --database jdbc:postgresql://db:5432/crm --user leadstream
    --password-file /etc/leadstream/secrets/password --registry http://registry:8080/apis/registry/v2
    | curl -sS -X PUT -H 'Content-Type: application/json' --data @- "$CONNECT_URL/connectors/sales-v1/config"
    """
    try:
        target = read_mapping(mapping.read_text(encoding="utf-8"), file=mapping.name).mapping
    except BadMapping as error:
        typer.echo(f"leadstream: {error}", err=True)
        raise typer.Exit(1) from None
    made = postgres_sink(
        topic=topic_prefix + target.topic,
        key=target.key,
        table=table,
        more={
            "connection.url": database,
            "connection.username": user,
            "connection.password": f"${{file:{password_file.parent}:{password_file.name}}}",
            "value.converter.apicurio.registry.url": registry,
        },
    )
    sys.stdout.write(json.dumps(made, indent=2) + "\n")


@connect.command()
def watch(
    *,
    url: Annotated[str | None, typer.Option(help="Connect's REST API.", show_default="CONNECT_URL")] = None,
    connector: Annotated[list[str] | None, typer.Option(help="Only this one.", show_default="all")] = None,
    every: Annotated[float | None, typer.Option(help="Seconds between two looks.", show_default="10")] = None,
    limit: Annotated[int | None, typer.Option(help="Restarts of one within --within.", show_default="5")] = None,
    within: Annotated[float | None, typer.Option(help="Seconds.", show_default="600")] = None,
    once: Annotated[bool, typer.Option("--once", help="One look; exit code 1 when something had failed.")] = False,
) -> None:
    """Restarts connectors and tasks that have failed; gives up with an alarm on one that fails again and again.

    Example: leadstream connect watch --url http://connect:8083 --connector sales-v1
    For cron: leadstream connect watch --once
    """
    asked = {
        "CONNECT_URL": url,
        "CONNECT_CONNECTORS": ",".join(connector) if connector else None,
        "CONNECT_EVERY": every,
        "CONNECT_LIMIT": limit,
        "CONNECT_WITHIN": within,
    }
    os.environ.update({name: str(value) for name, value in asked.items() if value is not None})  # for the child too
    settings = read(WatchSettings)
    if not once:
        run([Program(name="connect")])
    telemetry.start_logging("connect")
    seen = asyncio.run(look_once(settings))
    for failed in seen.failed:
        typer.echo(f"{failed.name}: {failed.failed} failed ({failed.error or 'no reason told'}), restarted")
    for name in seen.missing:
        typer.echo(f"{name}: there is no such connector")
    if seen.trouble:
        typer.echo(f"leadstream: {seen.trouble}: is it up, and is CONNECT_URL right?", err=True)
    raise typer.Exit(1 if seen.failed or seen.missing or seen.trouble else 0)
