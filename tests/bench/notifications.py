"""Notifications as the doors leave them on the raw topic, of the leads that the stub of the Graph API knows."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingest.kafka import ConfluentProducer
from ingest.records import RAW, Record, Topics, headers

from .world import World

PAGES = 100
FIRST_LEAD = 1_000_000_000_000_000
_FIRST_PAGE, _FIRST_FORM, _FIRST_AD = 100_000_000_000_000, 300_000_000_000_000, 500_000_000_000_000
_LEADS_IN_A_ROW = 10  # of one page: peers/go/load and peers/go/stub have it so


def notifications(leads: int, *, pages: int = PAGES) -> Iterator[Record]:
    """The raw records of so many leads. With more pages than the stub's 100, ten leads are of each; the forms are 100.

    With as many pages as leads, each lead has a page of its own.
    """
    now = int(time.time())
    told = headers({"source": "webhook", "delivery": "0123456789abcdef", "received-at": now * 1000})
    for lead in range(FIRST_LEAD, FIRST_LEAD + leads):
        form = lead // _LEADS_IN_A_ROW % PAGES
        page = page_id(lead - FIRST_LEAD if pages >= leads else lead // _LEADS_IN_A_ROW % pages)
        value = {
            "leadgen_id": str(lead),
            "page_id": page,
            "form_id": str(_FIRST_FORM + form),
            "adgroup_id": str(_FIRST_AD + form),
            "ad_id": str(_FIRST_AD + form),
            "created_time": now,
        }
        change = json.dumps({"field": "leadgen", "value": value}, separators=(",", ":"))
        of = headers({"entry-id": page, "entry-time": now})
        yield Record(topic=RAW, key=page.encode(), value=change.encode(), headers=told + of)


def page_id(number: int) -> str:
    return str(_FIRST_PAGE + number)


def put(records: Sequence[Record], world: World, prefix: str) -> None:
    """Returns when all of them are on their topics."""

    async def deliver() -> None:
        producer = ConfluentProducer(world.kafka(prefix), Topics(prefix=prefix), timeout=60.0)
        await producer.deliver(records)
        await producer.close(15.0)

    asyncio.run(deliver())


def write_pages(file: Path, pages: int = PAGES) -> Path:
    """The file of `META_PAGES_FILE`: each page with a token of its own, as long as Meta's."""
    lines = (f'  "{page_id(number)}": {{token: "EAA{number:0177}"}}\n' for number in range(pages))
    file.write_text("pages:\n" + "".join(lines), encoding="utf-8")
    return file
