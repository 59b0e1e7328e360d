"""What a backfill is to read, whose token opens it, and where an earlier run of the same plan has left it."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr

from deploy.backfill import checkpoint as checkpoints
from deploy.backfill.assembly import Order, plan_of
from deploy.backfill.checkpoint import AlreadyRuns, Checkpoint
from deploy.backfill.choosing import Choice, Chooser, Edge, Unfound
from deploy.backfill.running import fill_all
from ingest.backfill import Stand
from ingest.bulk import PageLost, Slice, Unreadable
from ingest.meta.client import AskName
from ingest.meta.errors import AccessLost, GraphError, Missing
from ingest.meta.graph import Answer, Ask, JsonObject, Usage
from ingest.meta.graph.bulk import CountedForm
from ingest.meta.pages import PageAccess


def page(page_id: str) -> PageAccess:
    return PageAccess(page_id=page_id, token=SecretStr(f"token of {page_id}"))


class Tokens:
    def __init__(self, *page_ids: str) -> None:
        self._pages = {page_id: page(page_id) for page_id in page_ids}

    def get(self, page_id: str) -> PageAccess | None:
        return self._pages.get(page_id)

    def all(self) -> list[PageAccess]:
        return list(self._pages.values())


class Meta:
    """Pages with forms, and forms with ads, each opened by its page's token alone; two forms at a time."""

    def __init__(self, **of: dict[str, list[str]]) -> None:
        self._of = {name.removeprefix("page"): forms for name, forms in of.items()}
        self.refusals: dict[str, GraphError | Unreadable] = {}  # by page
        self.calls: list[tuple[str, str]] = []  # page and path

    async def ask(self, name: AskName, ask: Ask, page: PageAccess) -> Answer:
        self.calls.append((page.page_id, ask.path))
        if page.page_id in self.refusals:
            raise self.refusals[page.page_id]
        forms = self._of[page.page_id]
        object_id, _, edge = ask.path.partition("/")
        node: JsonObject
        if edge == "leadgen_forms" and object_id == page.page_id:
            first = int(dict(ask.params).get("after", 0))
            ids = list(forms)[first : first + 2]
            node = {"data": [self._form(form_id, page) for form_id in ids]}
            if first + 2 < len(forms):
                node["paging"] = {"cursors": {"after": str(first + 2)}, "next": "https://graph.example"}
        elif edge == "leads" and any(object_id in ads for ads in forms.values()):
            node = {"data": []}
        elif object_id in forms and not edge:
            node = self._form(object_id, page)
        else:
            raise Missing("not-found")
        return Answer(body=json.dumps(node), parsed=node, version=None, usage=Usage())

    def _form(self, form_id: str, page: PageAccess) -> JsonObject:
        return {"id": form_id, "page_id": page.page_id, "name": f"Form {form_id}", "leads_count": 5}


META = {"page1": {"11": ["111"], "12": [], "13": []}, "page2": {"21": ["211", "212"]}}


def choose(
    choice: Choice, meta: Meta, tokens: Tokens, page_of: Callable[[str], str | None] = lambda _: None
) -> tuple[list[tuple[str, str, str]], list[Unfound]]:
    edges, unfound = asyncio.run(Chooser(meta, tokens, page_of=page_of).choose(choice))
    return [(edge.kind, edge.edge_id, edge.page_id) for edge in edges], unfound


def test_all_forms_of_a_page_are_listed_however_many_there_are() -> None:
    meta = Meta(**META)
    assert choose(Choice(pages=("1",)), meta, Tokens("1", "2")) == (
        [("form", "11", "1"), ("form", "12", "1"), ("form", "13", "1")],
        [],
    )
    assert len(meta.calls) == 2


def test_all_pages_are_those_whose_tokens_we_hold() -> None:
    edges, unfound = choose(Choice(all_pages=True), Meta(**META), Tokens("1", "2"))
    assert ([edge_id for _, edge_id, _ in edges], unfound) == (["11", "12", "13", "21"], [])


def test_a_page_that_may_not_be_read_costs_no_other_and_is_told() -> None:
    for refusal in (AccessLost("token-expired", scope="token"), PageLost("token-expired")):
        meta = Meta(**META)
        meta.refusals["1"] = refusal
        edges, unfound = choose(Choice(all_pages=True), meta, Tokens("1", "2"))
        assert edges == [("form", "21", "2")]
        assert unfound == [Unfound(kind="page", of="1", reason="token-expired")]


def test_a_page_without_a_token_is_not_asked() -> None:
    meta = Meta(**META)
    assert choose(Choice(pages=("3",)), meta, Tokens("1")) == ([], [Unfound(kind="page", of="3", reason="no-token")])
    assert meta.calls == []


def test_a_form_that_is_known_is_asked_for_with_the_token_of_its_page() -> None:
    meta = Meta(**META)
    edges, _ = choose(Choice(forms=("21",)), meta, Tokens("1", "2"), page_of={"21": "2"}.get)
    assert (edges, meta.calls) == ([("form", "21", "2")], [("2", "21")])


def test_a_form_or_an_ad_whose_page_nobody_knows_is_tried_with_each_token() -> None:
    meta = Meta(**META)
    edges, unfound = choose(Choice(forms=("21", "99"), ads=("212",)), meta, Tokens("1", "2"))
    assert edges == [("form", "21", "2"), ("ad", "212", "2")]
    assert unfound == [Unfound(kind="form", of="99", reason="not-found")]


def test_a_form_that_another_pages_token_opens_too_is_read_with_its_own() -> None:
    """As where one system user has a token for all pages: the budget is that of the form's page."""

    class Open(Meta):
        async def ask(self, name: AskName, ask: Ask, page: PageAccess) -> Answer:
            return await super().ask(name, ask, PageAccess(page_id="2", token=page.token))

    assert choose(Choice(forms=("21",)), Open(**META), Tokens("1", "2"))[0] == [("form", "21", "2")]
    assert choose(Choice(forms=("21",)), Open(**META), Tokens("1"))[0] == [("form", "21", "1")]


def test_a_named_page_says_whose_token_opens_a_form_or_an_ad_and_stands_for_none_of_its_forms() -> None:
    meta = Meta(**META)
    edges, unfound = choose(Choice(forms=("21",), ads=("211",), pages=("2",)), meta, Tokens("1", "2"))
    assert (edges, unfound) == ([("form", "21", "2"), ("ad", "211", "2")], [])
    assert {asked for asked, _ in meta.calls} == {"2"}


def test_why_a_form_is_not_found_is_what_the_token_that_may_see_it_was_told() -> None:
    meta = Meta(**META)
    meta.refusals["2"] = AccessLost("token-expired", scope="token")
    for tokens in (Tokens("1", "2"), Tokens("2", "1")):
        assert choose(Choice(forms=("21",)), meta, tokens)[1] == [Unfound(kind="form", of="21", reason="token-expired")]


@pytest.mark.parametrize(
    ("forms", "pages", "all_pages"),
    [([], [], False), (["1"], [], True), (["1", "x"], [], False), ([], ["../1"], False)],
)
def test_a_choice_that_names_nothing_or_no_ids_is_refused(forms: list[str], pages: list[str], all_pages: bool) -> None:
    with pytest.raises(typer.BadParameter):
        Choice.read(forms, None, pages, all_pages=all_pages)


# ── where it was left ──

ELEVEN = Edge(
    kind="form",
    edge_id="11",
    page_id="1",
    counted=CountedForm(form_id="11", page_id="1", name="F", status="ACTIVE", leads=5, organic=None, expired=1),
)
TWELVE = Edge(kind="form", edge_id="12", page_id="1")
AD = Edge(kind="ad", edge_id="111", page_id="1")
OTHER = Edge(kind="form", edge_id="21", page_id="2")


def begun(folder: Path, *edges: Edge) -> Checkpoint:
    return Checkpoint(file=folder / "plan.json", since=None, until=1_795_000_000, edges=list(edges))


def test_how_far_each_form_is_outlives_the_run(tmp_path: Path) -> None:
    checkpoint = begun(tmp_path, ELEVEN, AD)
    checkpoint.whole = False
    stand = Stand(
        after="c7", limit=250, read=500, written=499, refused=(("9", "does-not-fit"),), missing_fields=("vehicle",)
    )
    checkpoint.put(ELEVEN, stand)
    assert checkpoints.read(checkpoint.file) == Checkpoint(
        file=checkpoint.file,
        since=None,
        until=1_795_000_000,
        edges=[ELEVEN, AD],
        stands={("form", "11"): stand, ("ad", "111"): Stand()},
        whole=False,
    )


def test_what_could_not_be_read_is_gone_on_with_soon_and_later_begun_anew_with_what_came_since(tmp_path: Path) -> None:
    """A page that stays lost must not keep the others at the time of the first start."""
    checkpoint = begun(tmp_path, ELEVEN, TWELVE)
    checkpoint.ended = True
    checkpoint.put(ELEVEN, Stand(read=5, written=5, done=True))
    kept = checkpoints.read(checkpoint.file)
    assert kept is not None
    assert [kept.is_over(now=kept.until + seconds) for seconds in (0, 3600, 3601)] == [False, False, True]


def test_a_run_that_was_killed_is_gone_on_with_however_long_ago_that_was(tmp_path: Path) -> None:
    checkpoint = begun(tmp_path, ELEVEN)
    checkpoint.put(ELEVEN, Stand(after="c", read=5, written=5))
    kept = checkpoints.read(checkpoint.file)
    assert kept is not None
    assert not kept.is_over(now=kept.until + 90 * 86_400)


@pytest.mark.parametrize("until", [None, 1_795_000_000])
def test_a_plan_that_is_over_is_made_anew_where_no_end_is_asked_for(tmp_path: Path, until: int | None) -> None:
    left = begun(tmp_path, OTHER)
    left.ended = True
    left.put(OTHER, Stand(read=5, written=5, done=True))
    order = Order(choice=Choice(pages=("2",)), since=None, until=until, file=left.file)
    plan, _ = asyncio.run(plan_of(order, Chooser(Meta(**META), Tokens("2"), page_of=lambda _: None)))
    assert [plan.of(edge).done for edge in plan.edges] == [until is not None]
    assert not plan.ended, "a run that is killed now is gone on with"
    assert (plan.until == left.until) == (until is not None)


@pytest.mark.parametrize(
    "text", ["", "{", '{"format": 0}', '{"format":1,"since":null,"until":"x","edges":[],"whole":true}']
)
def test_a_file_that_cannot_be_used_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "plan.json"
    assert checkpoints.read(file) is None
    file.write_text(text)
    assert checkpoints.read(file) is None


def test_the_same_command_finds_its_own_plan_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    plans = [
        checkpoints.place("c", "", Choice(forms=("1", "2")), None, None),
        checkpoints.place("c", "", Choice(forms=("1",)), None, None),
        checkpoints.place("c", "", Choice(ads=("1",)), None, None),
        checkpoints.place("c", "", Choice(pages=("1",)), None, None),
        checkpoints.place("c", "", Choice(pages=("1",)), 5, None),
        checkpoints.place("c", "", Choice(pages=("1",)), None, 5),
        checkpoints.place("c", "p.", Choice(pages=("1",)), None, 5),
        checkpoints.place("d", "", Choice(pages=("1",)), None, 5),
    ]
    assert len(set(plans)) == len(plans)
    assert checkpoints.place("c", "", Choice(forms=("2", "1")), None, None) == plans[0]


def test_a_plan_is_run_by_one_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "deeper" / "plan.json"
    with checkpoints.alone(file), pytest.raises(AlreadyRuns), checkpoints.alone(file):
        pass
    with checkpoints.alone(file):
        pass


# ── the run ──


class Filling:
    """Two pages of one lead for each edge; `failing` raise after the first."""

    def __init__(self, **failing: Exception) -> None:
        self.failing = {name.removeprefix("edge"): error for name, error in failing.items()}
        self.asked: list[tuple[str, str | None]] = []

    async def fill(self, wanted: Slice, stand: Stand) -> AsyncGenerator[Stand, None]:
        self.asked.append((wanted.edge_id, stand.after))
        if stand.after is None:
            yield Stand(after="c", read=1, written=1)
        if wanted.edge_id in self.failing:
            raise self.failing[wanted.edge_id]
        yield Stand(read=2, written=2, done=True)


def fill(checkpoint: Checkpoint, filling: Filling, tokens: Tokens | None = None) -> tuple[dict[str, str], list[int]]:
    told: list[int] = []
    failed = asyncio.run(fill_all(checkpoint, filling, tokens or Tokens("1", "2"), told=told.append))
    return {edge.edge_id: reason for edge, reason in failed.items()}, told


def test_what_was_done_is_not_asked_for_again_and_the_rest_goes_on_from_its_cursor(tmp_path: Path) -> None:
    checkpoint = begun(tmp_path, ELEVEN, TWELVE, OTHER)
    checkpoint.put(ELEVEN, Stand(read=5, written=5, done=True))
    checkpoint.put(TWELVE, Stand(after="c", read=1, written=1))
    filling = Filling()
    assert fill(checkpoint, filling) == ({}, [7, 8, 9])
    assert sorted(filling.asked, key=str) == [("12", "c"), ("21", None)]
    assert checkpoints.read(checkpoint.file) == checkpoint


def test_a_page_that_is_lost_is_asked_for_no_other_form_and_costs_no_other_page(tmp_path: Path) -> None:
    filling = Filling(edge11=PageLost("token-expired"))
    checkpoint = begun(tmp_path, ELEVEN, TWELVE, AD, OTHER)
    failed, _ = fill(checkpoint, filling)
    assert failed == {"11": "token-expired", "12": "token-expired"}
    assert {edge_id for edge_id, _ in filling.asked} == {"11", "21", "111"}
    assert checkpoint.of(ELEVEN).after == "c", "and it can be gone on with"


def test_a_form_that_is_not_there_costs_no_other_of_its_page(tmp_path: Path) -> None:
    failed, _ = fill(begun(tmp_path, ELEVEN, TWELVE), Filling(edge11=Unreadable("not-found")))
    assert failed == {"11": "not-found"}


def test_an_ad_that_may_not_be_read_says_nothing_of_the_pages_forms(tmp_path: Path) -> None:
    failed, _ = fill(begun(tmp_path, AD, ELEVEN), Filling(edge111=PageLost("permission")))
    assert failed == {"111": "permission"}


def test_a_page_that_was_taken_out_of_the_file_meanwhile_is_told(tmp_path: Path) -> None:
    assert fill(begun(tmp_path, ELEVEN), Filling(), Tokens("2"))[0] == {"11": "no-token"}


def test_a_fault_of_our_own_ends_the_run_under_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk"):
        fill(begun(tmp_path, ELEVEN, OTHER), Filling(edge11=OSError("no space on the disk")))
