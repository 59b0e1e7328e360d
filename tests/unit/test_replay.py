"""What `leadstream replay` takes and tells, before any cluster is asked."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from typer.testing import CliRunner

from deploy.replay import Move, Plan, Target
from deploy.replay.cli import replay, target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("earliest", "earliest"),
        ("1200", 1200),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T08:30", datetime(2026, 11, 24, 8, 30, tzinfo=UTC)),
        ("2026-11-24T08:30+02:00", datetime(2026, 11, 24, 8, 30, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_replay_goes_to_the_first_record_to_an_offset_or_to_a_time(text: str, expected: Target) -> None:
    assert target(text) == expected


@pytest.mark.parametrize("text", ["yesterday", "-5", "latest", ""])
def test_any_other_target_is_used_wrongly_and_the_answer_names_what_there_is(text: str) -> None:
    result = CliRunner().invoke(replay, ["map", f"--to={text}"])
    assert result.exit_code == 2
    assert "earliest" in result.stderr


@pytest.mark.parametrize("worker", ["fetch", "map", "updates"])
def test_the_help_has_an_example(worker: str) -> None:
    assert f"Example: leadstream replay {worker} --to" in CliRunner().invoke(replay, [worker, "--help"]).stdout


def move(after: int) -> Move:
    return Move(topic="t", partition=0, before=None, after=after, end=10)


def test_a_plan_counts_what_is_read_from_there_on() -> None:
    assert Plan(group="leadstream-map", moves=(move(0), move(7), move(10)), members=()).records == 13


def test_a_live_group_is_refused_with_what_to_stop() -> None:
    plan = Plan(group="demo.leadstream-map", moves=(), members=("10.0.0.1", "10.0.0.2", "10.0.0.1"))
    assert plan.refusal is not None
    assert "3 of its workers run, on 10.0.0.1, 10.0.0.2" in plan.refusal
    assert "Stop every `leadstream work map`" in plan.refusal


def test_who_reads_updates_is_the_worker_that_maps_leads() -> None:
    plan = Plan(group="demo.leadstream-updates", moves=(), members=("10.0.0.1",))
    assert plan.refusal is not None
    assert "Stop every `leadstream work map`" in plan.refusal


def test_updates_are_read_again_by_offset_and_never_chosen() -> None:
    assert CliRunner().invoke(replay, ["updates", "--lead=1"]).exit_code == 2
    assert CliRunner().invoke(replay, ["updates"]).exit_code == 2


def test_a_group_without_members_can_be_moved() -> None:
    assert Plan(group="leadstream-map", moves=(), members=()).refusal is None
