"""Mapping files read from YAML: a mapping, or everything that is wrong with it at once, by file, line and field.

A problem may quote the file, which people write for others to read; no value that anyone answered is ever in one.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ingest.settings import SettingsError
from processors.mapping.file import Mapping
from processors.mapping.rules import broken_rules
from processors.mapping.wording import in_words, path_in_file
from processors.mapping.yaml_text import Place, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in a file that keeps it from being used. Line 0: the file as a whole."""

    file: str
    line: int
    field: str  # where, such as fields.phone.transform[1]; empty: the file as a whole
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.field, self.message) if part)


class BadMapping(SettingsError):
    """Mapping files cannot be used; the text says why, a line for each problem."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A mapping and the file it is from, with the line of each place in it."""

    mapping: Mapping
    file: str
    lines: Map[Place, int]

    def line(self, path: Place) -> int:
        """The line of what lies at the path, such as ("fields", "phone", "from", 0), or of the nearest above it."""
        return _line(self.lines, path)


def read_mapping(text: str, *, file: str) -> Loaded:
    """The mapping in a file's text; `file` is how problems name it. `BadMapping` with all that is wrong."""
    parsed = parse(text)

    def problem(path: Place, message: str, line: int | None = None) -> Problem:
        place = _line(parsed.lines, path) if line is None else line
        return Problem(file=file, line=place, field=dotted(path), message=message)

    if parsed.flaws:
        raise BadMapping(problem(path, message, line) for line, path, message in sorted(parsed.flaws, key=_by_line))
    if parsed.data is None:
        raise BadMapping([problem((), "is empty: `leadstream mapping new` writes a first one", 0)])
    try:
        mapping = Mapping.model_validate(parsed.data, by_alias=True, by_name=False)
    except ValidationError as error:
        found = [problem(path_in_file(said["loc"]), in_words(said)) for said in error.errors(include_url=False)]
        raise BadMapping(sorted(found, key=lambda each: each.line)) from None
    broken = [problem(path, message) for path, message in broken_rules(mapping)]
    if broken:
        raise BadMapping(sorted(broken, key=lambda each: each.line))
    return Loaded(mapping=mapping, file=file, lines=parsed.lines)


def read_file(path: Path, *, file: str | None = None) -> Loaded:
    """The mapping in a file, named as it was asked for. `BadMapping`, also where it cannot be read."""
    name = str(path) if file is None else file
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = f"cannot be read: {error.strerror or type(error).__name__}"
        raise BadMapping([Problem(file=name, line=0, field="", message=reason)]) from None
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadMapping([Problem(file=name, line=line, field="", message="is not UTF-8: save it as that")]) from None
    return read_mapping(text, file=name)


def read_files(paths: Map[str, Path]) -> list[Loaded]:
    """The mappings in files, by what problems name them. `BadMapping` with all that is wrong in all of them."""
    loaded: list[Loaded] = []
    problems: list[Problem] = []
    for name, path in paths.items():
        try:
            loaded.append(read_file(path, file=name))
        except BadMapping as bad:
            problems += bad.problems
    problems += _doubles(loaded)
    if problems:
        raise BadMapping(problems)
    return loaded


def mapping_files(folder: Path) -> list[Path]:
    """The mapping files of a folder, by their names; `OSError` where it cannot be listed.

    What begins with a dot is left out: editors and mounted volumes keep such files beside the real ones.
    """
    return sorted(
        path for path in folder.iterdir() if path.name.endswith((".yaml", ".yml")) and not path.name.startswith(".")
    )


def read_folder(folder: Path) -> list[Loaded]:
    """The mappings of a folder, by the names of their files. `BadMapping` with all that is wrong in all files."""
    try:
        paths = mapping_files(folder)
    except OSError as error:
        reason = f"cannot be read ({error.strerror}): is MAPPING_DIR right?"
        raise BadMapping([Problem(file=str(folder), line=0, field="", message=reason)]) from None
    return read_files({path.name: path for path in paths})


def _doubles(loaded: Iterable[Loaded]) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for each in loaded:
        other = first.setdefault(each.mapping.id, each.file)
        if other != each.file:
            message = f"{each.mapping.id} is what {other} makes already: another name, or another version"
            yield Problem(file=each.file, line=each.line(("target",)), field="target", message=message)


def _line(lines: Map[Place, int], path: Place) -> int:
    while path not in lines:
        path = path[:-1]
    return lines[path]


def dotted(path: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _by_line(flaw: tuple[int, Place, str]) -> int:
    return flaw[0]
