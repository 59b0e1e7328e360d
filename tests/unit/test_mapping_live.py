"""Mapping files are taken up when they change, as a whole, and kept as they were when the new ones cannot be used."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

import schemas
from ingest import telemetry
from ingest.records import Topics
from ingest.registry import NotRegistered, Registry, RegistryUnavailable
from processors.mapping import live
from processors.mapping.live import Mappings
from processors.mapping.reading import BadMapping, Loaded, read_folder


@pytest.fixture(autouse=True)
def _no_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=10):
        yield


class Known(Registry):
    """Knows every schema, but for the fields that it is told to refuse; it is away as often as it is told."""

    def __init__(self) -> None:
        self.strange: set[str] = set()
        self.away = 0
        self.asked: list[str] = []

    async def id_of(self, subject: str, schema: schemas.Schema) -> int:
        self.asked.append(subject)
        if self.away:
            self.away -= 1
            raise RegistryUnavailable("away")
        text = json.dumps(schema)
        if any(f'"{name}"' in text for name in self.strange):
            raise NotRegistered("40403: no such schema")
        return len(self.asked)


class Folder:
    """A folder of mapping files, the mappings in force, and what was told about them."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.registry = Known()
        self.told: list[tuple[str, str]] = []
        self.mappings = Mappings(path, registry=self.registry, topics=Topics(prefix="t."), every=1.0)
        monkeypatch.setattr(
            telemetry, "log", lambda _, event, **ids: self.told.append((event, str(ids.get("target", ids.get("why")))))
        )

    def write(self, target: str, field: str = "email", more: str = "") -> None:
        """As a deployment does it: the file is whole when it is there."""
        text = (
            f"target: {target}\nowner: me\ndoc: x\nfields:\n  {field}: {{doc: x, from: [{{field: {field}}}]{more}}}\n"
        )
        draft = self.path / f"{target}.new"
        draft.write_text(text)
        draft.replace(self.path / f"{target}.yaml")

    def begin(self) -> None:
        asyncio.run(self.mappings.begin())

    def look(self) -> list[tuple[str, str]]:
        """One look, and what was told by it."""
        before = len(self.told)
        asyncio.run(self.mappings.look())
        return self.told[before:]

    @property
    def fields(self) -> dict[str, list[str]]:
        """By target in force, its fields."""
        return {each.mapping.id: list(each.mapping.fields) for each in self.mappings.now}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)


def broken() -> float:
    return float(telemetry.MAPPINGS_BROKEN._value.get())  # noqa: SLF001  what a scrape would show


def test_without_a_folder_there_are_no_targets() -> None:
    mappings = Mappings(None, registry=Known(), topics=Topics(), every=1.0)
    asyncio.run(mappings.begin())
    asyncio.run(mappings.look())
    assert mappings.now == ()


def test_each_file_is_a_target_under_the_subject_of_its_topic(folder: Folder) -> None:
    folder.write("sales")
    folder.write("news", "phone")
    folder.begin()
    assert folder.fields == {"news.v1": ["phone"], "sales.v1": ["email"]}
    assert folder.registry.asked == ["t.leads.crm.news.v1-value", "t.leads.crm.sales.v1-value"]


def test_a_folder_that_cannot_be_used_stops_the_start(folder: Folder) -> None:
    with pytest.raises(BadMapping, match="no mapping file"):
        folder.begin()
    folder.write("sales", more=", type: strong")
    with pytest.raises(BadMapping, match=r"sales\.yaml:5"):
        folder.begin()


def test_a_schema_that_is_not_registered_stops_the_start_and_says_what_to_do(folder: Folder) -> None:
    folder.write("sales")
    folder.registry.strange = {"email"}
    with pytest.raises(NotRegistered, match=r"sales\.v1: .*topics apply"):
        folder.begin()


def test_a_registry_that_is_away_is_waited_for_at_the_start(folder: Folder) -> None:
    folder.write("sales")
    folder.registry.away = 5
    folder.begin()
    assert folder.fields == {"sales.v1": ["email"]}


def test_what_did_not_change_is_not_asked_for_again(folder: Folder) -> None:
    folder.write("sales")
    folder.begin()
    assert folder.look() == []
    assert len(folder.registry.asked) == 1


def test_a_changed_a_new_and_a_removed_file_are_taken_up(folder: Folder) -> None:
    folder.write("sales")
    folder.write("news")
    folder.begin()
    folder.write("sales", "phone")
    folder.write("partner")
    (folder.path / "news.yaml").unlink()
    assert folder.look() == [
        ("mapping.read", "partner.v1"),
        ("mapping.read", "sales.v1"),
        ("mapping.removed", "news.v1"),
    ]
    assert folder.fields == {"partner.v1": ["email"], "sales.v1": ["phone"]}


def test_a_broken_file_leaves_all_as_it_was_and_is_told_once_with_its_line(folder: Folder) -> None:
    folder.write("sales")
    folder.begin()
    folder.write("sales", more=", type: strong")
    folder.write("partner")
    [(event, why)] = folder.look()
    assert event == "mapping.refused"
    assert why.startswith("sales.yaml:5: fields.email.type")
    assert folder.look() == []
    assert folder.fields == {"sales.v1": ["email"]}
    assert broken() == 1
    folder.write("sales", "phone")
    folder.look()
    assert folder.fields == {"partner.v1": ["email"], "sales.v1": ["phone"]}
    assert broken() == 0


def test_a_change_whose_schema_is_not_registered_waits_until_it_is(folder: Folder) -> None:
    folder.write("sales")
    folder.begin()
    folder.registry.strange = {"phone"}
    folder.write("sales", "phone")
    [(event, why)] = folder.look()
    assert (event, "topics apply" in why) == ("mapping.refused", True)
    assert folder.fields == {"sales.v1": ["email"]}
    folder.registry.strange = set()
    assert folder.look() == [("mapping.read", "sales.v1")]
    assert folder.fields == {"sales.v1": ["phone"]}


def test_a_registry_that_is_away_holds_up_no_change_that_needs_no_new_schema(folder: Folder) -> None:
    folder.write("sales")
    folder.begin()
    before = folder.mappings.now[0].mapping.hash
    folder.registry.away = 99
    folder.write("sales", more=", transform: [lower]")
    assert folder.look() == [("mapping.read", "sales.v1")]
    assert folder.mappings.now[0].mapping.hash != before


def test_a_change_that_needs_a_registry_which_is_away_waits_for_it_and_ends_nothing(folder: Folder) -> None:
    folder.write("sales")
    folder.begin()
    folder.registry.away = 1
    folder.write("sales", "phone")
    assert folder.look() == [("mapping.refused", "away")]
    assert folder.fields == {"sales.v1": ["email"]}
    assert folder.look() == [("mapping.read", "sales.v1")]


def test_what_was_wrong_and_mended_is_told_anew_when_it_comes_back(folder: Folder) -> None:
    folder.write("sales")
    folder.begin()
    for _ in range(2):
        folder.write("sales", more=", type: strong")
        assert [event for event, _ in folder.look()] == ["mapping.refused"]
        folder.write("sales")
        folder.look()


def test_a_file_in_place_of_one_of_the_same_size_and_second_is_seen(folder: Folder) -> None:
    """As a copy that keeps times makes it."""
    folder.write("sales", "email")
    file = folder.path / "sales.yaml"
    os.utime(file, (1, 1))
    folder.begin()
    folder.write("sales", "phone")
    os.utime(file, (1, 1))
    assert folder.look() == [("mapping.read", "sales.v1")]


def test_files_that_change_while_they_are_read_are_read_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else some of them would be those of before: a state that nobody has reviewed."""
    changes = iter(["phone"])

    def read(path: Path) -> list[Loaded]:
        found = read_folder(path)
        for field in changes:
            folder.write("sales", field)
        return found

    folder.write("sales", "email")
    monkeypatch.setattr(live, "read_folder", read)
    folder.begin()
    assert folder.fields == {"sales.v1": ["phone"]}
    assert folder.look() == []


def test_a_file_that_is_written_in_place_is_seen(folder: Folder) -> None:
    folder.write("sales", "email")
    folder.begin()
    file = folder.path / "sales.yaml"
    before = file.stat()
    file.write_text(file.read_text().replace("email", "phone"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert folder.look() == [("mapping.read", "sales.v1")]


def test_a_folder_that_is_empty_or_gone_is_a_volume_that_is_missing(folder: Folder) -> None:
    folder.write("sales")
    folder.begin()
    (folder.path / "sales.yaml").unlink()
    assert [event for event, _ in folder.look()] == ["mapping.refused"]
    folder.path.rmdir()
    assert [event for event, _ in folder.look()] == ["mapping.refused"]
    assert folder.fields == {"sales.v1": ["email"]}


def test_what_a_record_goes_by_is_not_changed_under_it(folder: Folder) -> None:
    folder.write("sales")
    folder.begin()
    held = folder.mappings.now
    folder.write("sales", "phone")
    folder.look()
    assert [list(each.mapping.fields) for each in held] == [["email"]]


def test_a_link_that_leads_nowhere_hides_no_change_of_another_file(folder: Folder) -> None:
    """Such as an editor that has crashed leaves: it is no mapping file, and stays."""
    folder.write("sales")
    (folder.path / ".#sales.yaml").symlink_to("me@host.4711")
    folder.begin()
    folder.write("sales", "phone")
    assert folder.look() == [("mapping.read", "sales.v1")]


def test_a_volume_whose_files_are_swapped_behind_a_link_is_taken_up(folder: Folder) -> None:
    """As Kubernetes mounts a ConfigMap: the files are links into `..data`, which is a link to the newest folder."""
    folder.write("sales")
    for number, field in enumerate(("email", "phone")):
        folder.write("sales", field)
        (folder.path / f"..{number}").mkdir()
        (folder.path / "sales.yaml").rename(folder.path / f"..{number}" / "sales.yaml")
    data = folder.path / "..data"
    data.symlink_to("..0")
    (folder.path / "sales.yaml").symlink_to("..data/sales.yaml")
    folder.begin()
    (folder.path / "..new").symlink_to("..1")
    (folder.path / "..new").replace(data)
    assert folder.look() == [("mapping.read", "sales.v1")]
    assert folder.fields == {"sales.v1": ["phone"]}
