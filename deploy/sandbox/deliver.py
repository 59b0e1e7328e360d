"""`leadstream sandbox deliver`: makes the double of Meta deliver leads, and tells how the door answered."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .errors import SandboxError
from .graph.admin import GraphAdmin, GraphAdminError
from .graph.shapes import Delivery, How
from .sandbox import Sandbox, default_home

_LOOK_EVERY = 0.2  # seconds
_SAY_EVERY = 5.0  # where there is no terminal


def deliver(
    *,
    leads: Annotated[int, typer.Option(min=1, help="So many people fill in a form.")] = 100,
    per_post: Annotated[int, typer.Option(min=1, max=1000, help="So many of them in one POST.")] = 10,
    pages: Annotated[int, typer.Option(min=1, help="So many pages share a POST.")] = 1,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Leads a second.", show_default="at once")] = None,
    url: Annotated[
        str,
        typer.Option(
            help="The webhook.",
            default_factory=lambda: f"http://127.0.0.1:{os.environ.get('INGEST_PORT', '8080')}/webhook",
            show_default="http://127.0.0.1:INGEST_PORT/webhook",
        ),
    ],
    home: Annotated[
        Path,
        typer.Option(help="The sandbox's folder.", default_factory=default_home, show_default="your state folder"),
    ],
) -> None:
    """Make leads, and announce them in signed POSTs as Meta does: one that is not answered 200 is sent again.

    Meta's 36 hours of repeating pass in 22 minutes here. Exits 1 when a POST was given up; Ctrl-C ends it.

    Example: leadstream sandbox deliver --leads 1000 --per-post 50 --rate 200
    """
    how: How = {"changes_per_post": per_post, "pages_per_post": pages}
    if rate is not None:
        how["rate"] = rate
    started = time.monotonic()
    try:
        graph = GraphAdmin(Sandbox(home).env()["META_GRAPH_URL"])
        done = _carry_out(graph, url, leads, how)
    except (SandboxError, GraphAdminError) as error:
        _refuse(str(error))
    except OSError:
        _refuse("the double of Meta does not answer: `leadstream sandbox up` starts it.")
    _print(done, time.monotonic() - started)
    raise typer.Exit(1 if done.posts_given_up or done.acknowledged < done.announced else 0)


def _carry_out(graph: GraphAdmin, url: str, leads: int, how: How) -> Delivery:
    """Where the delivery stood when it was finished, or when somebody ended it."""
    begun = graph.deliver(url, leads, **how)
    try:
        return _watch(graph, begun, leads)
    except KeyboardInterrupt:
        typer.echo("ended", err=True)
        return graph.stop(begun.job)


def _watch(graph: GraphAdmin, begun: Delivery, leads: int) -> Delivery:
    console = Console(stderr=True)
    spoke = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("acknowledged", total=leads)
        while not (now := graph.progress(begun.job)).finished:
            refused = sum(now.answers.values()) - now.answers.get("200", 0)
            waiting = f", {refused} refusals so far" if refused else ""
            progress.update(bar, completed=now.acknowledged, description=f"acknowledged{waiting}")
            if not console.is_terminal and time.monotonic() - spoke > _SAY_EVERY:
                spoke = time.monotonic()
                typer.echo(f"{now.acknowledged} of {leads} leads acknowledged{waiting}", err=True)
            time.sleep(_LOOK_EVERY)
    if now.failure:
        raise GraphAdminError(f"the double could not deliver: {now.failure}")
    return now


def _print(done: Delivery, seconds: float) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    attempts = sum(done.answers.values())
    rows = {
        "leads made": done.made,
        "leads acknowledged": done.acknowledged,
        "POSTs": done.posts,
        "of them given up": done.posts_given_up,
        "of them unanswered": done.posts_open,
        **{f"answered {status}": count for status, count in sorted(done.answers.items())},
        "sent again": max(0, attempts - done.posts),
    }
    for what, count in rows.items():
        table.add_row(what, str(count))
    table.add_row("seconds", f"{seconds:.1f}")
    Console().print(table)


def _refuse(sentence: str) -> None:
    typer.echo(f"leadstream: {sentence}", err=True)
    raise typer.Exit(1)
