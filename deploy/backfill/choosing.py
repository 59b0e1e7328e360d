"""What is to be read at Meta: the forms and ads that are named, or all forms of pages, and whose token opens each."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import typer

from ingest.bulk import Unreadable
from ingest.meta.client import AskName
from ingest.meta.errors import BadAsk, GraphError
from ingest.meta.graph import Answer, Ask, read_page
from ingest.meta.graph.bulk import (
    CountedForm,
    ask_counted_form,
    ask_counted_forms,
    ask_leads,
    read_counted_form,
)
from ingest.meta.pages import PageAccess

Forms = Annotated[list[str] | None, typer.Option("--form", metavar="ID", help="A form's id; may be given again.")]
Ads = Annotated[
    list[str] | None,
    typer.Option(
        "--ad", metavar="ID", help="An ad's id; may be given again. It has no organic leads, the form has all."
    ),
]
OfPages = Annotated[
    list[str] | None,
    typer.Option(
        "--page",
        metavar="ID",
        help="A page's id: all its forms, or the page of the --form or --ad. May be given again.",
    ),
]
AllPages = Annotated[bool, typer.Option("--all-pages", help="All forms of every page in META_PAGES_FILE.")]

_MOST_CALLS = 1000  # for the list of one page; one that goes on behind them has no end


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """As it was said on the command line."""

    forms: tuple[str, ...] = ()
    ads: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    all_pages: bool = False

    @classmethod
    def read(
        cls, forms: list[str] | None, ads: list[str] | None, pages: list[str] | None, *, all_pages: bool
    ) -> "Choice":
        """BadParameter where it names nothing, or what is no id."""
        choice = cls(
            forms=tuple(dict.fromkeys(forms or ())),
            ads=tuple(dict.fromkeys(ads or ())),
            pages=tuple(dict.fromkeys(pages or ())),
            all_pages=all_pages,
        )
        named = (*choice.forms, *choice.ads, *choice.pages)
        if not named and not all_pages:
            raise typer.BadParameter("say which: --form ID, --ad ID, --page ID or --all-pages")
        if all_pages and named:
            raise typer.BadParameter("--all-pages is every form of every page: name no other")
        if wrong := [name for name in named if not (name.isascii() and name.isdecimal())]:
            raise typer.BadParameter(f"{wrong[0]} is no id: an id has digits only")
        return choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A form or an ad whose leads are to be read with the token of a page; `counted` is what the form says of them."""

    kind: Literal["form", "ad"]
    edge_id: str
    page_id: str
    counted: CountedForm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfound:
    """A form, an ad or a page that cannot be read at all, and why, in a word of `ingest.meta.errors` or ours."""

    kind: Literal["form", "ad", "page"]
    of: str
    reason: str


class AsksInTurn(Protocol):
    """`Background`."""

    async def ask(self, name: AskName, ask: Ask, page: PageAccess) -> Answer: ...


class HoldsPages(Protocol):
    def get(self, page_id: str) -> PageAccess | None: ...

    def all(self) -> Collection[PageAccess]: ...


class Chooser:
    """`page_of` tells a form's page where it is known without asking."""

    def __init__(self, graph: AsksInTurn, pages: HoldsPages, *, page_of: Callable[[str], str | None]) -> None:
        self._graph = graph
        self._pages = pages
        self._page_of = page_of

    async def choose(self, choice: Choice) -> tuple[list[Edge], list[Unfound]]:
        """Each form and ad once, and what cannot be had of the choice."""
        edges: dict[tuple[str, str], Edge] = {}
        unfound: list[Unfound] = []
        whose = choice.pages if choice.forms or choice.ads else ()
        async for found in self._found(choice, whose):
            if isinstance(found, Edge):
                edges.setdefault((found.kind, found.edge_id), found)
            else:
                unfound.append(found)
        return list(edges.values()), unfound

    async def _found(self, choice: Choice, whose: Sequence[str]) -> AsyncIterator[Edge | Unfound]:
        for form_id in choice.forms:
            yield await self._form(form_id, whose)
        for ad_id in choice.ads:
            yield await self._ad(ad_id, whose)
        if whose:
            return
        for page_id in [page.page_id for page in self._pages.all()] if choice.all_pages else choice.pages:
            async for found in self.forms_of(page_id):
                yield found

    async def forms_of(self, page_id: str) -> AsyncIterator[Edge | Unfound]:
        """Every form of a page, archived ones too: their leads can still be read."""
        page, after = self._pages.get(page_id), None
        if page is None:
            yield Unfound(kind="page", of=page_id, reason="no-token")
            return
        try:
            for _ in range(_MOST_CALLS):
                listed = read_page(await self._graph.ask("forms", ask_counted_forms(page_id, after), page))
                for node in listed.items:
                    if (counted := read_counted_form(node)) is not None:
                        yield Edge(kind="form", edge_id=counted.form_id, page_id=page_id, counted=counted)
                if listed.after in (None, after):
                    return
                after = listed.after
        except (GraphError, Unreadable) as error:
            yield Unfound(kind="page", of=page_id, reason=error.reason)

    async def _form(self, form_id: str, whose: Sequence[str]) -> Edge | Unfound:
        reason = "no-token"
        for page in self._to_try(whose, self._page_of(form_id)):
            try:
                answer = await self._graph.ask("form", ask_counted_form(form_id), page)
            except (GraphError, Unreadable) as error:
                reason = _worse(reason, error.reason)
                if isinstance(error, BadAsk):
                    break
                continue
            counted = read_counted_form(answer.parsed)
            # Its own page's token where we have it; a token of another one that could read it is as good.
            own = counted.page_id if counted and counted.page_id and self._pages.get(counted.page_id) else page.page_id
            return Edge(kind="form", edge_id=form_id, page_id=own, counted=counted)
        return Unfound(kind="form", of=form_id, reason=reason)

    async def _ad(self, ad_id: str, whose: Sequence[str]) -> Edge | Unfound:
        """Nothing tells an ad's page, so each token is asked whether it opens the ad, unless the page is named."""
        reason = "no-token"
        ask = ask_leads(ad_id, fields=("id",), since=None, until=None, limit=1, after=None)
        for page in self._to_try(whose):
            try:
                await self._graph.ask("leads", ask, page)
            except (GraphError, Unreadable) as error:
                reason = _worse(reason, error.reason)
                continue
            return Edge(kind="ad", edge_id=ad_id, page_id=page.page_id)
        return Unfound(kind="ad", of=ad_id, reason=reason)

    def _to_try(self, named: Sequence[str], known: str | None = None) -> list[PageAccess]:
        """The pages that were named; else the one that is known, if we hold its token; else all of them."""
        if named:
            return [page for page_id in named if (page := self._pages.get(page_id)) is not None]
        page = None if known is None else self._pages.get(known)
        return list(self._pages.all()) if page is None else [page]


def _worse(before: str, now: str) -> str:
    """What says most: a token that may not be used, before one that does not see the form."""
    return now if before in ("no-token", "not-found") else before
