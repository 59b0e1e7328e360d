"""One reconciliation: what Meta lists is held against what is here, and what is missing is announced and waited for.

All three go on at once, page beside page, so that a page that has to pause holds up nobody else's leads. What is
announced stands in the way of live leads that come after it on raw: so only a few are under way at a time, and more
follow as fetch reads them.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from deploy.backfill.choosing import Edge, Unfound
from ingest.bulk import LeadsPage, Slice, Unreadable
from ingest.kafka import Producer
from ingest.meta.graph.bulk import CountedForm
from ingest.meta.pages import PageAccess
from ingest.reconcile import FormReport, Listed, Standing, announcement, standing
from ingest.records import Record
from ingest.whereabouts import KnowsLeads, Whereabouts

from .listed import AT_ONCE, Found, ListedLeads, Place, Tally

FIELDS = ("id", "created_time")
UNDER_WAY = 1_000  # announced leads that fetch has not read yet
_PAGES_AT_ONCE = 64  # as many may pause before they hold up another one
_LOOK_EVERY = 0.5  # seconds


class ReadsLeads(Protocol):
    """What is needed of `ingest.bulk.BulkRead`."""

    def pages(self, wanted: Slice, *, fields: Sequence[str]) -> AsyncGenerator[LeadsPage, None]: ...


class ListsForms(Protocol):
    """What is needed of `deploy.backfill.choosing.Chooser`."""

    def forms_of(self, page_id: str) -> AsyncIterator[Edge | Unfound]: ...


class HoldsPages(Protocol):
    def get(self, page_id: str) -> PageAccess | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which leads: those given with `since <= created < until`, in unix seconds; None is without end.

    One that was given within the last `young` seconds and is not here is not missed yet: its webhook may be on its way.
    """

    since: int | None = None
    until: int | None = None
    young: float = 0.0

    @property
    def all(self) -> bool:
        return self.since is None and self.until is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A page, or one form, that cannot be read; `page_id` is None where it is not known, both where no page is."""

    page_id: str | None
    form_id: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a reconciliation found, the forms by their page."""

    run: str
    forms: tuple[FormReport, ...]
    troubles: tuple[Trouble, ...]

    @property
    def total(self) -> FormReport:
        """All forms as if they were one."""
        return together(self.forms, "all")

    @property
    def is_complete(self) -> bool:
        """Whether every lead that can be had is here, and every page could be asked."""
        return not self.troubles and all(form.had == form.at_meta for form in self.forms)


def together(forms: Sequence[FormReport], name: str) -> FormReport:
    """Forms as if they were one, which counts for each what it counts itself, or else what it lists."""
    whole, leads, expired = Tally(), 0, 0
    for form in forms:
        leads += form.at_meta + form.not_listed
        expired += form.expired
        whole.sent += form.sent
        whole.recovered += form.recovered
        for stands, number in form.standings.items():
            whole.standings[stands] = whole.standings.get(stands, 0) + number
    return FormReport(
        page_id=name,
        form_id=name,
        standings=whole.standings,
        sent=whole.sent,
        recovered=whole.recovered,
        whole=all(form.whole for form in forms),
        counters=CountedForm(
            form_id=name, page_id=None, name=name, status=None, leads=leads, organic=None, expired=expired
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is, in leads."""

    listed: int
    missing: int  # that were announced, or would be
    under_way: int  # of those, the ones that are still to come


class Reconciliation:
    """`clock` is unix milliseconds, `run` the id under which leads are announced; without a producer none are."""

    def __init__(
        self,
        *,
        leads: ReadsLeads,
        forms: ListsForms,
        pages: HoldsPages,
        index: KnowsLeads,
        listed: ListedLeads,
        producer: Producer | None,
        asked: Asked,
        run: str,
        clock: Callable[[], int],
        told: Callable[[Progress], None] = lambda _: None,
        seconds: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._leads = leads
        self._forms = forms
        self._pages = pages
        self._index = index
        self._listed = listed
        self._producer = producer
        self._asked = asked
        self._run = run
        self._clock = clock
        self._told = told
        self._seconds = seconds
        self._pause = pause
        self._counted: dict[Place, CountedForm | None] = {}
        self._troubles: list[Trouble] = []
        self._unread: set[Place] = set()  # forms whose list ended early
        self._progress = Progress(listed=0, missing=0, under_way=0)

    async def reconcile(
        self, page_ids: Collection[str], forms: Collection[Edge | Unfound] = (), *, patience: float
    ) -> Report:
        """The whole of it: of all forms of pages, and of single ones.

        It ends when nothing is under way any more, or nothing has come for `patience` seconds. Raises what the index
        and the producer do.
        """
        if not page_ids and not forms:  # of nothing that was looked at it cannot be said that all of it is here
            self._troubles.append(Trouble(page_id=None, form_id=None, reason="no-pages"))
        slots = asyncio.Semaphore(_PAGES_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                listing = [group.create_task(self._page(page_id, slots)) for page_id in page_ids]
                listing += [group.create_task(self._form(form)) for form in forms]
                if self._producer is not None:
                    group.create_task(self._recover(self._producer, listing, patience))
        except ExceptionGroup as several:
            raise several.exceptions[0] from None  # one is enough, and the caller knows it by its class
        await asyncio.to_thread(self._index.refresh)
        for found in self._listed.open():
            await self._look_again(found)
        return self._report()

    async def _page(self, page_id: str, slots: asyncio.Semaphore) -> None:
        async with slots:
            async for form in self._forms.forms_of(page_id):
                await self._form(form)

    async def _form(self, form: Edge | Unfound) -> None:
        if isinstance(form, Unfound):
            page_id, form_id = (form.of, None) if form.kind == "page" else (None, form.of)
            self._troubles.append(Trouble(page_id=page_id, form_id=form_id, reason=form.reason))
            return
        place, asked = Place(form.page_id, form.edge_id), self._asked
        try:
            page = self._access(form.page_id)
            wanted = Slice(edge_id=form.edge_id, page=page, since=asked.since, until=asked.until)
            # Closed at once, however it ends: a page of leads holds a turn that others wait for.
            async with aclosing(self._leads.pages(wanted, fields=FIELDS)) as pages:
                async for read in pages:
                    await self._take(place, [Listed(lead.lead_id, lead.created_time) for lead in read.leads])
        except Unreadable as error:
            self._troubles.append(Trouble(page_id=place.page_id, form_id=place.form_id, reason=error.reason))
            self._unread.add(place)
        self._counted[place] = form.counted

    def _access(self, page_id: str) -> PageAccess:
        page = self._pages.get(page_id)
        if page is None:  # it was taken out of META_PAGES_FILE meanwhile
            raise Unreadable("no-token")
        return page

    async def _take(self, place: Place, leads: Sequence[Listed]) -> None:
        found = await asyncio.to_thread(self._index.of, [lead.lead_id for lead in leads])
        stands = [(lead, self._standing(lead, found.get(lead.lead_id))) for lead in leads]
        self._listed.add(place, stands)
        self._tell(listed=len(leads), missing=sum(each.kind == "missing" for _, each in stands))

    def _standing(self, lead: Listed, found: Whereabouts | None) -> Standing:
        stands = standing(found)
        if stands.kind == "missing" and lead.created_time > self._clock() / 1000 - self._asked.young:
            return Standing("coming", "webhook")
        return stands

    async def _look_again(self, found: Sequence[Found]) -> Mapping[str, Standing]:
        known = await asyncio.to_thread(self._index.of, [each.lead.lead_id for each in found])
        stands = {each.lead.lead_id: self._standing(each.lead, known.get(each.lead.lead_id)) for each in found}
        self._listed.put(stands)
        return stands

    async def _recover(self, producer: Producer, listing: Sequence[asyncio.Task[None]], patience: float) -> None:
        """Announces what is missing, as fetch gets it done, and sees it arrive."""
        moved_at, before = self._seconds(), 0
        while True:
            all_listed = all(task.done() for task in listing)
            if self._progress.under_way or self._listed.missing(1):
                await asyncio.to_thread(self._index.refresh)
                under_way, unread = await self._look_after_them()
                announced = await self._announce(producer, UNDER_WAY - unread)
                self._tell(under_way=under_way + announced - self._progress.under_way)
                if under_way + announced != before or announced:
                    moved_at, before = self._seconds(), under_way + announced
            if not all_listed:
                moved_at = self._seconds()
            elif not self._progress.under_way or self._seconds() - moved_at > patience:
                return
            await self._pause(_LOOK_EVERY)

    async def _look_after_them(self) -> tuple[int, int]:
        """How many announced ones are still to come, and how many of those fetch has not read."""
        under_way = unread = 0
        for found in self._listed.under_way():
            stands = (await self._look_again(found)).values()
            under_way += sum(each.kind == "coming" for each in stands)
            unread += sum(each == Standing("coming", "fetch") for each in stands)
        return under_way, unread

    async def _announce(self, producer: Producer, room: int) -> int:
        """How many were announced. Looked up once more: a webhook may have come since they were listed."""
        announced = 0
        while announced < room and (found := self._listed.missing(min(AT_ONCE, room - announced))):
            stands = await self._look_again(found)
            going = [each for each in found if stands[each.lead.lead_id].kind == "missing"]
            await producer.deliver([self._record(each) for each in going])
            self._listed.put({each.lead.lead_id: Standing("coming", "fetch") for each in going}, sent=True)
            announced += len(going)
        return announced

    def _record(self, found: Found) -> Record:
        place = found.place
        return announcement(found.lead, page_id=place.page_id, form_id=place.form_id, run=self._run, now=self._clock())

    def _tell(self, *, listed: int = 0, missing: int = 0, under_way: int = 0) -> None:
        before = self._progress
        self._progress = Progress(
            listed=before.listed + listed,
            missing=before.missing + missing,
            under_way=before.under_way + under_way,
        )
        self._told(self._progress)

    def _report(self) -> Report:
        tallies = self._listed.tallies()
        forms = [self._of_form(place, form, tallies.get(place) or Tally()) for place, form in self._counted.items()]
        forms.sort(key=lambda form: (form.page_id, form.form_id))
        return Report(run=self._run, forms=tuple(forms), troubles=tuple(self._troubles))

    def _of_form(self, place: Place, form: CountedForm | None, tally: Tally) -> FormReport:
        whole = place not in self._unread
        return FormReport(
            page_id=place.page_id,
            form_id=place.form_id,
            standings=tally.standings,
            sent=tally.sent,
            recovered=tally.recovered,
            counters=form if self._asked.all and whole else None,
            whole=whole,
        )
