"""`leadstream import` as it is typed and as it answers: what cannot be meant is a sentence, what was found is told."""

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from deploy.cli import app
from deploy.importing.forms import AskedForms, KnownForms
from deploy.importing.report import Refusals, in_json, opened, show, what_now
from deploy.importing.running import Order, Report
from deploy.importing.sources import Unread, batches, file_pieces
from ingest.bulk import PageLost
from ingest.importing import Refusal, Tally
from ingest.mending import Mended
from ingest.meta.graph import Answer, JsonObject, Usage, snapshot
from ingest.meta.pages import PageAccess, Pages
from processors.form_history import FormHistory
from processors.forms import Forms
from tests.doubles import Broker

TOKEN = "EAAGplantedtoken"
FORM, PAGE = "2381764112176533", "106777055130587"
ADDRESS = "https://www.facebook.com/ads/lead_gen/export_csv/"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say a FILE"),
        (["a.csv", "a.csv"], "named twice"),
        (["a.csv", "--since", "2026-11-01"], "a file is taken whole"),
        ([f"{ADDRESS}?id=1", "--until", "2026-11-01"], "a file is taken whole"),
        (["a.csv", "--page", "Harbor"], "--page takes an id"),
        (["--form", "f:12"], "--form takes an id"),
        ([f"{ADDRESS}?id=12&access_token={TOKEN}"], "holds a token"),
        ([f"HTTPS://example.org/{TOKEN}"], "no address of a form's leads"),
        (["a.csv", "--refused", "/nowhere/refused.csv"], "cannot be written"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_and_exit_2(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where no .env is
    for name in ("META_APP_SECRETS", "KAFKA_BOOTSTRAP_SERVERS", "REGISTRY_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    done = CliRunner().invoke(app, ["import", *arguments], env={"COLUMNS": "400"})
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert TOKEN not in done.output


def order(*, writes: bool = True) -> Order:
    return Order(sources=["leads.csv"], form=None, page=None, since=None, until=None, writes=writes)


def refusals(lines: Sequence[int], *, every: bool = False, file: io.StringIO | None = None) -> Refusals:
    found = Refusals(every=every, file=file)
    for line in lines:
        found.add(Refusal(file="leads.csv", line=line, last_line=line, reason="no-id"))
    return found


REPORT = Report(
    rows={"leads.csv": 440, "gone.csv": 0},
    unread={"gone.csv": "it cannot be read: No such file or directory"},
    tallies={FORM: Tally(taken=388, known=22, erased=1, repeated=5), None: Tally(refused=25)},
    pages={FORM: PAGE},
    mended=Mended(leads=3, gone=("1", "2", "3", "4"), left=()),
)


def test_a_person_reads_each_form_and_the_first_twenty_that_were_refused(capsys: pytest.CaptureFixture[str]) -> None:
    show(order(), REPORT, refusals(range(2, 27)))
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines()]
    assert [FORM, PAGE, "415", "388", "22", "1", "5", "0"] in rows
    assert ["(not", "told)", "-", "25", "0", "0", "0", "0", "25"] in rows
    assert ["all", "440", "388", "22", "1", "5", "25"] in rows
    assert "gone.csv: it cannot be read: No such file or directory." in said
    assert "leads.csv, lines 2, 3, 4" in said
    assert ", 21: the lead has no id" in said
    assert "and 5 more: --refused FILE.csv" in said
    assert "3 leads had poorer records" in said
    assert "4 leads have a poorer record" in said
    assert "1, 2, 3 ..." in said


def test_one_row_is_told_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    show(order(), Report(), refusals([7]))
    assert "1 row was refused:\n  leads.csv, line 7: " in capsys.readouterr().out


def test_yes_is_offered_only_where_it_would_take_something() -> None:
    assert what_now(REPORT).endswith("The same with --yes does it.")
    assert "--yes" not in what_now(Report(tallies={FORM: Tally(known=22)}))
    assert "--yes" not in what_now(Report(unread={"leads.csv": "it cannot be read"}))


def test_a_program_reads_all_of_it() -> None:
    told = json.loads(json.dumps(in_json(order(), REPORT, refusals(range(2, 27), every=True), None)))
    assert (told["done"], told["taken"], told["known"], told["refused"]) == (True, 388, 22, 25)
    assert told["forms"][0] == {
        "form": FORM,
        "page": PAGE,
        "taken": 388,
        "known": 22,
        "erased": 1,
        "repeated": 5,
        "refused": 0,
    }
    assert told["reasons"] == {"no-id": 25}
    assert [each["line"] for each in told["refusals"]] == [*range(2, 27)]
    assert told["mended"]["leads"] == 3
    assert in_json(order(writes=False), REPORT, refusals([]), None)["done"] is False
    assert in_json(order(), REPORT, refusals([]), "the broker is away")["done"] is False


def test_every_refusal_goes_to_the_file_that_is_named(tmp_path: Path) -> None:
    file = io.StringIO()
    refusals(range(2, 52), file=file)
    header, *rows = file.getvalue().splitlines()
    assert header == "file,line,last_line,reason,what_to_do"
    assert len(rows) == 50
    assert rows[0].startswith("leads.csv,2,2,no-id,")
    with opened(None) as nothing:
        assert nothing is None
    with pytest.raises(typer.BadParameter), opened(tmp_path):
        raise AssertionError("a folder is no file")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.csv"):
        with pytest.raises(Unread, match="cannot be read"):
            next(file_pieces(str(path)))


def test_only_rows_of_the_asked_time_are_taken() -> None:
    rows = [f"l:{1000 + hour},2026-11-20T{hour:02}:00:00+0000,f:12" for hour in range(10)]
    file = "\n".join(["id,created_time,form_id", *rows, "broken"]).encode()
    noon = 1_795_132_800  # 2026-11-20T00:00:00Z

    async def taken() -> list[int]:
        return [
            each.line
            async for batch in batches(iter([file]), since=noon + 2 * 3600, until=noon + 5 * 3600)
            for each in batch.rows
        ]

    assert asyncio.run(taken()) == [4, 5, 6, 12]


class Meta:
    """Gives the form, unless the page is lost."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lost = False

    async def form(self, form_id: str, page: PageAccess) -> Answer:
        self.asked.append(page.page_id)
        if self.lost:
            raise PageLost("token-expired")
        body = json.dumps({"id": form_id, "name": "Roofs", "status": "ACTIVE", "questions": [{"key": "roof"}]})
        return Answer(body=body, parsed=json.loads(body), version="v25.0", usage=Usage())


def asked(folder: Path, meta: Meta, history: FormHistory) -> AskedForms:
    file = folder / "pages.yaml"
    file.write_text(f'pages: {{"{PAGE}": {{token: {TOKEN}}}}}')
    forms = Forms(meta, history, Broker(), clock=lambda: 0.0, now=lambda: 1_795_000_000_000)
    return AskedForms(history, forms, Pages(file))


LEAD: JsonObject = {"created_time": "2026-11-20T10:00:00+0000", "field_data": [{"name": "roof", "values": ["big"]}]}


def test_a_form_is_asked_of_meta_once_and_then_everybody_knows_its_page(tmp_path: Path) -> None:
    history, meta = FormHistory(), Meta()
    forms = asked(tmp_path, meta, history)

    async def scenario() -> None:
        assert forms.page_of(FORM) is None
        first, second = await forms.read(FORM, PAGE, LEAD), await forms.read(FORM, PAGE, LEAD)
        node: JsonObject = {"id": FORM, "name": "Roofs", "status": "ACTIVE", "questions": [{"key": "roof"}]}
        assert first == second == snapshot(node)

    asyncio.run(scenario())
    assert meta.asked == [PAGE]
    assert forms.page_of(FORM) == KnownForms(history).page_of(FORM) == PAGE
    assert asyncio.run(KnownForms(history).read(FORM, PAGE, LEAD)) is not None


def test_a_page_that_may_not_be_asked_costs_no_row(tmp_path: Path) -> None:
    history, meta = FormHistory(), Meta()
    meta.lost = True
    forms = asked(tmp_path, meta, history)
    assert asyncio.run(forms.read(FORM, PAGE, LEAD)) is None
    assert asyncio.run(forms.read(FORM, "1", LEAD)) is None  # no token for that one
    assert meta.asked == [PAGE]
