"""What `leadstream mapping` takes and tells, before any cluster is asked."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.mapping.forms import read_forms
from ingest.records import FORMS, Record
from processors.mapping.editing import editor_schema
from tests.cluster import Cluster

GOOD = "target: sales\nowner: o\ndoc: d\nfields:\n  a: {doc: d, from: [field: x]}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MAPPING_DIR, and no `.env` of the checkout."""
    monkeypatch.chdir(tmp_path)
    found = tmp_path / "mappings"
    found.mkdir()
    monkeypatch.setenv("MAPPING_DIR", str(found))
    return found


def check(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["mapping", "check", "--no-forms", *arguments])
    return done.exit_code, done.stdout


@pytest.mark.parametrize("command", ["forms", "new", "check", "preview", "schema"])
def test_each_command_has_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, ["mapping", command, "--help"])
    assert f"Example: leadstream mapping {command} " in " ".join(shown.stdout.split()) + " "


def test_schema_prints_what_is_published() -> None:
    assert CliRunner().invoke(app, ["mapping", "schema"]).stdout == editor_schema()


class TestCheck:
    def test_good_files_are_counted(self, folder: Path) -> None:
        (folder / "a.yaml").write_text(GOOD)
        (folder / "b.yaml").write_text(GOOD + "version: 2\n")
        assert check() == (0, "2 files: 0 errors, 0 warnings\n")

    def test_everything_that_is_wrong_is_told_in_rows(self, folder: Path) -> None:
        (folder / "a.yaml").write_text(GOOD.replace("field: x", "feild: x"))
        (folder / "b.yaml").write_text("")
        code, said = check()
        assert code == 1
        assert said.splitlines() == [
            "a.yaml:5  error  fields.a.from[0]  `feild` is no source (did you mean field?)",
            "b.yaml    error  -                 is empty: `leadstream mapping new` writes a first one",
            "2 errors; the files were not held against forms yet",
        ]

    def test_files_that_are_named_are_looked_at_and_no_others(self, folder: Path, tmp_path: Path) -> None:
        (folder / "a.yaml").write_text("")
        (tmp_path / "draft.yaml").write_text(GOOD)
        assert check("draft.yaml") == (0, "1 file: 0 errors, 0 warnings\n")
        code, said = check("draft.yaml", str(folder / "a.yaml"), "--json")
        assert code == 1
        assert [each["file"] for each in json.loads(said)["findings"]] == [str(folder / "a.yaml")]

    def test_programs_are_told_the_same(self, folder: Path) -> None:
        (folder / "a.yaml").write_text(GOOD)
        code, said = check("--json")
        told = json.loads(said)
        assert (code, told["forms"], told["findings"]) == (0, None, [])
        [file] = told["files"]
        assert (file["file"], file["target"], file["topic"]) == ("a.yaml", "sales.v1", "leads.crm.sales.v1")
        (folder / "a.yaml").write_text(GOOD.replace("doc: d\n", ""))
        code, said = check("--json")
        assert (code, json.loads(said)["findings"]) == (
            1,
            [
                {
                    "severity": "error",
                    "file": "a.yaml",
                    "line": 1,
                    "field": "doc",
                    "form_id": None,
                    "message": "is missing",
                }
            ],
        )

    def test_a_folder_that_is_not_there_is_told(self, folder: Path) -> None:
        folder.rmdir()
        code, said = check()
        assert (code, "cannot be read (No such file or directory): is MAPPING_DIR right?" in said) == (1, True)

    def test_without_a_file_or_a_folder_it_is_used_wrongly(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MAPPING_DIR")
        done = CliRunner().invoke(app, ["mapping", "check"])
        assert (done.exit_code, "set MAPPING_DIR" in done.stderr) == (2, True)
        assert CliRunner().invoke(app, ["mapping", "check", "nowhere.yaml"]).exit_code == 2


class TestNew:
    @pytest.mark.parametrize("target", ["Sales", "1a", "a-b", "", "a" * 50])
    def test_a_target_that_names_no_topic_is_used_wrongly(self, folder: Path, target: str) -> None:
        done = CliRunner().invoke(app, ["mapping", "new", "--form", "1", "--target", target])
        assert (done.exit_code, "small letters" in done.stderr) == (2, True)

    def test_it_must_know_where_to_write(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MAPPING_DIR")
        done = CliRunner().invoke(app, ["mapping", "new", "--form", "1"])
        assert (done.exit_code, "set MAPPING_DIR" in done.stderr) == (2, True)


def test_each_version_of_a_form_is_read_as_it_was_last_told_and_what_is_no_form_is_left_out() -> None:
    cluster = Cluster()
    for key, value in (
        ("1@a", told("1", seen_at=1)),
        ("1@b", told("1", seen_at=2)),
        ("1@a", told("1", seen_at=3)),
        ("2@c", told("2", seen_at=1)),
        ("2@c", None),
        ("3@d", b"{"),
        ("4@e", b"[]"),
        ("5@f", b'{"form_id": "5"}'),
    ):
        cluster.put(Record(topic=FORMS, key=key.encode(), value=value))
    read = read_forms(cluster, cluster.topics)
    assert sorted((form["form_id"], form["seen_at"]) for form in read) == [("1", 2), ("1", 3)]


def told(form_id: str, *, seen_at: int) -> bytes:
    return json.dumps({"form_id": form_id, "version": "v", "page_id": "9", "seen_at": seen_at, "form": {}}).encode()
