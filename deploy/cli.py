"""`leadstream`: one command tree, each command a short composition root.

Exit codes: 0 done, 1 found wrong, 2 used wrongly.
"""

import sys
from typing import Annotated

import typer

from deploy.account import status
from deploy.backfill import backfill
from deploy.canary import canary
from deploy.connect import connect
from deploy.dead import dead
from deploy.demo import demo
from deploy.doctor import doctor
from deploy.importing import import_leads
from deploy.mapping import mapping
from deploy.pages import pages
from deploy.parent import Program
from deploy.parked import parked
from deploy.reconcile import reconcile
from deploy.replay import replay
from deploy.running import listen_or_exit, run
from deploy.sandbox.cli import sandbox
from deploy.sandbox.deliver import deliver
from deploy.tail import tail
from deploy.topics import topics
from ingest.settings import (
    HealthSettings,
    KafkaSettings,
    MappingSettings,
    MetaSettings,
    PagesSettings,
    RegistrySettings,
    RetrySettings,
    SettingsError,
    WebhookSettings,
    WorkSettings,
    read,
)
from processors.mapping.live import read_mappings

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
app.add_typer(mapping, name="mapping")
app.add_typer(connect, name="connect")
app.add_typer(replay, name="replay")
app.add_typer(dead, name="dead")
app.add_typer(parked, name="parked")
app.add_typer(pages, name="pages")
app.command()(demo)
app.command()(doctor)
app.command()(status)
app.command()(backfill)
app.command()(reconcile)
app.command()(tail)
app.command(name="import")(import_leads)
app.command()(canary)
sandbox.command()(deliver)


@app.command()
def serve(
    processes: Annotated[int, typer.Option(min=1, help="How many processes share the port.")] = 1,
) -> None:
    """The webhook service: what Meta posts goes to Kafka, and a 200 means Kafka has it.

    Example: leadstream serve --processes 2
    """
    webhook, _, _ = read(WebhookSettings), read(MetaSettings), read(KafkaSettings)
    sockets = listen_or_exit("INGEST", webhook.ingest_host, webhook.ingest_port, processes)
    run([Program(name="serve", sock=sock) for sock in sockets])


@work.command()
def fetch() -> None:
    """Reads notifications, asks Meta for each lead, writes its whole answer to meta.leadgen.details.

    Example: leadstream work fetch
    """
    _ = read(KafkaSettings), read(RegistrySettings), read(MetaSettings), read(PagesSettings), read(WorkSettings)
    run([Program(name="fetch")])


@work.command(name="map")
def map_() -> None:
    """Reads Meta's answers, writes typed leads to leads.v1, and to a topic for each mapping file in MAPPING_DIR.

    It asks Meta nothing, so it can be replayed at will. A file that changes is taken up once `topics apply` has
    registered its schema; until then, and while it is broken, the one before stays in force. What Meta tells of a lead
    later on is typed on leads.updates.v1, by a group of its own.

    Example: MAPPING_DIR=mappings leadstream work map
    """
    _ = read(KafkaSettings), read(RegistrySettings), read(WorkSettings)
    if folder := read(MappingSettings).mapping_dir:
        read_mappings(folder)  # told here, and not by a child that is started again and again
    run([Program(name="map")])


@work.command()
def retry() -> None:
    """Brings back what waits: records that are due, and parked ones once their page may be asked again.

    Example: leadstream work retry
    """
    _ = read(KafkaSettings), read(MetaSettings), read(PagesSettings), read(WorkSettings), read(RetrySettings)
    _ = read(HealthSettings)
    run([Program(name="retry")])


def main() -> None:
    """The console script."""
    try:
        app()
    except SettingsError as error:
        sys.stderr.write(f"leadstream: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
