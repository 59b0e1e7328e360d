"""Tables and the chart of the bench: medians with their spread, beside ours, and a reason where there is none."""

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from tests.bench.chart import as_svg
from tests.bench.contender import Contender, Kind
from tests.bench.results import Chapter, Document, aligned, as_markdown, chapter, lines, table
from tests.bench.rounds import Absent, Measurement, Row
from tests.bench.running import Command
from tests.bench.suite import Column, Options, Suite
from tests.bench.world import World

SVG = "{http://www.w3.org/2000/svg}"
SMALL, LOST = "1 change", "broker killed"


def nothing(world: World, options: Options) -> Iterator[Row]:
    yield from ()


SUITE = Suite(
    name="door",
    title="Door",
    about="\nHow it is measured.\n",
    columns=(
        Column(figure="cpu", title="CPU ms", better="less", digits=3, factor=1000),
        Column(figure="rate", title="changes/s", better="more"),
        Column(figure="lost", title="lost", better=""),
    ),
    run=nothing,
    charted=SMALL,
)


def contender(name: str, kind: Kind = "peer") -> Contender:
    command = Command(arguments=("true",))
    return Contender(
        key=name, name=name, kind=kind, made_of=f"{name} 1.0", promises="acks=all", prepare=lambda _: command
    )


OURS, GO, NODE, ALONE = contender("ours", "ours"), contender("Go"), contender("Node"), contender("HMAC alone", "limit")


def drawn(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314  our own


def told(*rows: Row) -> Chapter:
    return chapter(SUITE, rows, machine={"cores": "2"}, rounds=3)


def rounds_of(by: Contender, *cpu: float, remark: str = "") -> Iterator[Measurement]:
    for number, each in enumerate(cpu, 1):
        figures = {"cpu": each / 1000, "rate": 1500.0}
        yield Measurement(case=SMALL, by=by, round=number, figures=figures, remark=remark)


RACED: tuple[Row, ...] = (
    *rounds_of(ALONE, 0.01),
    *rounds_of(NODE, 0.3, 0.2, 0.4),
    *rounds_of(OURS, 0.1, 0.11, 0.09),
    *rounds_of(GO, 0.05),
)


def test_a_table_has_ours_first_then_peers_from_the_best_on_then_limits() -> None:
    assert [line["contender"] for line in lines(told(*RACED), SMALL)] == ["ours", "Go", "Node", "HMAC alone"]


def test_ours_stay_in_the_order_of_the_suite() -> None:
    one, two = contender("1 worker", "ours"), contender("2 workers", "ours")
    found = lines(told(*rounds_of(one, 0.3), *rounds_of(two, 0.1)), SMALL)
    assert [line["contender"] for line in found] == ["1 worker", "2 workers"]


def test_a_table_tells_medians_with_their_spread_and_how_many_times_ours_they_are() -> None:
    assert table(told(*RACED), SMALL) == [
        "|              |                 CPU ms | to ours | changes/s |",
        "| ------------ | ---------------------: | ------: | --------: |",
        "| **ours**     | 0.100 (0.090 to 0.110) |  1.00 x |     1,500 |",
        "| Go           |                  0.050 |  0.50 x |     1,500 |",
        "| Node         | 0.300 (0.200 to 0.400) |  3.00 x |     1,500 |",
        "| _HMAC alone_ |                  0.010 |  0.10 x |     1,500 |",
    ]


def test_where_more_is_better_the_best_peer_has_the_most() -> None:
    by_rate = Suite(name="", title="", about="", columns=SUITE.columns[1:], run=nothing)
    rows = [Measurement(case=SMALL, by=by, round=1, figures={"rate": rate}) for by, rate in ((GO, 9.0), (NODE, 10.0))]
    found = lines(chapter(by_rate, rows, machine={}, rounds=1), SMALL)
    assert [line["contender"] for line in found] == ["Node", "Go"]


def test_who_cannot_be_built_is_a_row_that_says_why_in_one_line() -> None:
    rows = table(told(*rounds_of(OURS, 0.1), Absent(by=GO, why="needs go | or more\nand a log")), SMALL)
    assert rows[-1].split(" | ")[1:] == ["not raced", "       ", "         ", "needs go \\| or more |"]


def test_who_breaks_later_keeps_what_was_measured_with_a_remark() -> None:
    ended = Absent(case=SMALL, by=GO, why="ended")
    found = told(*rounds_of(OURS, 0.1), *rounds_of(GO, 0.05, remark="3 refused"), ended)
    assert [line["remark"] for line in lines(found, SMALL)] == ["", "3 refused; ended"]


def test_a_case_has_the_columns_that_were_measured_in_it() -> None:
    lost = [Measurement(case=LOST, by=by, round=1, figures={"lost": 0}) for by in (OURS, GO)]
    assert table(told(*RACED, *lost), LOST)[0] == "|          | lost |"


def test_who_lost_is_not_raced_but_is_seen_losing() -> None:
    losing = Measurement(case=LOST, by=GO, round=1, figures={"lost": 21})
    found = told(*rounds_of(OURS, 0.1), losing, Absent(by=GO, why="21 are lost"))
    assert table(found, LOST)[-1] == "| Go  |   21 |"
    assert "not raced" in table(found, SMALL)[-1]


def test_a_chapter_says_who_was_raced_on_what() -> None:
    page = as_markdown(Document(door=told(*RACED)))
    assert {"## Door", "How it is measured.", f"### {SMALL}", "- Go (peer): Go 1.0; acks=all", "3 rounds. cores 2"} <= {
        *page.splitlines()
    }


def test_texts_begin_on_the_left_and_figures_end_on_the_right() -> None:
    assert aligned([("", "n", "why"), ("a", "1,000", "it ended")], texts=(0, 2)) == [
        "|     |     n | why      |",
        "| --- | ----: | -------- |",
        "| a   | 1,000 | it ended |",
    ]


def test_a_chart_has_a_bar_for_each_contender_as_long_as_its_median() -> None:
    drawing = drawn(as_svg(told(*RACED)))
    bars = list(drawing.iter(f"{SVG}rect"))
    assert [bar.get("class") for bar in bars] == ["bar ours", "bar peer", "bar peer", "bar limit"]
    ours, go, node, alone = (float(bar.get("width", 0)) for bar in bars)
    assert [go / ours, node / ours, alone / ours] == pytest.approx([0.5, 3.0, 0.1], abs=0.01)
    written = ["".join(each.itertext()) for each in drawing.iter(f"{SVG}text")]
    assert written[:2] == ["Door: CPU ms", "1 change; less is better"]
    assert written[2:] == ["ours", "0.100", "Go", "0.050", "Node", "0.300", "HMAC alone", "0.010"]


def test_a_chart_runs_no_script_and_fetches_nothing() -> None:
    svg = as_svg(told(*RACED)).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not any(word in svg for word in ("<script", "http", "@import", "url("))


def test_a_name_with_markup_is_text_in_a_chart() -> None:
    drawing = drawn(as_svg(told(*rounds_of(contender('<b> & "c"', "ours"), 0.1))))
    assert '<b> & "c"' in "".join(drawing.itertext())


def test_there_is_no_chart_where_nobody_was_raced() -> None:
    assert as_svg(told(Absent(by=GO, why="needs go"))) == ""
