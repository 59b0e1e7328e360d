"""`leadstream canary`: a test lead's way from Meta to leads.v1, timed. Exit codes: 0 in time, 1 not, 2 used wrongly."""

import asyncio
import json
import os
import signal
import sys
from typing import Annotated

import typer

from deploy.moments import duration
from deploy.parent import Program
from deploy.reading import reading
from deploy.running import run
from ingest import telemetry
from ingest.records import ACCESS, Topics
from ingest.settings import KafkaSettings, MetaSettings, read

from .judging import Flight
from .watching import CanarySettings, assembled, fly_once
from .words import in_json, lines


def canary(
    *,
    form: Annotated[str | None, typer.Option(metavar="ID", help="The form's id.", show_default="CANARY_FORM")] = None,
    page: Annotated[
        str | None, typer.Option(metavar="ID", help="Its page's id.", show_default="as the form tells")
    ] = None,
    every: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Again and again, supervised.", show_default="one run"),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Until it is lost.", show_default="120s"),
    ] = None,
    objective: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="DURATION", help="Until it is late.", show_default="60s"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Has Meta make a test lead on a form, waits for it on leads.v1, deletes it, and tells how long each stage took.

    It goes the way of every lead, and reaches no CRM. A form has one test lead at a time. Exit code 1: it came late or
    not at all, and which stage it did not pass; or there was no run, and why.

    Example: leadstream canary --form 618141864114566
    Every quarter of an hour, with metrics: leadstream canary --form 618141864114566 --every 15m --objective 60s
    """
    asked = {
        "CANARY_FORM": form,
        "CANARY_PAGE": page,
        "CANARY_EVERY": every,
        "CANARY_TIMEOUT": timeout,
        "CANARY_OBJECTIVE": objective,
    }
    os.environ.update({name: str(value) for name, value in asked.items() if value is not None})  # for the child too
    settings, _, _ = read(CanarySettings), read(KafkaSettings), read(MetaSettings)
    if every is not None:
        run([Program(name="canary")])
    telemetry.start_logging("canary")
    with reading() as (kafka, reader):  # what follows waits for a broker that is away, as a schedule should
        reader.bounds(Topics(prefix=kafka.topic_prefix)(ACCESS))
    flight = asyncio.run(_fly(settings))
    if as_json:
        typer.echo(json.dumps(in_json(flight, settings.limits), indent=2))
    else:
        for line in lines(flight, settings.limits):
            typer.echo(line)
    sys.exit(0 if flight.outcome == "in-time" else 1)


async def _fly(settings: CanarySettings) -> Flight:
    # Told to end, it deletes its lead first: a form that has a test lead takes no other.
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with assembled(settings) as bird:
        return await fly_once(bird, settings, stop)
