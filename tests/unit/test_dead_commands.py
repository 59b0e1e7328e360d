"""What `leadstream dead` takes and tells, before any cluster is asked."""

import re

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.dead.cli import dead


@pytest.mark.parametrize("command", ["list", "show", "redrive"])
def test_each_command_has_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, ["dead", command, "--help"])
    assert f"Example: leadstream dead {command} " in " ".join(shown.stdout.split())


@pytest.mark.parametrize("coordinates", ["17", "2@", "@17", "2@17@3", "2@-1", "meta.leadgen.dead/2@17", "²@1"])
def test_what_is_no_place_is_used_wrongly_and_the_answer_shows_one(coordinates: str) -> None:
    result = CliRunner().invoke(dead, ["show", coordinates])
    assert (result.exit_code, "2@17" in result.stderr) == (2, True)


@pytest.mark.parametrize("options", [["--stage=crm"], ["--since=yesterday"], ["--rate=0"]])
def test_a_filter_that_means_nothing_is_used_wrongly(options: list[str]) -> None:
    result = CliRunner().invoke(dead, ["redrive", *options])
    assert (result.exit_code, bool(re.search(r"Invalid value", result.stderr))) == (2, True)
