"""What `leadstream parked` takes and tells, before any cluster is asked."""

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.parked.cli import parked
from ingest.settings import SettingsError


@pytest.mark.parametrize("command", ["list", "release"])
def test_each_command_has_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, ["parked", command, "--help"])
    assert f"Example: leadstream parked {command} " in " ".join(shown.stdout.split())


def test_release_says_when_it_is_needed_and_that_normally_it_is_not() -> None:
    shown = " ".join(CliRunner().invoke(app, ["parked", "release", "--help"]).stdout.split())
    assert "Normally nobody needs this: `work retry` looks" in shown
    assert "Use it if" in shown


@pytest.mark.parametrize("options", [["--since=yesterday"], ["--rate=0"]])
def test_an_option_that_means_nothing_is_used_wrongly(options: list[str]) -> None:
    result = CliRunner().invoke(parked, ["release", *options])
    assert (result.exit_code, "Invalid value" in result.stderr) == (2, True)


def test_release_needs_the_pages_file_as_fetch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_APP_SECRETS", "an app secret")
    monkeypatch.setenv("META_PAGES_FILE", "/nowhere/pages.yaml")
    result = CliRunner().invoke(parked, ["release"])
    assert isinstance(result.exception, SettingsError)
    assert "/nowhere/pages.yaml: cannot be read" in str(result.exception)
