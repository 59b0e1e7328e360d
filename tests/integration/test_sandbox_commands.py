"""`leadstream sandbox` where nothing needs to be started: what it says, and its exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.sandbox.cli import sandbox
from deploy.sandbox.ports import USUAL_PORTS


@pytest.fixture(autouse=True)
def nothing_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.delenv("REGISTRY_URL", raising=False)
    monkeypatch.chdir(tmp_path)  # where there is no .env


def run(*arguments: str) -> Result:
    return CliRunner().invoke(sandbox, arguments)


@pytest.mark.parametrize("command", ["up", "down", "status", "env", "logs"])
def test_the_help_of_every_command_has_an_example(command: str) -> None:
    assert f"Example: leadstream sandbox {command}" in run(command, "--help").stdout


def test_the_status_of_what_was_never_up_is_stopped_and_a_failure(tmp_path: Path) -> None:
    result = run("status", "--home", str(tmp_path))
    assert result.exit_code == 1
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [
        ["kafka", "stopped", f"127.0.0.1:{USUAL_PORTS['kafka']}"],
        ["registry", "stopped", f"http://127.0.0.1:{USUAL_PORTS['registry']}/apis/ccompat/v7"],
        ["graph", "stopped", f"http://127.0.0.1:{USUAL_PORTS['graph']}"],
        ["postgres", "not", "asked", "for", f"postgresql://127.0.0.1:{USUAL_PORTS['postgres']}/postgres"],
        ["connect", "not", "asked", "for", f"http://127.0.0.1:{USUAL_PORTS['connect']}"],
    ]


def test_the_columns_of_the_status_are_aligned(tmp_path: Path) -> None:
    lines = run("status", "--home", str(tmp_path)).stdout.splitlines()
    assert len({line.index(line.split()[1]) for line in lines}) == 1


def test_the_status_as_json_is_a_list_of_parts(tmp_path: Path) -> None:
    result = run("status", "--json", "--home", str(tmp_path))
    assert json.loads(result.stdout)[0] == {
        "name": "kafka",
        "yours": False,
        "state": "stopped",
        "where": f"127.0.0.1:{USUAL_PORTS['kafka']}",
        "pid": None,
        "log": None,
    }


def test_env_and_logs_of_what_was_never_up_say_what_to_do(tmp_path: Path) -> None:
    env, logs = run("env", "--home", str(tmp_path)), run("logs", "--home", str(tmp_path))
    assert (env.exit_code, logs.exit_code) == (1, 1)
    assert (env.stdout, logs.stdout) == ("", "")
    assert "`leadstream sandbox up` makes one" in env.stderr
    assert "Nothing of the sandbox was ever started" in logs.stderr


def test_down_where_nothing_runs_is_done_and_says_so(tmp_path: Path) -> None:
    result = run("down", "--home", str(tmp_path))
    assert (result.exit_code, result.stderr) == (0, "Nothing of it was running.\n")


def test_a_wipe_without_yes_tells_what_it_would_delete_and_deletes_nothing(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    result = run("down", "--wipe", "--home", str(tmp_path))
    assert result.exit_code == 2
    assert str(tmp_path) in result.stderr
    assert (tmp_path / "kafka").exists()


def test_a_wipe_deletes_the_data_and_the_ports_and_nothing_of_others(tmp_path: Path) -> None:
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    (tmp_path / "ports.json").write_text('{"kafka": 5}')
    (tmp_path / "mine").touch()
    result = run("down", "--wipe", "--yes", "--home", str(tmp_path))
    assert result.exit_code == 0
    assert {file.name for file in tmp_path.iterdir()} == {"lock", "mine"}


def test_a_part_that_is_not_one_is_a_wrong_use(tmp_path: Path) -> None:
    result = run("down", "zookeeper", "--home", str(tmp_path))
    assert result.exit_code == 2
    said = " ".join(line.strip("│ ") for line in result.stderr.splitlines())
    assert "zookeeper is not a part: kafka, registry, graph, postgres, connect are." in said


def test_a_home_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("up", "--home", str(tmp_path / "file" / "home"))
    assert result.exit_code == 1
    assert "choose another folder with --home" in result.stderr


def test_a_kafka_of_yours_with_a_login_wants_its_own_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    result = run("up", "--home", str(tmp_path))
    assert result.exit_code == 1
    assert "set REGISTRY_URL" in result.stderr


def test_a_registry_of_yours_is_yours_in_the_status(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REGISTRY_URL=http://127.0.0.1:1/\n")
    found = json.loads(run("status", "--json", "--home", str(tmp_path)).stdout)
    assert [(part["name"], part["yours"], part["state"], part["where"]) for part in found[:2]] == [
        ("kafka", False, "stopped", f"127.0.0.1:{USUAL_PORTS['kafka']}"),
        ("registry", True, "does not answer", "http://127.0.0.1:1"),
    ]


def test_settings_that_name_the_sandbox_itself_do_not_make_it_yours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do in a shell after `eval "$(leadstream sandbox env)"`: `up` must still start what was killed."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{USUAL_PORTS['kafka']}")
    monkeypatch.setenv("REGISTRY_URL", f"http://127.0.0.1:{USUAL_PORTS['registry']}/apis/ccompat/v7")
    found = json.loads(run("status", "--json", "--home", str(tmp_path)).stdout)
    assert not [part["name"] for part in found if part["yours"]]


def test_a_kafka_of_yours_with_a_login_wants_its_own_connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("REGISTRY_URL", "http://127.0.0.1:1")
    result = run("up", "connect", "--home", str(tmp_path))
    assert result.exit_code == 1
    assert "cannot log in to 127.0.0.1:1" in result.stderr
    assert not (tmp_path / "connect").exists()
