"""Writing the pages file: what is asked for changes, all else stays, and no moment shows half of it."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from ingest.meta.pages import PageAccess, Pages
from ingest.meta.pages_file import Written, pages_in, write_pages
from ingest.settings import SettingsError

TOKEN = "EAAGnewtoken"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pages.yaml"


def page(page_id: str = "102", token: str = TOKEN, app_id: str | None = "7") -> PageAccess:
    return PageAccess(page_id=page_id, token=SecretStr(token), app_id=app_id)


def held(file: Path) -> dict[str, tuple[str, str | None]]:
    """What a worker reads there: token and app of each page."""
    return {each.page_id: (each.token.get_secret_value(), each.app_id) for each in Pages(file).all()}


def after(file: Path, text: str, *pages: PageAccess) -> str:
    """The file's text after writing, where it was `text` before."""
    file.write_text(textwrap.dedent(text))
    assert write_pages(file, pages).comments_kept
    return file.read_text()


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_file_is_made_for_its_owner_alone(file: Path) -> None:
    written = write_pages(file, [page(), page("103", "EAAGother")])
    assert held(file) == {"102": (TOKEN, "7"), "103": ("EAAGother", "7")}
    assert (mode_of(file), written.mode, written.added, written.replaced) == (0o600, 0, ("102", "103"), ())


def test_no_file_has_no_pages(file: Path) -> None:
    assert pages_in(file) == {}


def test_another_token_takes_the_place_of_the_one_that_was_there_and_comments_stay(file: Path) -> None:
    text = """\
        # the shop's pages
        pages:
          "101":   # the first
            token: EAAGold   # until May

            app_id: "7"
          # the second
          102:
            app_id: '7'
            token: "EAAGold"  # its token
        # the end
        """
    expected = textwrap.dedent(text).replace('"EAAGold"', f'"{TOKEN}"').replace("'7'", '"7"')
    assert after(file, text, page()) == expected


def test_a_new_page_stands_behind_the_others(file: Path) -> None:
    text = """\
        pages:
            "101": {token: EAAGold, app_id: "7"} # the first
        # the end
        """
    assert after(file, text, page()) == textwrap.dedent(
        f"""\
        pages:
            "101": {{token: EAAGold, app_id: "7"}} # the first
            "102":
              token: "{TOKEN}"
              app_id: "7"
        # the end
        """
    )


def test_an_entry_without_its_app_gets_it_beside_its_comments(file: Path) -> None:
    text = """\
        pages:
          "102":
            token: EAAGold # of the system user
        """
    assert after(file, text, page()) == textwrap.dedent(
        f"""\
        pages:
          "102":
            app_id: "7"
            token: "{TOKEN}" # of the system user
        """
    )


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("pages: {}\n", f'pages:\n  "102":\n    token: "{TOKEN}"\n    app_id: "7"\n'),
        (
            "pages: {1: {token: a}}  # all\n",
            f'pages: {{1: {{token: a}}, "102": {{token: "{TOKEN}", app_id: "7"}}}}  # all\n',
        ),
        ("pages: {102: {token: a}}\n", f'pages: {{102: {{app_id: "7", token: "{TOKEN}"}}}}\n'),
        ("pages:\n  1: {token: a}", f'pages:\n  1: {{token: a}}\n  "102":\n    token: "{TOKEN}"\n    app_id: "7"\n'),
    ],
)
def test_a_file_in_braces_is_written_in_braces(file: Path, before: str, expected: str) -> None:
    assert after(file, before, page()) == expected


def test_a_file_whose_values_share_an_anchor_is_written_anew_and_says_so(file: Path) -> None:
    file.write_text("pages:  # ours\n  1: {token: &all a}\n  102: {token: *all}\n")
    written = write_pages(file, [page()])
    assert held(file) == {"1": ("a", None), "102": (TOKEN, "7")}
    assert (written.comments_kept, "#" in file.read_text()) == (False, False)


def test_a_token_of_a_file_of_its_own_goes_there(file: Path) -> None:
    token_file = file.with_name("harbor.token")
    token_file.write_text("EAAGold\n")
    token_file.chmod(0o640)
    file.write_text('pages:\n  "102": {token_file: harbor.token, app_id: "7"}  # mounted\n')
    before = file.read_bytes()

    written = write_pages(file, [page()])

    assert (file.read_bytes(), token_file.read_text()) == (before, f"{TOKEN}\n")
    assert (written.replaced, written.token_files, mode_of(token_file)) == (("102",), (token_file,), 0o640)
    assert held(file) == {"102": (TOKEN, "7")}


def test_a_token_of_one_page_does_not_take_the_place_of_that_of_others_in_a_file_they_share(file: Path) -> None:
    """As a system user's token, which opens several pages, and a page's own opens one."""
    text = 'pages:\n  "102": {token_file: shared}\n  "103": {token_file: shared}\n'
    file.write_text(text)
    file.with_name("shared").write_text("EAAGsystem\n")
    for pages in ([page()], [page(), page("103", "EAAGother")]):
        with pytest.raises(SettingsError, match="102 and 103 name the same token_file"):
            write_pages(file, pages)
    assert (file.read_text(), file.with_name("shared").read_text()) == (text, "EAAGsystem\n")
    write_pages(file, [page(), page("103")])
    assert held(file) == {"102": (TOKEN, "7"), "103": (TOKEN, "7")}


def test_the_mode_is_kept_and_an_open_one_is_told(file: Path) -> None:
    file.write_text("pages: {}\n")
    file.chmod(0o644)
    assert write_pages(file, [page()]).mode == 0o044
    assert mode_of(file) == 0o644


def test_a_link_stays_a_link(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "real" / "pages.yaml"
    real.parent.mkdir()
    real.write_text("pages: {}\n")
    file.symlink_to(real)
    write_pages(file, [page()])
    assert file.is_symlink()
    assert held(real) == {"102": (TOKEN, "7")}


def test_a_running_worker_takes_up_what_was_written(file: Path) -> None:
    now = [0.0]
    write_pages(file, [page("101", "EAAGfirst")])
    pages = Pages(file, clock=lambda: now[0])
    write_pages(file, [page()])
    for _ in range(2):
        now[0] += 2
        found = pages.get("102")
    assert found is not None
    assert found.token.get_secret_value() == TOKEN


@pytest.mark.parametrize("text", ["pages: [EAAGold]\n", "pages: {102: {token: EAAGold, token: EAAGold}}\n", "{"])
def test_a_broken_file_is_left_as_it_is_and_not_quoted(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        write_pages(file, [page()])
    assert file.read_text() == text
    assert not any(token in str(raised.value) for token in (TOKEN, "EAAGold"))


def test_a_file_whose_folder_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="its folder cannot be opened: No such file"):
        write_pages(tmp_path / "nowhere" / "pages.yaml", [page()])


def test_a_file_that_cannot_be_written_is_as_it_was_and_leaves_no_draft(file: Path) -> None:
    """A folder stands where the token file should: renaming over it fails even for root."""
    file.write_text("pages: {102: {token_file: harbor}}\n")
    file.with_name("harbor").mkdir()
    with pytest.raises(SettingsError, match="harbor cannot be written: "):
        write_pages(file, [page()])
    assert file.read_text() == "pages: {102: {token_file: harbor}}\n"
    assert sorted(each.name for each in file.parent.iterdir()) == ["harbor", "pages.yaml"]


WRITES = """
import sys
from pathlib import Path
from pydantic import SecretStr
from ingest.meta.pages import PageAccess
from ingest.meta.pages_file import write_pages
token = sys.argv[2]
while True:
    write_pages(Path(sys.argv[1]), [PageAccess(page_id=each, token=SecretStr(token), app_id="7") for each in "12"])
    token = token[::-1]
    print("written", flush=True)
"""


def test_at_no_moment_is_there_half_a_file_and_so_none_is_left_by_a_writer_that_is_killed(file: Path) -> None:
    command = [sys.executable, "-c", WRITES, str(file), "ABC"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        seen = {file.read_bytes() for _ in range(10_000)}
        os.kill(writer.pid, signal.SIGKILL)
    seen.add(file.read_bytes())

    whole = ("pages:\n" + "".join(f'  "{n}":\n    token: "{{0}}"\n    app_id: "7"\n' for n in "12")).format
    assert seen <= {whole("ABC").encode(), whole("CBA").encode()}
    write_pages(file, [page()])
    assert [each.name for each in file.parent.iterdir()] == ["pages.yaml"]  # what a killed one left is gone


ids = st.text("0123456789", min_size=1, max_size=20)
tokens = st.text("abcXYZ019#:{}'\"&*!|>-\\,[]", min_size=1, max_size=12)
entries = st.dictionaries(ids, tokens, min_size=1, max_size=5)


@given(first=entries, second=entries)
def test_whatever_is_written_is_read_back_and_nothing_else_changes(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, str], second: dict[str, str]
) -> None:
    file = tmp_path_factory.mktemp("any") / "pages.yaml"
    done: list[Written] = [
        write_pages(file, [page(page_id, token) for page_id, token in each.items()]) for each in (first, second)
    ]
    assert {page_id: token for page_id, (token, _) in held(file).items()} == first | second
    assert set(done[1].added) == second.keys() - first.keys()
    assert all(each.comments_kept for each in done)
