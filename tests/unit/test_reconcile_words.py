"""What a reconciliation says to a person, to a program and to a monitor."""

import json

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from typer.testing import CliRunner

from deploy.cli import app
from deploy.reconcile import watching
from deploy.reconcile.run import Report, Trouble
from deploy.reconcile.watching import count
from deploy.reconcile.words import in_json, reasons, rows, verdict
from ingest.mending import Mended
from ingest.meta.graph.bulk import CountedForm
from ingest.reconcile import FormReport, Standing
from tests.past import OTHER_PAGE, PAGE

HERE, ERASED, MISSING = Standing("here"), Standing("erased"), Standing("missing")


def form(name: str = "301", page: str = PAGE, sent: int = 0, recovered: int = 0, **more: object) -> FormReport:
    standings = more.get("standings", {HERE: 4})
    assert isinstance(standings, dict)
    return FormReport(page_id=page, form_id=name, standings=standings, sent=sent, recovered=recovered)


def report(*forms: FormReport, troubles: tuple[Trouble, ...] = ()) -> Report:
    return Report(run="r1", forms=forms, troubles=troubles)


def said(found: Report, mended: Mended | None = None) -> list[str]:
    return list(reasons(found, mended))


class TestTheVerdict:
    def test_is_complete_where_every_lead_is_here_or_was_erased(self) -> None:
        found = report(form(standings={HERE: 9, ERASED: 1}), form("302"))
        assert verdict(found, sending=True) == (
            "Complete: every lead that Meta has is here, 14 of 2 forms, 1 of them erased since."
        )

    def test_is_complete_of_nothing(self) -> None:
        assert verdict(report(), sending=True).startswith("Complete")

    def test_says_what_would_be_sent(self) -> None:
        found = report(form(standings={HERE: 3, MISSING: 2}))
        assert verdict(found, sending=False) == (
            "Not complete: 3 of 5 leads are here; missing: 2. Nothing was sent: with --yes they are fetched."
        )

    def test_says_what_comes_by_itself(self) -> None:
        found = report(form(standings={HERE: 3, Standing("coming", "map"): 2}))
        assert verdict(found, sending=True) == (
            "Not complete: 3 of 5 leads are here; 2 are coming by themselves, so look again later."
        )

    def test_says_what_never_came(self) -> None:
        assert "work fetch" in verdict(report(form(standings={MISSING: 2})), sending=True)

    def test_is_not_complete_while_a_page_cannot_be_read(self) -> None:
        found = report(form(), troubles=(Trouble(page_id=OTHER_PAGE, form_id=None, reason="permission"),))
        assert verdict(found, sending=True) == (
            "Not complete: 4 of 4 leads are here; 1 page could not be read, where there may be more."
        )

    def test_calls_a_form_of_no_known_page_a_form(self) -> None:
        found = report(
            form(),
            troubles=(
                Trouble(page_id=OTHER_PAGE, form_id=None, reason="permission"),
                Trouble(page_id=None, form_id="999", reason="not-found"),
                Trouble(page_id=None, form_id="998", reason="not-found"),
            ),
        )
        assert "1 page and 2 forms could not be read" in verdict(found, sending=True)


class TestTheTable:
    def test_has_a_row_for_each_form_also_without_leads_and_one_for_all(self) -> None:
        found = report(
            form(standings={HERE: 2, Standing("coming", "fetch"): 1, Standing("dead", "x"): 1}, recovered=1),
            form("302", standings={}),
        )
        assert list(rows(found)) == [
            (
                *("page", "form", "at Meta", "here", "recovered"),
                *("coming", "cannot be had", "missing", "not listed", "complete"),
            ),
            (PAGE, "301", "4", "2", "1", "1", "1", "0", "0", "50.00 %"),
            (PAGE, "302", "0", "0", "0", "0", "0", "0", "0", "-"),
            ("all", "2 forms", "4", "2", "1", "1", "1", "0", "0", "50.00 %"),
        ]

    def test_has_a_column_for_erased_leads_where_there_are_any(self) -> None:
        assert next(rows(report(form(standings={ERASED: 2}))))[4] == "erased"


@pytest.mark.parametrize(
    ("standing", "advice"),
    [
        (Standing("coming", "fetch"), "`leadstream work fetch`"),
        (Standing("coming", "map"), "`leadstream work map`"),
        (Standing("coming", "webhook"), "their webhooks are on their way"),
        (Standing("parked", "token-expired"), f"page {PAGE} is repaired"),
        (Standing("dead", "bad-field"), "`leadstream dead redrive --stage fetch --reason bad-field --yes`"),
        (Standing("dead", "map damaged"), "`leadstream dead redrive --stage map --reason damaged --yes`"),
        (Standing("left out", "map lost"), "`leadstream status`"),
    ],
)
def test_whatever_is_not_here_says_what_to_do(standing: Standing, advice: str) -> None:
    [line] = said(report(form(standings={HERE: 1, standing: 3})))
    assert "3" in line
    assert advice in line


class TestAPageThatCannotBeRead:
    def test_is_named_once_with_how_many_forms(self) -> None:
        troubles = tuple(Trouble(page_id=PAGE, form_id=str(number), reason="permission") for number in range(3))
        [line] = said(report(troubles=troubles))
        assert line.startswith(f"unread      3 forms of page {PAGE} (permission): `leadstream doctor --page {PAGE}`")

    def test_without_a_token_is_to_be_added(self) -> None:
        [line] = said(report(troubles=(Trouble(page_id=PAGE, form_id=None, reason="no-token"),)))
        assert "`leadstream pages add`" in line

    def test_is_a_form_of_an_unknown_one(self) -> None:
        [line] = said(report(troubles=(Trouble(page_id=None, form_id="999", reason="not-found"),)))
        assert "form 999 (not-found)" in line


def test_what_the_counters_have_and_the_list_has_not_cannot_be_had() -> None:
    counters = CountedForm(form_id="301", page_id=PAGE, name="x", status=None, leads=9, organic=1, expired=3)
    found = FormReport(page_id=PAGE, form_id="301", standings={HERE: 5}, counters=counters)
    [line] = said(report(form("302"), found))
    assert [row[-2] for row in rows(report(form("302"), found))] == ["not listed", "0", "4", "4"]
    assert line.startswith("not listed  4 that Meta counts and gives no more, of which it says that 3 have expired")
    told = json.loads(json.dumps(in_json(report(found), sending=True)))
    assert (told["forms"][0]["not_listed"], told["forms"][0]["expired"], told["complete"]) == (4, 3, True)
    assert told["forms"][0]["counters"] == {
        "leads_count": 9,
        "organic_leads_count": 1,
        "expired_leads_count": 3,
    }


def test_where_much_is_missing_a_backfill_costs_less() -> None:
    [line] = said(report(form(standings={HERE: 1, MISSING: 1000})))
    assert "`leadstream backfill`" in line
    assert said(report(form(standings={MISSING: 999}))) == []


def test_what_was_mended_and_what_could_not_be_is_told() -> None:
    lines = said(report(form()), Mended(leads=2, gone=("77",), left=()))
    assert [line.split()[0] for line in lines] == ["mended", "poorer"]
    assert "`leadstream replay fetch --lead 77 --yes`" in lines[1]
    assert said(report(form()), Mended(leads=0, gone=(), left=())) == []


class TestMetrics:
    @pytest.fixture(autouse=True)
    def _few_forms(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(watching, "FORMS_SHOWN", 2)

    def of(self, name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(f"leadstream_reconcile_{name}", labels)

    def test_are_by_form_and_beyond_some_of_all_others_together(self) -> None:
        count(report(*(form(name, standings={HERE: 3, MISSING: 1}) for name in ("504", "501", "503", "502"))))
        assert self.of("leads", form_id="501", standing="at-meta") == 4
        assert self.of("leads", form_id="502", standing="had") == 3
        assert self.of("completeness", form_id="501") == 0.75
        assert self.of("leads", form_id="other", standing="missed") == 2
        assert self.of("leads", form_id="503", standing="had") is None

    def test_tell_when_it_was_and_what_could_not_be_read(self) -> None:
        count(report(troubles=(Trouble(page_id=PAGE, form_id=None, reason="permission"),)))
        assert self.of("unread") == 1
        assert (REGISTRY.get_sample_value("leadstream_reconciled_seconds") or 0) > 1_700_000_000

    def test_come_with_an_alarm_for_each_page_whose_webhooks_are_missed(self) -> None:
        with capture_logs() as logs:
            count(report(form(sent=3, recovered=3), form("302", OTHER_PAGE), form("303", sent=1)))
        assert [log for log in logs if log["event"] == "reconcile.missing"] == [
            {"event": "reconcile.missing", "log_level": "error", "page_id": PAGE, "forms": 2, "leads": 4}
        ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--form", "no-id"),
        ("--all-pages", "--page", PAGE),
        ("--every", "6h"),
        ("--every", "6h", "--yes", "--since", "2026-11-01"),
        ("--wait", "soon"),
    ],
)
def test_what_cannot_be_meant_is_used_wrongly(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "META_APP_SECRETS": "s",
        "META_PAGES_FILE": "/none",
    }.items():
        monkeypatch.setenv(name, value)
    assert CliRunner().invoke(app, ["reconcile", *arguments]).exit_code == 2


def test_the_help_has_an_example() -> None:
    shown = CliRunner().invoke(app, ["reconcile", "--help"], terminal_width=200)
    assert "Example: leadstream reconcile --page" in shown.output
