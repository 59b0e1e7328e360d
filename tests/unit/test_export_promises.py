"""What holds for every file of leads: it is read back as it was written, no bytes break the reader, and no lead is lost
without a word."""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from ingest.export import NotAnExport, Refused, Row, answer_of, read_export
from ingest.export.columns import known_names

MADE_AT = 1795504791
HEADER = "id,created_time,name,city"

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")
cells = st.one_of(st.text(characters, max_size=20), st.text('",;\t\r\n ab1:', max_size=8))
names = cells.filter(lambda name: bool(name.strip()) and not known_names([name]))
cuts = st.integers(min_value=1, max_value=50)
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "utf-16", "utf-16-be"])


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    questions = draw(st.lists(names, max_size=5))
    rows = st.lists(cells, min_size=len(questions), max_size=len(questions))
    return questions, draw(st.lists(rows, max_size=6))


def cut(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def written(rows: Sequence[Sequence[str]], delimiter: str, line_end: str) -> str:
    out = StringIO()
    # Before 3.13 csv leaves a CR or LF that is not its line end without quotes, so that no reader can tell them apart.
    writer = csv.writer(
        out,
        delimiter=delimiter,
        lineterminator=line_end,
        quoting=csv.QUOTE_MINIMAL if line_end == "\r\n" else csv.QUOTE_ALL,
    )
    writer.writerows(rows)
    return out.getvalue()


def read(content: bytes, size: int = 4096) -> list[Row | Refused]:
    """What is read of any bytes; what is no file of leads has no rows."""
    try:
        return list(read_export(cut(content, size)))
    except NotAnExport:
        return []


@given(tables(), st.sampled_from("\t,;"), st.sampled_from(["\n", "\r\n", "\r"]), encodings, cuts)
def test_what_was_written_is_read(
    table: tuple[list[str], list[list[str]]], delimiter: str, line_end: str, encoding: str, size: int
) -> None:
    questions, answers = table
    header = ["id", "created_time", "form_id", *questions]
    rows = [[f"l:{n}", str(MADE_AT), "f:12312", *each] for n, each in enumerate(answers, start=1)]
    content = written([header, *rows], delimiter, line_end)
    found = list(read_export(cut(content.encode(encoding), size)))
    assert [each for each in found if isinstance(each, Refused)] == []
    assert [(each.lead_id, each.form_id, list(each.questions)) for each in found if isinstance(each, Row)] == [
        (str(n), "12312", [pair for pair in zip(questions, each, strict=True) if pair[1]])
        for n, each in enumerate(answers, start=1)
    ]
    lines = [each.line for each in found]
    assert lines == sorted(set(lines))
    for each in found:
        assert isinstance(each, Row)
        assert answer_of(each).encode()


@given(st.binary(max_size=300), cuts)
def test_no_bytes_break_the_reader(content: bytes, size: int) -> None:
    read(content, size)


@given(st.binary(max_size=300), cuts, st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-16-be"]))
def test_no_bytes_behind_a_header_break_the_reader(content: bytes, size: int, encoding: str) -> None:
    read(f"{HEADER}\n".encode(encoding) + content, size)


def row(number: int) -> str:
    return f"l:{number},{MADE_AT},Ann,Bonn"


@given(
    st.lists(st.one_of(cells, st.text('",\nlb:1', max_size=12)), min_size=1, max_size=4),
    st.sampled_from(["\n", "\r\n"]),
)
@example(broken=['l:9,1795504791,"Ann', '5",Bonn'], line_end="\n")
@example(broken=['"', '"'], line_end="\n")
def test_no_lead_is_lost_without_a_word(broken: list[str], line_end: str) -> None:
    """Whatever stands between them, each row is taken, or a refusal covers its line."""
    lines = [HEADER]
    at: dict[str, int] = {}
    for number, between in enumerate([*broken, ""], start=100_000):
        lines.append(row(number))
        at[str(number)] = len(physical(lines, line_end))
        lines.append(between)
    found = read(line_end.join(lines).encode())
    covered = {line for each in found if isinstance(each, Refused) for line in range(each.line, each.last_line + 1)}
    taken = {each.lead_id: each.line for each in found if isinstance(each, Row)}
    assert [number for number, line in at.items() if taken.get(number) != line and line not in covered] == []
    for before, after in pairwise(found):
        assert before.line <= before.last_line < after.line


def physical(lines: list[str], line_end: str) -> list[str]:
    """Lines as a text editor counts them."""
    return StringIO(line_end.join(lines), newline=None).read().split("\n")
