"""The pages file: read with care, read again when it changes, never replaced by a broken one, never quoted."""

import os
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ingest.meta.pages import LOOK_EVERY, Pages
from ingest.settings import SettingsError

PLANTED = "EAAGplantedtoken"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def look(self, pages: Pages, times: int = 2) -> None:
        """Lets `pages` look at its files: once to see a change, once more to see that it holds still."""
        for _ in range(times):
            self.now += LOOK_EVERY
            pages.get("1")


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def token_of(pages: Pages, page_id: str) -> str | None:
    page = pages.get(page_id)
    return None if page is None else page.token.get_secret_value()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pages.yaml"


def test_a_page_has_its_token_and_its_app(file: Path) -> None:
    pages = Pages(write(file, f'pages: {{"106777055130587": {{token: {PLANTED}, app_id: "77"}}}}'))
    page = pages.get("106777055130587")

    assert page is not None
    assert (page.page_id, page.token.get_secret_value(), page.app_id) == ("106777055130587", PLANTED, "77")
    assert PLANTED not in repr(page)


def test_a_page_without_an_entry_is_none(file: Path) -> None:
    assert Pages(write(file, "pages: {}")).get("1") is None


@pytest.mark.parametrize("written", ["106777055130587", '"106777055130587"', "'106777055130587'"])
def test_a_page_id_may_be_written_as_a_number(file: Path, written: str) -> None:
    assert token_of(Pages(write(file, f"pages:\n  {written}: {{token: a}}")), "106777055130587") == "a"


def test_a_token_of_digits_stays_as_it_was_written(file: Path) -> None:
    """A YAML reader would make a number of it, and 0123 another one."""
    assert token_of(Pages(write(file, "pages: {1: {token: 00123}}")), "1") == "00123"


def test_a_token_may_be_in_a_file_of_its_own_beside_the_pages(file: Path) -> None:
    write(file.with_name("token"), f"{PLANTED}\n")

    assert token_of(Pages(write(file, "pages: {1: {token_file: token}}")), "1") == PLANTED


BROKEN = [
    (f"pages: {{1.5e14: {{token: {PLANTED}}}}}", "neither a page id nor a field"),
    (f"pages: {{0x1F: {{token: {PLANTED}}}}}", "neither a page id nor a field"),
    (f"pages: {{{PLANTED}: {{token: x}}}}", "neither a page id nor a field"),
    ("pages: {1: {token: ''}}", "page 1: token: "),
    ("pages: {1: {token: }}", "page 1: token: "),
    (f"pages: {{1: {{token: '{PLANTED} x'}}}}", "page 1: token: "),
    (f'pages: {{1: {{token: "{PLANTED}\\n"}}}}', "page 1: token: "),
    (f"pages: {{1: {{token: {PLANTED}ä}}}}", "page 1: token: "),
    (f"pages: {{1: {{token: [{PLANTED}]}}}}", "page 1: token: "),
    (f"pages: {{1: {{token: {PLANTED}, app_id: {PLANTED}}}}}", "page 1: app_id: "),
    (f"pages: {{1: {{token: {PLANTED}, token_file: x}}}}", "page 1: "),
    (f"pages: {{1: {{token: {PLANTED}, {PLANTED}: x}}}}", "page 1: a key that is neither"),
    ("pages: {1: {app_id: '7'}}", "page 1: "),
    (f"pages: {{1: {PLANTED}}}", "page 1: "),
    ("pages: {1: {token_file: missing}}", "page 1: token_file: "),
    ("pages: {1: {token_file: .}}", "page 1: token_file: "),
    (f"pages: [{PLANTED}]", "pages: "),
    (f"{PLANTED}: {{}}", "pages: Field required"),
    (PLANTED, "pages.yaml"),
    ("", "pages.yaml"),
    (f"pages:\n  1: {{token: *{PLANTED}}}", "line 2"),
    (f"pages:\n\t1: {{token: {PLANTED}}}", "line 2"),
    (f"pages:\n  1: {{token: {PLANTED}", "line 2"),
    (f"pages:\n  1: {{token: a}}\n  1: {{token: {PLANTED}}}", "same key twice"),
    (f"pages:\n  1: {{token: a}}\n  '1': {{token: {PLANTED}}}", "same key twice"),
    (f"pages: {{1: {{token: a, token: {PLANTED}}}}}", "same key twice"),
    (f"pages: {{1: {{token: '{PLANTED}\x00'}}}}", "is not YAML"),
    # So deep that a parser which calls itself would end the process.
    (f"pages: {{1: {{token: {'[' * 100_000}{PLANTED}{']' * 100_000}}}}}", "is not YAML"),
]


@pytest.mark.parametrize(("text", "says"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_is_a_sentence_that_names_the_place_and_quotes_nothing(file: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Pages(write(file, text))

    assert says in str(raised.value)
    assert str(file) in str(raised.value)
    assert raised.value.__context__ is None
    assert PLANTED not in "".join(traceback.format_exception(raised.value))


def test_every_problem_is_told_at_once(file: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        Pages(write(file, "pages: {1: {token: ''}, 2: {app_id: x, token: a}}"))

    assert ["page 1" in line or "page 2" in line for line in str(raised.value).splitlines()] == [True, True]


def test_bytes_that_are_no_text_are_told_without_them(file: Path) -> None:
    file.write_bytes(PLANTED.encode() + b"\xff")

    with pytest.raises(SettingsError, match="is not UTF-8 text") as raised:
        Pages(file)
    assert raised.value.__context__ is None


words = st.sampled_from(("pages", "1", "token", "token_file", "app_id", "<<", "!!python/object:os.system ", "---\n"))
signs = st.sampled_from(
    (": ", "{", "}", "[", "]", ", ", "\n", "\n  ", "- ", "? ", "#", "&a ", "*a", "'", '"', "\\0", "%")
)
yaml_like = st.lists(words | signs, max_size=30).map("".join)


@given(st.text() | yaml_like | yaml_like.map("pages: {{1: {}".format))
@example("[" * 1000)
@example("pages: &a {1: *a}")
@example("pages: {[1]: {token: a}}")
@example('pages: {1: {token_file: "a\\0"}}')
@example('pages: {1: {token_file: "\\uD800"}}')
def test_any_text_is_pages_or_a_sentence(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pages.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        with suppress(SettingsError):
            Pages(file)


def test_a_file_that_is_not_there_is_told(file: Path) -> None:
    with pytest.raises(SettingsError, match=r"pages\.yaml: cannot be read: No such file"):
        Pages(file)


@pytest.mark.parametrize("content", ["", "two words", "two\nlines", "ä"])
def test_a_token_file_holds_a_token_and_nothing_else(file: Path, content: str) -> None:
    write(file.with_name("token"), content)

    with pytest.raises(SettingsError, match="page 1: token_file: the file must hold a token"):
        Pages(write(file, "pages: {1: {token_file: token}}"))


# What changes


def test_a_changed_file_is_in_force_once_it_holds_still(file: Path) -> None:
    clock = Clock()
    pages = Pages(write(file, "pages: {1: {token: old}}"), clock=clock)
    write(file, "pages: {1: {token: new}, 2: {token: two}}")

    assert token_of(pages, "1") == "old"  # no look yet
    clock.look(pages, 1)
    assert token_of(pages, "1") == "old"  # seen, but it may still be being written
    clock.look(pages, 1)
    assert (token_of(pages, "1"), token_of(pages, "2")) == ("new", "two")


def test_a_file_that_is_being_written_takes_no_page_away(file: Path) -> None:
    """Half of it is valid YAML with one page less."""
    clock = Clock()
    whole = "pages:\n  1: {token: one}\n  2: {token: two}\n"
    pages = Pages(write(file, whole), clock=clock)

    write(file, whole[: whole.index("  2:")])
    clock.look(pages, 1)
    write(file, whole)
    clock.look(pages, 3)

    assert token_of(pages, "2") == "two"


def test_the_files_are_looked_at_once_a_second_and_not_at_every_record(file: Path) -> None:
    clock = Clock()
    pages = Pages(write(file, "pages: {1: {token: old}}"), clock=clock)
    write(file, "pages: {1: {token: new}}")

    for _ in range(1000):
        clock.now += LOOK_EVERY / 2000
        assert token_of(pages, "1") == "old"


def test_a_page_that_was_taken_out_is_gone(file: Path) -> None:
    clock = Clock()
    pages = Pages(write(file, "pages: {1: {token: a}}"), clock=clock)
    write(file, "pages: {}")
    clock.look(pages)

    assert pages.get("1") is None


def test_a_changed_token_file_is_read_again(file: Path) -> None:
    clock = Clock()
    token = write(file.with_name("token"), "old")
    pages = Pages(write(file, "pages: {1: {token_file: token}}"), clock=clock)
    write(token, "renewed")
    clock.look(pages)

    assert token_of(pages, "1") == "renewed"


def test_a_broken_new_file_leaves_the_old_pages_and_is_told_once(file: Path) -> None:
    clock = Clock()
    pages = Pages(write(file, "pages: {1: {token: old}}"), clock=clock)
    write(file, f"pages: {{1: {{tokn: {PLANTED}}}}}")
    with capture_logs() as told:
        clock.look(pages, 6)

    assert token_of(pages, "1") == "old"
    assert [(line["event"], line["log_level"]) for line in told] == [("pages.broken", "error")]
    assert PLANTED not in str(told)
    assert REGISTRY.get_sample_value("leadstream_pages_broken") == 1

    write(file, "pages: {1: {token: repaired}}")
    with capture_logs() as told:
        clock.look(pages, 6)

    assert token_of(pages, "1") == "repaired"
    assert [line["event"] for line in told] == ["pages.read"]
    assert REGISTRY.get_sample_value("leadstream_pages_broken") == 0


def test_a_file_that_disappears_leaves_the_old_pages_and_may_come_back(file: Path) -> None:
    clock = Clock()
    pages = Pages(write(file, "pages: {1: {token: old}}"), clock=clock)
    file.unlink()
    clock.look(pages)
    assert token_of(pages, "1") == "old"

    write(file, "pages: {1: {token: back}}")
    clock.look(pages)
    assert token_of(pages, "1") == "back"


def test_a_token_file_that_comes_late_repairs_the_file_that_names_it(file: Path) -> None:
    clock = Clock()
    pages = Pages(write(file, "pages: {1: {token: old}}"), clock=clock)
    write(file, "pages: {1: {token_file: token}}")
    clock.look(pages)
    assert token_of(pages, "1") == "old"

    write(file.with_name("token"), "late")
    clock.look(pages)
    assert token_of(pages, "1") == "late"


def test_links_that_are_swapped_as_kubernetes_does_are_seen(tmp_path: Path) -> None:
    """pages.yaml -> ..data/pages.yaml, and ..data -> a dated folder, replaced by a rename. Same size, same time."""
    clock = Clock()
    for name, token in (("..2026_1", "aaa"), ("..2026_2", "bbb")):
        folder = tmp_path / name
        folder.mkdir()
        write(folder / "token", token)
        os.utime(write(folder / "pages.yaml", "pages: {1: {token_file: token}}"), ns=(10**18, 10**18))
        os.utime(folder / "token", ns=(10**18, 10**18))
    (tmp_path / "..data").symlink_to("..2026_1")
    for name in ("pages.yaml", "token"):
        (tmp_path / name).symlink_to(Path("..data") / name)
    pages = Pages(tmp_path / "pages.yaml", clock=clock)
    assert token_of(pages, "1") == "aaa"

    (tmp_path / "..data_tmp").symlink_to("..2026_2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    clock.look(pages)

    assert token_of(pages, "1") == "bbb"
