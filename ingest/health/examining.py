"""Asks Meta how pages and their apps stand, with as few calls as that takes, and never asks with a token that is dead.

Of each app first its subscription and, with the app's own token, what each page's token is; all in batches. Only then,
of the pages whose token lives, what these tokens see. Where an app or its secret is not known, a page is asked by
itself and nothing more of it once it has refused: a batch that a dead token opens is refused as a whole.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Literal, Protocol, TypeVar

from ingest.health.seen import AppSeen, PageSeen, Seen, is_no_answer
from ingest.meta import graph
from ingest.meta.errors import AccessLost, GraphError, Unavailable
from ingest.meta.graph import BATCH_SIZE, Answer, Ask, Key, Sample, TokenFacts
from ingest.meta.pages import PageAccess

_CALLS = 3  # of a page with its own token, where leads are tried; and one more for the leads

Read = TypeVar("Read")


class AsksMeta(Protocol):
    """GraphError where there is no answer."""

    async def ask(self, name: Literal["health"], ask: Ask, key: Key) -> Answer: ...

    async def ask_many(
        self, name: Literal["health"], asks: Sequence[tuple[Ask, Key]], *, opened_by: Key | None = None
    ) -> tuple[Answer | GraphError, ...]: ...

    def key(self, page: PageAccess) -> Key: ...

    def key_of_app(self, app_id: str | None) -> Key | None: ...


class Examination:
    """`clock` gives unix milliseconds. `may_ask` says whether a page may be asked with its own token now.

    `try_leads` also reads a few leads of each page, without their answers: up to two calls more.
    """

    def __init__(
        self,
        graph: AsksMeta,
        *,
        clock: Callable[[], int],
        may_ask: Callable[[PageAccess], bool] = lambda _: True,
        try_leads: bool = False,
    ) -> None:
        self._graph = graph
        self._clock = clock
        self._may_ask = may_ask
        self._try_leads = try_leads
        self._versions: set[str] = set()
        self._skews: list[float] = []

    async def examine(self, pages: Iterable[PageAccess]) -> Seen:
        """All of the pages, by app. A page or an app that fails keeps no other from being looked at."""
        of_app: dict[str | None, list[PageAccess]] = defaultdict(list)
        for page in pages:
            of_app[page.app_id].append(page)
        apps = [await self._app(app_id, of_app[app_id]) for app_id in of_app]
        return Seen(
            apps=tuple(apps),
            versions=frozenset(self._versions),
            # Of many the least: what is more is the time an answer was under way.
            skew=min(self._skews, key=abs, default=None),
        )

    async def _app(self, app_id: str | None, pages: Sequence[PageAccess]) -> AppSeen:
        key = self._graph.key_of_app(app_id)
        if key is None or app_id is None:
            has_secret = self._graph.key(pages[0]).secret is not None
            return AppSeen(app_id=app_id, has_secret=has_secret, pages=await self._pages(dict.fromkeys(pages), None))
        asks = [(graph.ask_subscriptions(app_id), key), *((graph.ask_token(page.token), key) for page in pages)]
        first, *said = await self._many(asks, key)
        if refused := _refusal_of_all([first, *said]):
            # Whether the app's id or its secret is to blame, any page whose token lives can tell.
            seen = () if is_no_answer(refused) else await self._pages(dict.fromkeys(pages), None)
            return AppSeen(app_id=app_id, has_secret=True, refused=refused, pages=seen)
        tokens = {page: _read(each, graph.read_token_facts) for page, each in zip(pages, said, strict=True)}
        return AppSeen(
            app_id=app_id,
            has_secret=True,
            subscription=_read(first, lambda answer: graph.read_subscriptions(answer) or ()),
            pages=await self._pages(tokens, key),
        )

    async def _pages(
        self, tokens: Mapping[PageAccess, TokenFacts | GraphError | None], key: Key | None
    ) -> tuple[PageSeen, ...]:
        """What each token sees. With an app's key in batches, and of those that live; else page by page."""
        to_ask = {page: self._asks(page, said) for page, said in tokens.items() if self._is_asked(page, said, key)}
        answers = await self._of_each(to_ask, key)
        leads: dict[PageAccess, Sample | GraphError | None] = {}
        to_try: dict[PageAccess, list[Ask]] = {}
        for page, said in answers.items():
            if len(said) < _CALLS:
                continue
            match _read(said[_CALLS - 1], graph.read_form_with_leads):
                case str(form_id):
                    to_try[page] = [graph.ask_sample(form_id)]
                case None:
                    leads[page] = Sample(leads=0)
                case error:
                    leads[page] = error
        for page, said in (await self._of_each(to_try, key)).items():
            leads[page] = _read(said[0], graph.read_sample)
            answers[page] += said
        return tuple(
            PageSeen(
                page=page,
                token=token,
                node=_read(answers[page][0], graph.read_page_node) if page in answers else None,
                apps=_read(answers[page][1], graph.read_subscribed_apps) if page in answers else None,
                leads=leads.get(page),
                usages=tuple(each.usage for each in answers.get(page, ()) if isinstance(each, Answer)),
            )
            for page, token in tokens.items()
        )

    def _is_asked(self, page: PageAccess, token: TokenFacts | GraphError | None, key: Key | None) -> bool:
        if not self._may_ask(page):
            return False
        if isinstance(token, TokenFacts):
            is_its_own = token.profile_id in (None, page.page_id) and token.app_id in (None, page.app_id)
            return token.is_valid and is_its_own
        return key is None

    def _asks(self, page: PageAccess, token: TokenFacts | GraphError | None) -> list[Ask]:
        asks = [graph.ask_page_node(page.page_id), graph.ask_subscribed_apps(page.page_id)]
        # Without the permission it is known what would come of it.
        is_known = isinstance(token, TokenFacts) and not token.grants("leads_retrieval", page.page_id)
        if self._try_leads and not is_known:
            asks.append(graph.ask_form_with_leads(page.page_id))
        return asks

    async def _of_each(
        self, wanted: Mapping[PageAccess, Sequence[Ask]], key: Key | None
    ) -> dict[PageAccess, list[Answer | GraphError]]:
        """The answers to each page's asks, in their order."""
        if key is None:
            return await self._alone(wanted)
        asks = [(ask, self._graph.key(page)) for page, each in wanted.items() for ask in each]
        answers = iter(await self._many(asks, key))
        return {page: list(islice(answers, len(each))) for page, each in wanted.items()}

    async def _alone(self, wanted: Mapping[PageAccess, Sequence[Ask]]) -> dict[PageAccess, list[Answer | GraphError]]:
        """One call after another; what refuses one of a page's refuses the others of it, and a wrong proof all."""
        answers: dict[PageAccess, list[Answer | GraphError]] = {}
        last: GraphError | None = None
        for page, asks in wanted.items():
            if not (isinstance(last, AccessLost) and last.reason == "app-secret"):
                last = None
            answers[page] = []
            for ask in asks:
                outcome = last or await self._one(ask, page)
                answers[page].append(outcome)
                last = outcome if isinstance(outcome, GraphError) else None
        return answers

    async def _one(self, ask: Ask, page: PageAccess) -> Answer | GraphError:
        try:
            answer = await self._graph.ask("health", ask, self._graph.key(page))
        except GraphError as error:
            return error
        self._note(answer)
        return answer

    async def _many(self, asks: Sequence[tuple[Ask, Key]], key: Key) -> list[Answer | GraphError]:
        """In batches, and once more what was left out; a batch that fails as a whole fails each of its asks."""
        answers: list[Answer | GraphError] = []
        for first in range(0, len(asks), BATCH_SIZE):
            answers += await self._batch(asks[first : first + BATCH_SIZE], key)
        again = [number for number, each in enumerate(answers) if isinstance(each, GraphError) and _was_left_out(each)]
        if again and len(again) <= BATCH_SIZE:
            second = await self._batch([asks[number] for number in again], key)
            for number, answer in zip(again, second, strict=True):
                answers[number] = answer
        return answers

    async def _batch(self, asks: Sequence[tuple[Ask, Key]], key: Key) -> Sequence[Answer | GraphError]:
        try:
            answers = await self._graph.ask_many("health", asks, opened_by=key)
        except GraphError as error:
            return [error] * len(asks)
        for answer in answers:
            if isinstance(answer, Answer):
                self._note(answer)
        return answers

    def _note(self, answer: Answer) -> None:
        if answer.version is not None:
            self._versions.add(answer.version)
        if answer.date is not None:
            self._skews.append(answer.date - self._clock() / 1000)


def _read(outcome: Answer | GraphError, read: Callable[[Answer], Read]) -> Read | GraphError:
    if isinstance(outcome, GraphError):
        return outcome
    try:
        return read(outcome)
    except GraphError as error:
        return error


def _refusal_of_all(outcomes: Sequence[Answer | GraphError]) -> GraphError | None:
    """The error, where nothing was answered and all for the same reason: it is the app's then, and no page's."""
    errors = [each for each in outcomes if isinstance(each, GraphError)]
    reasons = {(each.reason, each.code, each.subcode) for each in errors}
    return errors[0] if len(errors) == len(outcomes) and len(reasons) == 1 else None


def _was_left_out(error: GraphError) -> bool:
    return isinstance(error, Unavailable) and error.reason == "not-answered"
