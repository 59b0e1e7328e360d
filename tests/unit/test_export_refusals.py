"""What is no file of leads, and what is no row of one: each is told by reason and lines, and costs only itself."""

import tracemalloc
import zipfile
from io import BytesIO

import pytest

from ingest.export import FILE_REASONS, REASONS, NotAnExport, Refused, Row, read_export

HEADER = "id,created_time,full_name,city\n"
SECRET = "Rosa-of-Zamosc"


def row(number: int, rest: str = "Ann,Bonn") -> str:
    return f"l:100000{number},2026-11-24T07:19:51Z,{rest}\n"


def told(content: str | bytes) -> list[str | tuple[int, int, str]]:
    """The numbers of leads, and of what was refused the lines and the reason."""
    chunk = content.encode() if isinstance(content, str) else content
    return [
        each.lead_id.removeprefix("100000") if isinstance(each, Row) else (each.line, each.last_line, each.reason)
        for each in read_export([chunk])
    ]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (",2026-11-24T07:19:51Z,a,b", "no-id"),
        ("unknown,2026-11-24T07:19:51Z,a,b", "not-an-id"),
        ("0,2026-11-24T07:19:51Z,a,b", "not-an-id"),
        ("ag:123,2026-11-24T07:19:51Z,a,b", "not-an-id"),
        ("1.23E+15,2026-11-24T07:19:51Z,a,b", "rounded-id"),
        ('"1,23E+15",2026-11-24T07:19:51Z,a,b', "rounded-id"),
        ("5545971704564154.0,2026-11-24T07:19:51Z,a,b", "rounded-id"),
        ("l:1,,a,b", "no-time"),
        ("l:1,yesterday,a,b", "not-a-time"),
        ("l:1,11/24/2026 7:19,a,b", "not-a-time"),
        ("l:1,2026-13-24T07:19:51Z,a,b", "not-a-time"),
        ("l:1,0001-01-01T00:00:00+05:00,a,b", "not-a-time"),
        ("l:1,2026-11-24T07:19:51,a,b", "time-without-offset"),
        ("l:1,2026-11-24 07:19,a,b", "time-without-offset"),
        ("l:1,2026-11-24T07:19:51Z,a", "too-few-cells"),
        ("l:1,2026-11-24T07:19:51Z,a,b,c", "too-many-cells"),
        ("l:1,2026-11-24T07:19:51Z,a,b\0", "null-byte"),
        ('l:1,2026-11-24T07:19:51Z,"Ann" B,b', "broken-quoting"),
        (f"l:1,2026-11-24T07:19:51Z,{'x' * 100_001},b", "too-long"),
    ],
)
def test_a_row_that_cannot_be_taken_is_refused_alone(broken: str, reason: str) -> None:
    assert told(f"{HEADER}{row(2)}{broken}\n{row(4)}") == ["2", (3, 3, reason), "4"]


def test_bytes_that_are_no_text_cost_their_row_alone() -> None:
    latin = row(3, "Zoë,Köln").encode("latin-1")
    assert told(HEADER.encode() + latin + row(4, "Zoë,Köln").encode()) == [(2, 2, "not-text"), "4"]


def test_half_a_character_in_utf_16_costs_its_row_alone() -> None:
    half = row(3, "Z\ud83d,Köln").encode("utf-16-le", "surrogatepass")
    content = b"\xff\xfe" + HEADER.encode("utf-16-le") + half + row(4).encode("utf-16-le")
    assert told(content) == [(2, 2, "not-text"), "4"]


def test_a_file_that_is_cut_within_a_character_tells_so() -> None:
    content = b"\xff\xfe" + f"{HEADER}{row(2)}{row(3)}".rstrip().encode("utf-16-le")[:-1]
    assert told(content) == ["2", (3, 3, "cut-off")]


def test_a_file_that_is_cut_within_a_row_refuses_what_is_left_of_it() -> None:
    assert told(f"{HEADER}{row(2)}l:1000003,2026-11-24T07:19:51Z,An") == ["2", (3, 3, "too-few-cells")]


def test_a_quote_that_is_never_closed_costs_one_row() -> None:
    content = f"{HEADER}{row(2)}{row(3, chr(34) + 'Ann,Bonn')}{row(4)}{row(5)}"
    assert told(content) == ["2", (3, 3, "broken-quoting"), "4", "5"]


def test_a_quote_that_is_never_closed_in_an_answer_of_several_lines_costs_those_lines() -> None:
    content = f"{HEADER}{row(2)}{row(3, chr(34) + 'Ann')}my street 7\n\nBonn\n{row(7)}"
    assert told(content) == ["2", (3, 6, "broken-quoting"), "7"]


def test_a_missing_quote_never_hides_a_lead_in_an_answer_of_another() -> None:
    """Quotes that are lost can leave something that reads well: here the second lead within the name of the first."""
    content = f"{HEADER}{row(2, chr(34) + 'Ann')}{row(3, '5 foot 10' + chr(34) + ',Bonn')}{row(4)}"
    assert told(content) == [(2, 3, "row-in-a-cell"), "4"]


def test_what_a_person_wrote_is_never_taken_for_a_row() -> None:
    """An answer may hold a line that looks like a row: no lead is made of it, and its lines are told to a person."""
    forged = '"x\nl:666,2026-11-24T07:19:51Z,Eve,Bonn\n"'
    assert told(f"{HEADER}{row(2, forged + ',Bonn')}{row(5)}") == [(2, 4, "row-in-a-cell"), "5"]


@pytest.mark.parametrize(
    "endless",
    [[b"x" * 999 + b"\n"] * 5_000, [b"x" * 65_536] * 80, [b"\n" * 4096] * 50],
    ids=["lines", "one line", "empty lines"],
)
def test_an_endless_cell_takes_no_memory(endless: list[bytes]) -> None:
    """Megabytes after a quote that is never closed cost one row, and the memory of the longest row there may be."""
    chunks = [HEADER.encode(), row(2, '"Ann').encode(), *endless, b"\n", row(9).encode()]
    tracemalloc.start()
    found = list(read_export(chunks))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    lines = b"".join(endless).count(b"\n")
    refused, lead = found
    assert isinstance(refused, Refused)
    assert (refused.line, refused.last_line) == (2, lines + 3)
    assert isinstance(lead, Row)
    assert (lead.line, lead.lead_id) == (lines + 4, "1000009")
    assert peak < 3_000_000


def workbook() -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as book:
        book.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\xff\xfe", "empty"),
        (b"\n \r\n\t\n", "empty"),
        (b"<!DOCTYPE html><html><title>Log in to Facebook</title>", "web-page"),
        (b'\n\n<html lang="en">', "web-page"),
        (b'{"error":{"message":"Invalid token","code":190}}', "json"),
        (workbook(), "spreadsheet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "spreadsheet"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"%PDF-1.7\n", "not-text"),
        (b"id,created_time,\xff\xfe\n", "not-text"),
        (b"id,created_time,caf\xe9\n", "not-text"),
        (b'id,created_time,"name\nl:1,2026-11-24T07:19:51Z,x', "broken-header"),
        (b"id,created_time," + b"x" * 100_001, "broken-header"),
        (row(1).encode(), "no-header"),
        (b"name,created_time\nAnn,1795504791\n", "no-id"),
        (b"id,created_time\nag:123,1795504791\n", "no-id"),
        (b"date,amount\n2026-01-01,5\n", "no-id"),
        (b"id,id,created_time\n123,456,1795504791\n", "several-ids"),
        (b"id,lead_id,created_time\nl:123,l:456,1795504791\n", "several-ids"),
        (b"id,full_name\nl:1,Ann\n", "no-time"),
        (b"id,created_time\n" + b"".join(b"554597170456%d00,1795504791\n" % n for n in (412, 973, 665)), "rounded-ids"),
    ],
)
def test_a_file_that_is_no_export_is_told_what_it_is(content: bytes, reason: str) -> None:
    with pytest.raises(NotAnExport) as refused:
        read_export([content])
    assert refused.value.reason == reason
    assert str(refused.value) == FILE_REASONS[refused.value.reason]


def test_ids_that_end_in_zeros_by_chance_are_no_rounded_ones() -> None:
    assert told("id,created_time\n" + "5545971704564150,1795504791\n" * 9) == ["5545971704564150"] * 9
    content = "id,created_time\n5545971704564100,1795504791\n55459717045600000,1795504791\n123456,1795504791\n"
    assert told(content.replace("5600000", "5600009")) == ["5545971704564100", "55459717045600009", "123456"]


def test_a_second_table_is_gone_on_with_after_a_broken_row_too() -> None:
    second = "city,lead_id,created_time\n" + "Bonn,77,1795504791\n" * 60
    broken = '"Bonn,78,1795504791\nBonn,79,1795504791\n'
    assert told(f"{HEADER}{row(2)}{second}{broken}") == ["2", *["77"] * 60, (64, 64, "broken-quoting"), "79"]


def test_every_reason_has_a_sentence_that_says_what_to_do_or_what_it_is() -> None:
    for sentence in [*FILE_REASONS.values(), *REASONS.values()]:
        assert len(sentence) > 30
        assert sentence == sentence.strip().rstrip(".")


def test_no_refusal_repeats_what_stood_in_the_file() -> None:
    broken = [
        f"{SECRET},2026-11-24T07:19:51Z,a,b\n",
        f"l:1,{SECRET},a,b\n",
        f"l:1,2026-11-24T07:19:51Z,{SECRET}\n",
        f'l:1,2026-11-24T07:19:51Z,"{SECRET}" x,b\n',
        f"l:1,2026-11-24T07:19:51Z,{SECRET}\0,b\n",
    ]
    found = list(read_export([(HEADER + "".join(broken)).encode()]))
    assert len(found) == len(broken)
    assert [
        each for each in found if SECRET in repr(each) or (isinstance(each, Refused) and SECRET in each.sentence)
    ] == []


def test_an_error_of_a_file_holds_nothing_of_it_in_its_chain() -> None:
    with pytest.raises(NotAnExport) as refused:
        read_export([f"{SECRET}\n".encode("utf-16-le") + b"x"])
    error: BaseException | None = refused.value
    while error is not None:
        assert SECRET not in repr(error)
        assert SECRET.encode() not in getattr(error, "object", b"")
        error = error.__context__
