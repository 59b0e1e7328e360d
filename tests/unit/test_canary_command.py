"""How the canary is asked for, and what its flights count and tell."""

from pathlib import Path

import pytest
import typer
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from typer.testing import CliRunner

from deploy.canary.judging import Flight, Outcome, Times, Told
from deploy.canary.watching import CanarySettings, count, find_page
from deploy.cli import app
from deploy.moments import duration
from ingest.meta.pages import Pages
from ingest.settings import SettingsError

AT = 1_795_500_000_000
LEAD = "55459717045641545"
CAME = Times(asked_at=AT, received_at=AT + 2_000, fetched_at=AT + 3_000, seen_at=AT + 3_500)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5", 1.5), ("120s", 120), ("15m", 900), ("6h", 21_600), ("1d", 86_400)]
)
def test_a_duration_is_a_number_with_its_unit_and_seconds_without(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "-5m", "m", "5 m", "5M", "1e3", "PT5M", "\u0665m"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="15m"):
        duration(text)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    file = tmp_path / "pages.yaml"
    file.write_text('pages:\n  "1": {token: t1}\n  "2": {token: t2}\n')
    return file


def settings(pages: Path, page: str | None = None) -> CanarySettings:
    return CanarySettings(meta_pages_file=pages, canary_form="616180339887499", canary_page=page)


def test_the_page_that_is_named_is_asked(pages: Path) -> None:
    assert find_page(settings(pages, page="2"), Pages(pages)).page_id == "2"


def test_a_page_without_a_token_is_told(pages: Path) -> None:
    with pytest.raises(SettingsError, match="no token for page 3"):
        find_page(settings(pages, page="3"), Pages(pages))


def test_without_a_form_nothing_begins(monkeypatch: pytest.MonkeyPatch, pages: Path) -> None:
    monkeypatch.chdir(pages.parent)  # where no .env of the checkout is read
    monkeypatch.setenv("META_PAGES_FILE", str(pages))
    ended = CliRunner().invoke(app, ["canary"])
    assert isinstance(ended.exception, SettingsError)
    assert "CANARY_FORM is not set (a form's id; or --form)" in str(ended.exception)


def test_a_schedule_needs_a_duration() -> None:
    ended = CliRunner().invoke(app, ["canary", "--form", "1", "--every", "often"])
    assert (ended.exit_code, "often is no duration" in ended.output) == (2, True)


def runs(form: str, outcome: Outcome) -> float:
    return REGISTRY.get_sample_value("leadstream_canary_runs_total", {"form_id": form, "outcome": outcome}) or 0.0


def stage(name: str) -> tuple[float, float]:
    """How often it was measured, and its seconds together."""
    times = REGISTRY.get_sample_value("leadstream_canary_seconds_count", {"stage": name})
    seconds = REGISTRY.get_sample_value("leadstream_canary_seconds_sum", {"stage": name})
    return times or 0.0, seconds or 0.0


def test_a_flight_in_time_is_counted_with_the_stages_that_are_known() -> None:
    before = {name: stage(name) for name in ("door", "raw", "whole")}
    with capture_logs() as logged:
        count(Flight(form_id="1", outcome="in-time", lead_id=LEAD, times=CAME))
    assert runs("1", "in-time") == 1
    assert REGISTRY.get_sample_value("leadstream_canary_arrived_seconds", {"form_id": "1"})
    grown = {name: tuple(now - was for now, was in zip(stage(name), before[name], strict=True)) for name in before}
    assert grown == {"door": (1, 2.0), "raw": (0, 0), "whole": (1, 3.5)}
    assert [(line["log_level"], line["event"]) for line in logged] == [("info", "canary.arrived")]


@pytest.mark.parametrize(
    ("flight", "level", "event"),
    [
        (Flight(form_id="2", outcome="late", lead_id=LEAD, times=CAME), "error", "canary.late"),
        (Flight(form_id="2", outcome="lost", lead_id=LEAD, times=Times(asked_at=AT)), "error", "canary.lost"),
        (Flight(form_id="2", outcome="not-asked", reason="page-limit"), "warning", "canary.not-flown"),
        (Flight(form_id="2", outcome="occupied", reason="chosen"), "warning", "canary.not-flown"),
    ],
)
def test_every_other_outcome_is_counted_and_told_by_its_name(flight: Flight, level: str, event: str) -> None:
    with capture_logs() as logged:
        count(flight)
    assert runs("2", flight.outcome) == 1
    assert [(line["log_level"], line["event"]) for line in logged] == [(level, event)]
    assert REGISTRY.get_sample_value("leadstream_canary_arrived_seconds", {"form_id": "2"}) is None


def test_an_alarm_says_which_stage_was_not_passed_and_why() -> None:
    told = Told(stage="fetch", fate="parked", reason="permission")
    lost = Flight(form_id="3", outcome="lost", lead_id=LEAD, times=Times(asked_at=AT), stuck="fetch", told=told)
    with capture_logs() as logged:
        count(lost)
    assert logged == [
        {
            "event": "canary.lost",
            "log_level": "error",
            "form_id": "3",
            "lead_id": LEAD,
            "stuck": "fetch",
            "fate": "parked",
            "reason": "permission",
        }
    ]


def test_a_run_that_was_told_to_stop_is_counted_and_no_news() -> None:
    with capture_logs() as logged:
        count(Flight(form_id="4", outcome="stopped", lead_id=LEAD))
        count(Flight(form_id="4", outcome="stopped", lead_id=LEAD, left="timeout"))
    assert runs("4", "stopped") == 2
    assert [line["event"] for line in logged] == ["canary.left"]
