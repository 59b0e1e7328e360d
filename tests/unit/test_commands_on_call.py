"""A command is imported when it is called: what `--help` lists of it without is what it says of itself."""

import subprocess
import sys

import pytest

from deploy.cli import COMMANDS, load


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_listed_of_a_command_is_its_own(name: str) -> None:
    command = load(name)
    first = " ".join(command.help.split("\n\n")[0].split())
    assert (command.name, first) == (name, COMMANDS[name][1])


def test_listing_the_commands_imports_none_of_them() -> None:
    assert _imported("--help") == {"deploy", "deploy.cli", "ingest", "ingest.settings_error"}


def test_a_parent_imports_nothing_that_only_its_children_need() -> None:
    assert not _imported("work", "map", "--help") & {
        "confluent_kafka",
        "faust",
        "fastavro",
        "phonenumbers",
        "processors",
    }


def _imported(*arguments: str) -> set[str]:
    """What a command imports of ours, and of others at the top."""
    listing = (
        "import sys; from deploy.cli import main; sys.argv[0] = 'leadstream'\ntry: main()\nfinally: print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", listing, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    modules = done.stdout.splitlines()[-1].split()
    return {module for module in modules if module.split(".")[0] in OURS or module in THEIRS}


OURS = {"schemas", "ingest", "processors", "deploy"}
THEIRS = {"confluent_kafka", "faust", "fastavro", "phonenumbers"}
