"""The world as it is now: the seed's, changed by the journal's facts. The only place where facts are applied."""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from deploy.sandbox.graph import facts
from deploy.sandbox.graph.facts import Fact
from deploy.sandbox.graph.fields import NOTHING_HIDDEN, Hidden
from deploy.sandbox.graph.forms import Form, build_form
from deploy.sandbox.graph.ids import FORM_IDS, FORMS, LEADS_PER_FORM, PAGES, lead_id, lead_number
from deploy.sandbox.graph.journal import Journal
from deploy.sandbox.graph.leads import RETENTION, FormLeads, Lead, graph_time
from deploy.sandbox.graph.world import Page, World

ADDED_FORMS = FORMS // 2
"""Forms added by hand are numbered from here, so that adding pages later does not renumber them."""
HISTORY_DAYS = 110
"""How far back the leads of a new world reach; some are past Meta's 90 days."""

FORMS_KEPT = 4096
"""Forms nobody changed are made anew when they are needed; this many are kept."""
MOST_HIDDEN = 100_000


class OtherWorldError(Exception):
    """The state directory belongs to another seed, or to another version of the double."""


@dataclass(slots=True)
class Access:
    """What the page's token and the Leads Access Manager allow."""

    token_generation: int = 0
    token_subcode: int | None = None
    expires_at: int = 0
    data_access_expires_at: int = 0
    missing_scopes: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    issued_at: int = 0
    refused_as: str | None = None
    hidden: Hidden = NOTHING_HIDDEN
    subscribed_fields: tuple[str, ...] = ("leadgen",)


@dataclass(slots=True)
class _Forms:
    """The versions of one form: version k serves the leads from `first[k]` on."""

    first: list[int] = field(default_factory=list)
    versions: list[Form] = field(default_factory=list)


class State:
    """All that can change, rebuilt from `directory` at the start. `clock` gives unix seconds."""

    def __init__(
        self,
        directory: Path,
        *,
        seed: int,
        pages: int,
        history: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.world = World(seed)
        self._clock = clock
        self._journal = Journal(directory / "journal.jsonl")
        self._forget()
        try:
            for line in self._journal.lines():
                self._apply(facts.decode(line))
        except OtherWorldError:
            self._journal.close()
            raise
        except (KeyError, TypeError, ValueError):
            self._journal.close()
            raise OtherWorldError(
                f"{self._journal.path} cannot be read by this version: remove it, or start with another --state"
            ) from None
        if self.began_at == 0:
            self.begin(pages=pages, history=history)

    def now(self) -> float:
        """The double's time in unix seconds."""
        return self._clock() + self.clock_ahead

    def begin(self, *, pages: int, history: int) -> None:
        """Empty the world and start it again; every form has `history` leads, submitted over the last 110 days."""
        self._journal.empty()
        self._forget()
        now = int(self.now())
        self.record(facts.Began(seed=self.world.seed, pages=pages, at=now))
        if history:
            for page in self.pages():
                for form in self.form_numbers(page.number):
                    start = now - HISTORY_DAYS * 24 * 3600
                    self.record(facts.LeadsMade(form=form, count=history, start=start, end=now - 60))

    def record(self, fact: Fact) -> None:
        """Write a fact down, then make it true."""
        self._journal.append(facts.encode(fact))
        self._apply(fact)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def pages(self) -> Iterator[Page]:
        """Every page."""
        return (self.world.page(number) for number in range(self.page_count))

    def page_number(self, page_id: str) -> int | None:
        """The number of a page that exists."""
        number = PAGES.number_of(page_id)
        return number if number is not None and number < self.page_count else None

    def access(self, page: int) -> Access:
        """What may be read of a page."""
        return self._access.setdefault(page, Access())

    def page_token(self, page: int) -> str:
        """The page's current token."""
        return self.world.page_token(page, self.access(page).token_generation)

    def replaced_tokens(self) -> list[tuple[int, int]]:
        """`(page, generation)` of every page whose token was replaced."""
        return [(page, a.token_generation) for page, a in self._access.items() if a.token_generation]

    def form_numbers(self, page: int) -> list[int]:
        """The forms of a page."""
        return [number for number, _ in self.world.page(page).forms] + self._added_to.get(page, [])

    def form_number(self, form_id: str) -> int | None:
        """The number of a form that exists."""
        number = FORM_IDS.number_of(form_id)
        return number if number is not None and self.form_exists(number) else None

    def form(self, number: int) -> Form:
        """A form as it is now."""
        return self._versions(number).versions[-1]

    def leads_of(self, form: int) -> FormLeads:
        """The leads of a form."""
        leads = self._leads.get(form)
        if leads is None:
            leads = self._leads[form] = FormLeads()
        return leads

    def next_form_number(self) -> int:
        """The number the next added form gets."""
        return ADDED_FORMS + sum(map(len, self._added_to.values()))

    def lead(self, form: int, n: int) -> Lead:
        """The n-th lead of a form, which must have been made."""
        versions, leads = self._versions(form), self.leads_of(form)
        version = versions.versions[bisect_right(versions.first, n) - 1]
        return Lead(form=version, n=n, lead_id=lead_id(form, n), created=leads.created(n), crafted=leads.crafted.get(n))

    def readable_lead(self, object_id: str) -> Lead | None:
        """The lead with this id, unless it never was, was deleted, or is past its 90 days."""
        numbers = lead_number(object_id)
        if numbers is None or numbers[0] not in self._leads:
            return None
        form, n = numbers
        if self._hidden_until and self._is_hidden(int(object_id)):
            return None
        return self.lead(form, n) if self._leads[form].is_readable(n, self.now()) else None

    def make_leads(self, form: int, count: int, *, start: int, end: int) -> range:
        """Make leads and return their numbers."""
        first = self.leads_of(form).count
        if first + count > LEADS_PER_FORM:
            raise ValueError(f"a form holds {LEADS_PER_FORM} leads: add a form with add_form")
        self.record(facts.LeadsMade(form=form, count=count, start=start, end=end))
        return range(first, first + count)

    def recent_leads(self, page: int) -> int:
        """How many leads a page got in the last 90 days: what its call budget is made of."""
        since = self.now() - RETENTION
        return sum(
            leads.count - leads.first_position_from(int(since))
            for form in self.form_numbers(page)
            if (leads := self._leads.get(form)) is not None
        )

    def hide(self, leads: Iterable[int], until: float) -> None:
        """These leads cannot be read until then (machine time): announced sooner than Graph shows them."""
        if len(self._hidden_until) > MOST_HIDDEN:
            for over in [lead for lead, end in self._hidden_until.items() if end <= self._clock()]:
                del self._hidden_until[over]
        self._hidden_until.update(dict.fromkeys(leads, until))

    def _is_hidden(self, lead: int) -> bool:
        until = self._hidden_until.get(lead)
        if until is None:
            return False
        if until > self._clock():
            return True
        del self._hidden_until[lead]
        return False

    def form_exists(self, number: int) -> bool:
        """True for every form of a page that exists."""
        if number >= ADDED_FORMS:
            return number in self._added_pages
        return self.world.form_origin(number)[0] < self.page_count

    def page_of(self, form: int) -> int:
        """The number of the page a form belongs to."""
        return self._added_pages[form] if form >= ADDED_FORMS else self.world.form_origin(form)[0]

    def _versions(self, number: int) -> _Forms:
        return self._forms.get(number) or self._untouched(number)

    def _as_the_seed_made_it(self, number: int) -> _Forms:
        page, template = self.world.form_origin(number)
        created = self.began_at - (HISTORY_DAYS + 10 + number % 30) * 24 * 3600
        return _Forms(first=[0], versions=[self._build(number, page, template, created, {})])

    def _build(self, number: int, page: int, template: str, created: float, changes: Mapping[str, object]) -> Form:
        return build_form(
            number,
            page=page,
            page_id=PAGES.id_of(page),
            template=template,
            created_time=graph_time(created),
            changes=changes,
        )

    def _forget(self) -> None:
        self.began_at = 0
        self.page_count = 0
        self._hidden_until: dict[int, float] = {}
        self.clock_ahead = 0.0
        self.app_subscription = facts.AppSubscribed(callback_url=None)
        self._access: dict[int, Access] = {}
        self._forms: dict[int, _Forms] = {}
        self._untouched = lru_cache(maxsize=FORMS_KEPT)(self._as_the_seed_made_it)
        self._changes: dict[int, dict[str, object]] = {}
        self._added_to: dict[int, list[int]] = {}
        self._added_pages: dict[int, int] = {}
        self._leads: dict[int, FormLeads] = {}

    def _apply(self, fact: Fact) -> None:  # noqa: PLR0912 - one case for each fact, and no other place for them
        match fact:
            case facts.Began():
                if fact.seed != self.world.seed:
                    raise OtherWorldError(
                        f"{self._journal.path} is of --seed {fact.seed}: start with that seed, or with another --state"
                    )
                self.began_at, self.page_count = fact.at, fact.pages
            case facts.PagesAdded():
                self.page_count += fact.count
            case facts.FormAdded():
                self._added_to.setdefault(fact.page, []).append(fact.form)
                self._added_pages[fact.form] = fact.page
                self._changes[fact.form] = dict(fact.changes)
                built = self._build(fact.form, fact.page, fact.template, fact.at, fact.changes)
                self._forms[fact.form] = _Forms(first=[0], versions=[built])
            case facts.FormChanged():
                self._change_form(fact)
            case facts.LeadsMade():
                self.leads_of(fact.form).add(fact)
            case facts.LeadCrafted():
                self.leads_of(fact.form).crafted[fact.n] = fact
            case facts.LeadDeleted():
                self.leads_of(fact.form).deleted.add(fact.n)
            case facts.TokenReplaced():
                access = self.access(fact.page)
                access.token_generation, access.token_subcode = access.token_generation + 1, None
            case facts.TokenMarked():
                self.access(fact.page).token_subcode = fact.subcode
            case facts.TokenDescribed():
                access = self.access(fact.page)
                access.expires_at, access.data_access_expires_at = fact.expires_at, fact.data_access_expires_at
                access.missing_scopes, access.elsewhere = tuple(fact.missing_scopes), tuple(fact.elsewhere)
                access.issued_at = fact.issued_at
            case facts.AccessChanged():
                self.access(fact.page).refused_as = fact.how
            case facts.FieldsRestricted():
                hidden = Hidden(fields=frozenset(fact.fields), code=fact.code, omit=fact.omit)
                self.access(fact.page).hidden = hidden
            case facts.PageSubscribed():
                self.access(fact.page).subscribed_fields = tuple(fact.fields)
            case facts.AppSubscribed():
                self.app_subscription = fact
            case facts.ClockSet():
                self.clock_ahead = fact.ahead

    def _change_form(self, fact: facts.FormChanged) -> None:
        forms = self._forms[fact.form] = self._versions(fact.form)
        old = forms.versions[-1]
        changes = self._changes.setdefault(fact.form, {})
        changes.update(fact.changes)
        created = str(old.node["created_time"])
        new = build_form(
            fact.form,
            page=old.page,
            page_id=PAGES.id_of(old.page),
            template=old.template,
            created_time=created,
            changes=changes,
        )
        forms.first.append(self.leads_of(fact.form).count)
        forms.versions.append(new)
