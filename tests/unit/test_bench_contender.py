"""A peer is built once for each state of its sources; where it cannot be, it is said what is missing."""

from pathlib import Path

import pytest

from tests.bench.contender import Build, Unavailable


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "main.txt").write_text("one")
    return tmp_path / "sources"


def building(sources: Path, *step: str, tool: str = "cp") -> Build:
    return Build(name="peer", sources=sources, steps=(step or ("cp", "main.txt", "built.txt"),), tools={tool: "get it"})


def test_a_peer_is_built_from_a_copy_of_its_sources_and_once_only(sources: Path) -> None:
    said: list[str] = []
    folder = building(sources).folder(said.append)
    assert (folder / "built.txt").read_text() == "one"
    assert building(sources).folder(said.append) == folder
    assert said == ["building peer: cp main.txt built.txt"]
    assert [path.name for path in sources.iterdir()] == ["main.txt"]


def test_it_is_built_anew_when_a_source_has_changed(sources: Path) -> None:
    before = building(sources).folder(lambda _: None)
    (sources / "main.txt").write_text("two")
    assert (building(sources).folder(lambda _: None) / "built.txt").read_text() == "two"
    assert (before / "built.txt").read_text() == "one"


def test_what_users_do_not_build_from_does_not_count(sources: Path) -> None:
    before = building(sources).folder(lambda _: None)
    (sources / "README.md").write_text("words")
    assert building(sources).folder(lambda _: None) == before


def test_a_missing_tool_is_named_with_how_to_get_it(sources: Path) -> None:
    with pytest.raises(Unavailable, match="needs no-such-tool, which is not on the PATH: get it"):
        building(sources, tool="no-such-tool").folder(lambda _: None)


def test_a_build_that_fails_says_its_last_line_and_is_tried_again(sources: Path) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"`sh -c .*` failed: no such version"):
            building(sources, "sh", "-c", "echo trying; echo no such version; exit 1").folder(lambda _: None)
