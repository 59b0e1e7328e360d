"""Whose tokens we hold: META_PAGES_FILE, read again when it changes, and never replaced by a file that is broken.

    pages:
      "106777055130587":
        token: EAAG...          # or token_file: a path, as containers mount secrets, relative to this file
        app_id: "1234567890"    # the app the token was made for; left out where there is one app

A file that is broken at the start is a SettingsError. One that breaks later leaves the pages as they were, and is told
by one log line and a gauge. Sentences name file, page and field and quote no value.
"""

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from ingest import telemetry
from ingest.settings import SettingsError

LOOK_EVERY = 1.0  # seconds between two looks at the files

_DEEPEST = 100  # lists and maps in one another: three in a file as it should be
_Id = Annotated[str, Field(pattern=r"^[0-9]{1,32}$")]
_Stamp = tuple[int, ...] | None  # None where the file cannot be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAccess:
    """What opens a page. `app_id` is None where there is one app only."""

    page_id: str
    token: SecretStr
    app_id: str | None = None

    def __hash__(self) -> int:
        # What is known of a page is looked up several times for each of its leads.
        return hash(self.page_id)


class Pages:
    """The pages we may read, as the file has them now. Reads small local files; `clock` is rising seconds."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """SettingsError where the file cannot be used as it is."""
        self._path = path
        self._clock = clock
        self._looked_at = clock()
        reading = _Reading(path)
        self._pages = reading.pages()
        self._stamps = reading.stamps
        self._changing: dict[Path, _Stamp] | None = None
        telemetry.PAGES_BROKEN.set(0)

    def get(self, page_id: str) -> PageAccess | None:
        """What opens a page; None where we hold nothing for it, which its caller decides about."""
        self._look()
        return self._pages.get(page_id)

    def all(self) -> Collection[PageAccess]:
        """Every page we hold something for."""
        self._look()
        return self._pages.values()

    def _look(self) -> None:
        if self._clock() - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = self._clock()
        seen = {file: _stamp(file) for file in self._stamps}
        if seen == self._stamps:
            self._changing = None
        elif seen != self._changing:
            # Half a file can be valid YAML with half the pages: it is read once it has held still from look to look.
            self._changing = seen
        else:
            self._read_again()

    def _read_again(self) -> None:
        reading = _Reading(self._path)
        try:
            self._pages = reading.pages()
        except SettingsError as error:
            telemetry.PAGES_BROKEN.set(1)
            telemetry.log("error", "pages.broken", reason=str(error))
        else:
            telemetry.PAGES_BROKEN.set(0)
            telemetry.log("info", "pages.read", pages=len(self._pages))
        self._stamps = reading.stamps
        self._changing = None


class _Reading:
    """One reading of the file and of the token files it names, with a stamp of each from before it was read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.stamps: dict[Path, _Stamp] = {}

    def pages(self) -> dict[str, PageAccess]:
        entries = read_entries(self._path, self._text(self._path, str(self._path)))
        return {
            page_id: PageAccess(page_id=page_id, token=self._token(page_id, entry), app_id=entry.app_id)
            for page_id, entry in entries.items()
        }

    def _token(self, page_id: str, entry: "Entry") -> SecretStr:
        if entry.token is not None:
            return entry.token
        assert entry.token_file is not None  # noqa: S101  the entry was validated to have one of the two
        where = f"{self._path}: page {page_id}: token_file"
        token = self._text(self._path.parent / entry.token_file, where).strip()
        if not _is_token(token):
            raise SettingsError(f"{where}: the file must hold a token and nothing else")
        return SecretStr(token)

    def _text(self, file: Path, where: str) -> str:
        self.stamps[file] = _stamp(file)
        problem = "is not UTF-8 text"
        try:
            return file.read_text(encoding="utf-8")
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            pass
        except ValueError:
            problem = "is no path"
        raise SettingsError(f"{where}: {problem}")  # out here: the decoder's exception holds the content


class Entry(BaseModel):
    """A page in the file, as it is written there."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    token: SecretStr | None = None
    token_file: Path | None = None
    app_id: _Id | None = None

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _is_token(token.get_secret_value()):
            raise ValueError("a token has no spaces and is not empty")
        return token

    @model_validator(mode="after")
    def _has_one_token(self) -> Self:
        if (self.token is None) == (self.token_file is None):
            raise ValueError("give either token or token_file")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    pages: dict[_Id, Entry]


class _AsWritten(yaml.constructor.BaseConstructor):
    """Every scalar is the text that was written, so that no id passes through a number; a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            raise yaml.constructor.ConstructorError(problem_mark=node.start_mark)
        return mapping


class _InPython(_AsWritten, yaml.BaseLoader):
    pass


class _InC(_AsWritten, getattr(yaml, "CBaseLoader", yaml.BaseLoader)):  # type: ignore[misc]  # PyYAML may be without it
    pass


def _loaded(text: str) -> object:
    try:
        # In Python ten thousand pages take seconds, in which nothing else is done. But what C puts together it does on
        # the stack, and ends the process where that is over; what it only reads may be as deep as it likes.
        if _is_shallow(text):
            return yaml.load(text, Loader=_InC)  # noqa: S506  it makes text, lists and maps
    except yaml.YAMLError:
        pass  # Python says better where the fault is
    return yaml.load(text, Loader=_InPython)  # noqa: S506  as above


def _is_shallow(text: str) -> bool:
    depth = 0
    for event in yaml.parse(text, Loader=_InC):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            return False
    return True


def read_entries(path: Path, text: str) -> dict[str, Entry]:
    """The pages in the file's text; SettingsError, which names `path`, where it cannot be used as it is."""
    problems = ["is not what the README shows"]
    try:
        return _File.model_validate(_loaded(text)).pages
    except ValidationError as error:
        problems = [_sentence(each["loc"], each["msg"]) for each in error.errors(include_input=False)]
    except yaml.MarkedYAMLError as error:
        # Its text quotes the line, and the line may hold a token.
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problems = [f"line {line} is not YAML, or what begins there has the same key twice"]
    except (yaml.YAMLError, RecursionError):
        problems = ["is not YAML"]
    # Out here, where the validator's exception, which holds the values, is no context of ours.
    raise SettingsError("\n".join(f"{path}: {problem}" for problem in problems))


def _sentence(where: tuple[int | str, ...], message: str) -> str:
    return ": ".join([*(_shown(str(part)) for part in where if part != "[key]"), message])


def _shown(key: str) -> str:
    # Any other key may be anything, a token too.
    if key.isdecimal():
        return f"page {key}"
    return key if key == "pages" or key in Entry.model_fields else "a key that is neither a page id nor a field"


def _is_token(text: str) -> bool:
    return re.fullmatch(r"[!-~]+", text, re.ASCII) is not None


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()  # follows links, so a swapped link is another inode
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
