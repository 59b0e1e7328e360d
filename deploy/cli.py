"""`leadstream`: one command tree, each command a short composition root.

Exit codes: 0 done, 1 found wrong, 2 used wrongly.
"""

import asyncio
import sys
from typing import Annotated

import typer

from deploy.demo import demo
from deploy.parent import Program, listen, supervise
from deploy.replay import replay
from deploy.sandbox.cli import sandbox
from deploy.sandbox.deliver import deliver
from deploy.tail import tail
from deploy.topics import topics
from ingest import telemetry
from ingest.settings import (
    AdminSettings,
    KafkaSettings,
    MetaSettings,
    PagesSettings,
    RegistrySettings,
    SettingsError,
    WebhookSettings,
    WorkSettings,
    read,
)

app = typer.Typer(
    help="Meta lead ads, from webhook to CRM, as a Kafka stream that loses no lead and can prove it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would show tokens and answers
    add_completion=False,
)
work = typer.Typer(help="A worker; run more of them for more.", no_args_is_help=True)
app.add_typer(work, name="work")
app.add_typer(sandbox, name="sandbox")
app.add_typer(topics, name="topics")
app.add_typer(replay, name="replay")
app.command()(demo)
app.command()(tail)
sandbox.command()(deliver)


@app.command()
def serve(
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the port.")] = 1,
) -> None:
    """The webhook service: what Meta posts goes to Kafka, and a 200 means Kafka has it.

    Example: leadstream serve --processes 2
    """
    webhook, _, _ = read(WebhookSettings), read(MetaSettings), read(KafkaSettings)
    try:
        sockets = listen(webhook.ingest_host, webhook.ingest_port, processes)
    except OSError as error:
        where = f"{webhook.ingest_host}:{webhook.ingest_port}"
        _refuse(f"cannot listen on {where} ({error.strerror}): choose another INGEST_HOST or INGEST_PORT")
    _supervise([Program(name="serve", sock=sock) for sock in sockets])


@work.command()
def fetch() -> None:
    """Reads notifications, asks Meta for each lead, writes its whole answer to meta.leadgen.details.

    Example: leadstream work fetch
    """
    _ = read(KafkaSettings), read(RegistrySettings), read(MetaSettings), read(PagesSettings), read(WorkSettings)
    _supervise([Program(name="fetch")])


@work.command(name="map")
def map_() -> None:
    """Reads Meta's answers, writes typed leads to leads.v1. It asks Meta nothing, so it can be replayed at will.

    Example: leadstream work map
    """
    _ = read(KafkaSettings), read(RegistrySettings), read(WorkSettings)
    _supervise([Program(name="map")])


def _supervise(programs: list[Program]) -> None:
    telemetry.start_logging("parent")
    raise typer.Exit(asyncio.run(supervise(programs, read(AdminSettings))))


def _refuse(sentence: str) -> None:
    sys.stderr.write(f"leadstream: {sentence}\n")
    raise typer.Exit(2)


def main() -> None:
    """The console script."""
    try:
        app()
    except SettingsError as error:
        sys.stderr.write(f"leadstream: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
