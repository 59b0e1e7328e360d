"""One backfill: page beside page, and a page's forms one after another, each as far as Meta lets it be read."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

from ingest.backfill import Stand
from ingest.bulk import PageLost, Slice, Unreadable
from ingest.meta.errors import BadAsk
from ingest.meta.pages import PageAccess

from .checkpoint import Checkpoint
from .choosing import Edge


class Fills(Protocol):
    """`ingest.backfill.Backfill`."""

    def fill(self, wanted: Slice, stand: Stand) -> AsyncGenerator[Stand, None]: ...


class HoldsPages(Protocol):
    def get(self, page_id: str) -> PageAccess | None: ...


async def fill_all(
    checkpoint: Checkpoint, backfill: Fills, pages: HoldsPages, *, told: Callable[[int], None]
) -> Mapping[Edge, str]:
    """Reads what the checkpoint leaves to be read; why it could not, by edge, where it could not.

    `told` hears how many leads have been read of all edges. Raises what `backfill` does of our own side, one of them.
    """
    failed: dict[Edge, str] = {}
    by_page: dict[str, list[Edge]] = {}
    for edge in checkpoint.edges:
        if not checkpoint.of(edge).done:
            by_page.setdefault(edge.page_id, []).append(edge)

    async def fill(edges: Sequence[Edge]) -> None:
        lost = ""
        for edge in edges:
            if lost and edge.kind == "form":  # an ad may need other permissions than the page's forms
                failed[edge] = lost
                continue
            try:
                await _fill(edge)
            except (Unreadable, BadAsk) as error:
                failed[edge] = error.reason
                lost = error.reason if isinstance(error, PageLost) and edge.kind == "form" else lost

    async def _fill(edge: Edge) -> None:
        page = pages.get(edge.page_id)
        if page is None:
            raise PageLost("no-token")
        wanted = Slice(edge_id=edge.edge_id, page=page, since=checkpoint.since, until=checkpoint.until)
        async with aclosing(backfill.fill(wanted, checkpoint.of(edge))) as stands:
            async for stand in stands:
                checkpoint.put(edge, stand)
                told(checkpoint.read)

    try:
        async with asyncio.TaskGroup() as group:
            for edges in by_page.values():
                group.create_task(fill(edges))
    except ExceptionGroup as several:
        raise several.exceptions[0] from None  # one is enough, and the caller knows it by its class
    return failed
