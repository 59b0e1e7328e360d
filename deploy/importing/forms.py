"""The forms that rows were given on: as `meta.leadgen.forms` has them, and as Meta tells them where it may be asked."""

from ingest.bulk import PageLost
from ingest.meta.graph import JsonObject, Snapshot
from ingest.meta.pages import Pages
from processors.form_history import FormHistory, Given
from processors.forms import Forms


class KnownForms:
    """What the topic tells; nobody is asked."""

    def __init__(self, history: FormHistory) -> None:
        self._history = history

    def page_of(self, form_id: str) -> str | None:
        known = self._history.current(form_id)
        return known.page_id if known else None

    async def read(self, form_id: str, page_id: str, lead: JsonObject) -> Snapshot | None:  # noqa: ARG002  the page is for who asks
        found = self._history.version_at(form_id, Given.read(lead, None))
        return found.snapshot if found else None


class AskedForms(KnownForms):
    """And Meta, once an hour for each form of a page that we hold a token of; what it tells goes to the topic."""

    def __init__(self, history: FormHistory, forms: Forms, pages: Pages) -> None:
        super().__init__(history)
        self._forms = forms
        self._pages = pages

    async def read(self, form_id: str, page_id: str, lead: JsonObject) -> Snapshot | None:
        page = self._pages.get(page_id)
        if page is not None:
            try:
                return await self._forms.get(form_id, page, Given.read(lead, None))
            except PageLost:  # its rows go on with what is known
                pass
        return await super().read(form_id, page_id, lead)
