"""Writing META_PAGES_FILE: some pages are put in or get another token, and all else stays as it was written.

A reader, and whoever kills the writer, finds the file as it was before or as it is after. Comments, order and spelling
of the rest are kept, as only the places that change are replaced in its text. Where they cannot be found (one value is
an alias of another, say), the file is written anew and its comments are lost, which is told.
"""

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import yaml
from pydantic import SecretStr

from ingest.meta.pages import Entry, PageAccess, read_entries
from ingest.settings import SettingsError

_Edit: TypeAlias = "tuple[int, int, str]"  # from, to, what stands there then
_PRIVATE = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of the file. `mode` is what of it others than its owner may do, 0 for nothing."""

    added: tuple[str, ...]  # page ids
    replaced: tuple[str, ...]
    token_files: tuple[Path, ...]  # where entries name one, the token went there
    comments_kept: bool
    mode: int


def pages_in(path: Path) -> Mapping[str, Entry]:
    """The pages that the file has, none where there is no file. SettingsError where it cannot be used as it is."""
    text = _text(path)
    return read_entries(path, text) if text.strip() else {}


def write_pages(path: Path, pages: Collection[PageAccess]) -> Written:
    """Puts the pages into the file, which is made, for its owner alone, where there is none.

    An entry that names a `token_file` keeps it, and the token goes there. SettingsError where anything of it cannot be
    read or written; then META_PAGES_FILE is as it was.
    """
    file = path.resolve()  # a link stays a link
    with _alone(file):
        text = _text(file)
        had = read_entries(path, text) if text.strip() else {}
        has = dict(had) | {page.page_id: _entry(page, had.get(page.page_id)) for page in pages}
        changed = _edited(text, had, has)
        comments_kept = changed is not None and _holds(path, changed, has)
        token_files = {
            path.parent / entry.token_file: page.token
            for page in pages
            if (entry := has[page.page_id]).token_file is not None
        }
        _check_that_none_shares(path, pages, has)
        for token_file, token in token_files.items():
            _replace(token_file.resolve(), f"{token.get_secret_value()}\n")
        if has != had:
            _replace(file, changed if changed is not None and comments_kept else _anew(has))
        mode = file.stat().st_mode & 0o077
    return Written(
        added=tuple(page.page_id for page in pages if page.page_id not in had),
        replaced=tuple(page.page_id for page in pages if page.page_id in had),
        token_files=tuple(token_files),
        comments_kept=comments_kept or "#" not in text,
        mode=mode,
    )


def _check_that_none_shares(path: Path, pages: Collection[PageAccess], has: Mapping[str, Entry]) -> None:
    """A page's own token in a file that another entry names too would open that other page no more."""
    tokens = {page.page_id: page.token for page in pages}
    for page in pages:
        mine = has[page.page_id].token_file
        for page_id, entry in has.items() if mine is not None else ():
            if entry.token_file == mine and tokens.get(page_id) != page.token:
                raise SettingsError(
                    f"{path}: pages {page.page_id} and {page_id} name the same token_file, and would get different"
                    " tokens: give each one of its own"
                )


def _entry(page: PageAccess, had: Entry | None) -> Entry:
    if had is not None and had.token_file is not None:
        return Entry(token_file=had.token_file, app_id=page.app_id or had.app_id)
    return Entry(token=page.token, app_id=page.app_id or (had.app_id if had is not None else None))


# The text, changed


def _edited(text: str, had: Mapping[str, Entry], has: Mapping[str, Entry]) -> str | None:
    """The text with the entries as they are to be; None where there is no place for them."""
    pages = _pages_node(text)
    if pages is None:
        return None
    edits: list[_Edit] = []
    for key, value in pages.value:
        if key.value in had and has[key.value] != had[key.value]:
            if not isinstance(value, yaml.MappingNode):
                return None
            edits += _edits_of_entry(value, has[key.value])
    new = {page_id: entry for page_id, entry in has.items() if page_id not in had}
    if new:
        edits.append(_edit_of_new(text, pages, new))
    for start, end, put in sorted(edits, reverse=True):
        text = text[:start] + put + text[end:]
    return text


def _pages_node(text: str) -> yaml.MappingNode | None:
    root = yaml.compose(text, Loader=yaml.BaseLoader) if text.strip() else None
    found = [value for key, value in root.value if key.value == "pages"] if isinstance(root, yaml.MappingNode) else []
    return found[0] if found and isinstance(found[0], yaml.MappingNode) else None


def _edits_of_entry(node: yaml.MappingNode, entry: Entry) -> Iterator[_Edit]:
    there = {key.value: (key, value) for key, value in node.value}
    told = {"token": _quoted(entry.token), "app_id": _quoted(entry.app_id)}
    for name, text in told.items():
        if name in there and text is not None:
            value = there[name][1]
            yield value.start_mark.index, value.end_mark.index, text
    if "app_id" not in there and told["app_id"] is not None:
        # Before the first field: after the last one there may be a comment.
        at = node.value[0][0].start_mark
        between = ", " if node.flow_style else "\n" + " " * at.column
        yield at.index, at.index, f"app_id: {told['app_id']}{between}"


def _edit_of_new(text: str, pages: yaml.MappingNode, new: Mapping[str, Entry]) -> _Edit:
    if pages.flow_style and pages.value:
        at = _end(pages.value[-1][1])
        return at, at, "".join(f", {_quoted(page_id)}: {{{', '.join(_fields(each))}}}" for page_id, each in new.items())
    if not pages.value:  # {}
        at = len(text[: pages.start_mark.index].rstrip(" "))
        return at, pages.end_mark.index, "\n" + _block(new, "  ").rstrip("\n")
    line_ends = text.find("\n", _end(pages.value[-1][1]))
    indent = " " * pages.value[0][0].start_mark.column
    if line_ends < 0:
        return len(text), len(text), "\n" + _block(new, indent)
    return line_ends + 1, line_ends + 1, _block(new, indent)


def _end(node: yaml.Node) -> int:
    """Where the node's own text ends: a block's mark stands behind the comments that follow it."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    end: int = node.end_mark.index
    return end


def _block(entries: Mapping[str, Entry], indent: str) -> str:
    inner = f"\n{indent}  "
    return "".join(
        f"{indent}{_quoted(page_id)}:{inner}{inner.join(_fields(entry))}\n" for page_id, entry in entries.items()
    )


def _fields(entry: Entry) -> list[str]:
    told = {
        "token": _quoted(entry.token),
        "token_file": _quoted(None if entry.token_file is None else str(entry.token_file)),
        "app_id": _quoted(entry.app_id),
    }
    return [f"{name}: {text}" for name, text in told.items() if text is not None]


def _quoted(value: SecretStr | str | None) -> str | None:
    """A string of JSON is one of YAML, and never a number."""
    return None if value is None else json.dumps(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _anew(entries: Mapping[str, Entry]) -> str:
    return "pages:\n" + _block(entries, "  ")


def _holds(path: Path, text: str, entries: Mapping[str, Entry]) -> bool:
    try:
        return read_entries(path, text) == entries
    except SettingsError:
        return False


# The files


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode()  # line ends as they are
    except FileNotFoundError:
        return ""
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    raise SettingsError(f"{file}: {problem}")  # out here: the decoder's exception holds the content


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One writer at a time, or the second one would undo what the first one wrote."""
    try:
        folder = os.open(file.parent, os.O_RDONLY)
    except OSError as error:
        raise SettingsError(f"{file}: its folder cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
        os.fsync(folder)
    finally:
        os.close(folder)


def _replace(file: Path, text: str) -> None:
    """The whole file at once, with the mode and the owner that it has."""
    draft = file.with_name(f".{file.name}.new")
    try:
        try:
            was = file.stat()
        except FileNotFoundError:
            was = None
        draft.unlink(missing_ok=True)  # of a writer that was killed
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb") as out:
            if was is not None:
                os.fchown(out.fileno(), was.st_uid, was.st_gid)
                os.fchmod(out.fileno(), was.st_mode & 0o777)
            out.write(text.encode())
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
