"""`leadstream serve` and `leadstream work`: what they need is read before a child starts."""

from typing import Annotated

import typer

from deploy.parent import Program
from deploy.running import listen_or_exit, run
from ingest.settings import (
    HealthSettings,
    KafkaSettings,
    MappingSettings,
    MetaSettings,
    PagesSettings,
    RegistrySettings,
    RetrySettings,
    WebhookSettings,
    WorkSettings,
    read,
)

work = typer.Typer(help="A worker; run more of them for more.", no_args_is_help=True)


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
        from processors.mapping.live import read_mappings  # noqa: PLC0415  what it imports is the child's to import

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
