"""Files of leads in every shape they are known in: whatever people did to one, its rows are read or refused by line."""

import pytest

from ingest.export import Export, NotAnExport, Refused, Row, read_export

HEADER = (
    "id,created_time,ad_id,ad_name,adset_id,adset_name,campaign_id,campaign_name,form_id,form_name,is_organic,platform"
)
ASKED = "which_car?,full_name,phone_number"
MADE = "2026-11-24T02:19:51-05:00"
MADE_AT = 1795504791


def row(
    number: int = 1, *, asked: str = "jazz,Rosa,p:+4930123456", made: str = MADE, lead: str = "l:5545971704564154"
) -> str:
    """A row as Ads Manager writes it."""
    return f"{lead}{number},{made},ag:12021,Ad,as:12022,Set,c:12023,Campaign,f:12312,Form,false,fb,{asked}"


def table(*rows: str, asked: str = ASKED) -> str:
    return "\n".join([f"{HEADER},{asked}", *rows]) + "\n"


def opened(content: str | bytes) -> Export:
    return read_export([content.encode() if isinstance(content, str) else content])


def read(content: str | bytes) -> list[Row | Refused]:
    return list(opened(content))


def taken(content: str | bytes) -> list[Row]:
    """The rows of a file in which nothing is refused."""
    found = read(content)
    assert [each for each in found if isinstance(each, Refused)] == []
    return [each for each in found if isinstance(each, Row)]


def told(content: str | bytes) -> list[str | tuple[int, int, str]]:
    """Lead ids, and of what was refused the lines and the reason."""
    return [
        each.lead_id if isinstance(each, Row) else (each.line, each.last_line, each.reason) for each in read(content)
    ]


def test_a_row_is_a_lead_without_prefixes_and_in_unix_seconds() -> None:
    assert taken(table(row())) == [
        Row(
            line=2,
            last_line=2,
            lead_id="55459717045641541",
            created_time=MADE_AT,
            form_id="12312",
            form_name="Form",
            ad_id="12021",
            ad_name="Ad",
            adset_id="12022",
            adset_name="Set",
            campaign_id="12023",
            campaign_name="Campaign",
            is_organic=False,
            platform="fb",
            questions=(("which_car?", "jazz"), ("full_name", "Rosa"), ("phone_number", "+4930123456")),
            extras=(),
        )
    ]


def test_a_row_shows_no_answer_where_it_is_printed() -> None:
    (lead,) = taken(table(row(), asked=ASKED))
    assert "Rosa" not in repr(lead)


@pytest.mark.parametrize(
    ("encoding", "mark", "is_read_as"),
    [
        ("utf-8", b"", "utf-8"),
        ("utf-8", b"\xef\xbb\xbf", "utf-8"),
        ("utf-16-le", b"\xff\xfe", "utf-16-le"),
        ("utf-16-be", b"\xfe\xff", "utf-16-be"),
        ("utf-16-le", b"", "utf-16-le"),
        ("utf-16-be", b"", "utf-16-be"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_encoding_separator_and_line_end_is_read_alike(
    encoding: str, mark: bytes, is_read_as: str, delimiter: str, line_end: str
) -> None:
    plain = table(row(1, asked="jazz,Zoë 👍,p:+4930123456"), row(2))
    export = opened(mark + plain.replace(",", delimiter).replace("\n", line_end).encode(encoding))
    assert (export.encoding, export.delimiter) == (is_read_as, delimiter)
    assert list(export) == taken(plain)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_known_by_its_header_however_little_ascii_follows(encoding: str) -> None:
    content = table(row(asked=f"{'漢字' * 3000},,"), row(2)).encode(encoding)
    assert [lead.last_line for lead in taken(content)] == [2, 3]


def test_a_file_is_read_alike_however_it_is_cut() -> None:
    content = b"\xff\xfe" + table(row(1, asked='"a ""b""\r\nc",Zoë 👍,p:+4930123456'), row(2)).encode("utf-16-le")
    whole = taken(content)
    assert len(whole) == 2
    for size in (1, 2, 3, 7):
        assert list(read_export(content[at : at + size] for at in range(0, len(content), size))) == whole


def test_a_last_line_may_have_no_end_and_blank_lines_are_none() -> None:
    assert told(f"\n{table(row(1))}\n,,\n \n{row(2)}") == ["55459717045641541", "55459717045641542"]


def test_an_answer_may_span_lines_and_hold_separators_and_quotes() -> None:
    first, second = taken(table(row(1, asked='"one, ""two""\nthree\r\n",Rosa,'), row(2)))
    assert first.questions[0] == ("which_car?", 'one, "two"\nthree\r\n')
    assert (first.line, first.last_line) == (2, 4)
    assert second.line == 5


def test_a_question_may_be_in_any_language_and_have_anything_in_it() -> None:
    names = ('"बजट क्या है? (₹ 5,00,000)"', '"Which ""car""\nor bike?"', "wie groß ist ihr dach?")
    (lead,) = taken(table(row(asked="a,b,c"), asked=",".join(names)))
    assert lead.questions == (
        ("बजट क्या है? (₹ 5,00,000)", "a"),
        ('Which "car"\nor bike?', "b"),
        ("wie groß ist ihr dach?", "c"),
    )


def test_two_questions_of_one_name_are_both_kept() -> None:
    (lead,) = taken(table(row(asked="a,b,c"), asked="why?,why?,full_name"))
    assert lead.questions == (("why?", "a"), ("why?", "b"), ("full_name", "c"))


def test_an_empty_cell_is_no_answer() -> None:
    (lead,) = taken(table(row(asked=",Rosa,")))
    assert lead.questions == (("full_name", "Rosa"),)


def test_the_endpoint_writes_ids_without_prefix_and_yes_as_1() -> None:
    content = table("555,2026-11-24T07:19:51+0000,,,,,,,12312,Form,1,ig,jazz,Rosa,+4930123456").replace(",", "\t")
    (lead,) = taken(content)
    assert (lead.lead_id, lead.created_time, lead.ad_id, lead.is_organic) == ("555", MADE_AT, None, True)
    assert lead.questions[-1] == ("phone_number", "+4930123456")


@pytest.mark.parametrize(
    "made",
    [
        "2026-11-24T02:19:51-05:00",
        "2026-11-24T12:49:51+05:30",
        "2026-11-24T12:49:51+0530",
        "2026-11-24T07:19:51+0000",
        "2026-11-24T07:19:51Z",
        "2026-11-24 07:19:51 +0000",
        "2026-11-24T07:19:51.999+00:00",
        "1795504791",
    ],
)
def test_a_time_is_read_with_any_offset(made: str) -> None:
    (lead,) = taken(table(row(made=made)))
    assert lead.created_time == MADE_AT


def test_a_column_that_people_put_first_is_no_question() -> None:
    (lead,) = taken(f"Qualified,{HEADER},{ASKED}\nyes,{row()}\n")
    assert lead.extras == (("Qualified", "yes"),)
    assert lead.questions[0] == ("which_car?", "jazz")


def test_what_follows_the_status_is_a_question_only_by_a_standard_name() -> None:
    asked = f"{ASKED},lead_status,inbox_url,email,Notes of Tom"
    (lead,) = taken(table(row(asked="jazz,Rosa,,CREATED,https://x,r@example.com,call again"), asked=asked))
    assert lead.questions == (("which_car?", "jazz"), ("full_name", "Rosa"), ("email", "r@example.com"))
    assert lead.extras == (("lead_status", "CREATED"), ("inbox_url", "https://x"), ("Notes of Tom", "call again"))


def test_a_status_that_was_moved_to_the_front_ends_no_questions() -> None:
    (lead,) = taken(f"lead_status,{HEADER},{ASKED}\nCREATED,{row()}\n")
    assert lead.extras == (("lead_status", "CREATED"),)
    assert lead.questions[0] == ("which_car?", "jazz")


def test_names_are_known_in_any_case_and_with_spaces() -> None:
    content = table(row()).replace("id,created_time", "ID,Created Time").replace("is_organic", "Is organic")
    (lead,) = taken(content)
    assert (lead.created_time, lead.is_organic) == (MADE_AT, False)


def test_a_renamed_column_is_known_by_the_prefix_of_its_values() -> None:
    content = table(row()).replace("id,created_time,ad_id", "Lead number,When,Ad").replace("form_id", "Formular")
    (lead,) = taken(content)
    assert (lead.lead_id, lead.ad_id, lead.form_id, lead.created_time) == (
        "55459717045641541",
        "12021",
        "12312",
        MADE_AT,
    )


def test_a_prefix_is_believed_more_than_a_name() -> None:
    content = (
        table(row())
        .replace("ad_id", "CAMPAIGN_ID", 1)
        .replace("campaign_id", "ad_id")
        .replace("CAMPAIGN_ID", "campaign_id")
    )
    (lead,) = taken(content)
    assert (lead.ad_id, lead.campaign_id) == ("12021", "12023")


def test_of_two_columns_called_id_the_one_with_prefixes_is_the_leads() -> None:
    (lead,) = taken(table(row(asked="77,Rosa,")).replace("which_car?", "id"))
    assert lead.lead_id == "55459717045641541"
    assert lead.questions[0] == ("id", "77")


def test_a_second_column_of_a_known_name_is_a_question() -> None:
    (lead,) = taken(table(row(asked="steam,Rosa,")).replace("which_car?", "platform"))
    assert (lead.platform, lead.questions[0]) == ("fb", ("platform", "steam"))


def test_an_appointment_is_not_taken_for_the_time_of_the_lead() -> None:
    content = table(row(asked=f"{MADE},Rosa,")).replace("created_time", "when").replace(MADE, "yesterday", 1)
    with pytest.raises(NotAnExport, match="no column holds the times of leads"):
        opened(content)


def test_an_id_that_may_not_be_read_is_a_sentence_of_metas_and_kept() -> None:
    sentence = "ag:c:You do not have enough permission"
    (lead,) = taken(table(row().replace("ag:12021", sentence)))
    assert lead.ad_id is None
    assert lead.extras == (("ad_id", sentence),)


def test_a_zero_or_nothing_is_no_id() -> None:
    (lead,) = taken(table(row().replace("ag:12021", "0").replace("as:12022", " ")))
    assert (lead.ad_id, lead.adset_id, lead.extras) == (None, None, ())


def test_an_answer_that_looks_like_an_id_does_not_make_a_question_a_column_of_ids() -> None:
    content = "id,created_time,class?\n" + "".join(f"{n},1795504791,{cell}\n" for n, cell in enumerate("abc", 1))
    assert [lead.questions for lead in taken(content.replace(",c\n", ",c:5\n"))] == [
        (("class?", "a"),),
        (("class?", "b"),),
        (("class?", "c:5"),),
    ]


def test_a_column_without_a_name_is_no_question() -> None:
    (lead,) = taken(table(row(asked="jazz,Rosa,note"), asked="which_car?,,x").replace(",x\n", ",full_name\n"))
    assert lead.extras == (("", "Rosa"),)
    assert lead.questions == (("which_car?", "jazz"), ("full_name", "note"))


def test_a_name_full_of_another_separator_misleads_nobody() -> None:
    export = opened('id,created_time,"red;green;blue;or;none"\n1,1795504791,red\n')
    assert export.delimiter == ","
    assert [type(each) for each in export] == [Row]


def test_what_is_neither_yes_nor_no_is_kept() -> None:
    (lead,) = taken(table(row().replace("false", "FALSCH")))
    assert lead.is_organic is None
    assert lead.extras == (("is_organic", "FALSCH"),)


def test_columns_without_a_name_at_the_end_may_be_longer_or_shorter() -> None:
    content = f"{HEADER},{ASKED},,\n{row(1)}\n{row(2)},,,,\n"
    assert told(content) == ["55459717045641541", "55459717045641542"]


def test_a_test_lead_is_a_row_like_any_other() -> None:
    dummy = "<test lead: dummy data for full_name>"
    (lead,) = taken(table(row(asked=f"x,{dummy},p:<test lead: dummy data for phone_number>")))
    assert lead.questions[1:] == (("full_name", dummy), ("phone_number", "<test lead: dummy data for phone_number>"))


@pytest.mark.parametrize("phone", ["+4930123456", "(11) 98765-5116", "030/123456", "911.12.34"])
def test_a_phone_comes_without_its_prefix(phone: str) -> None:
    assert taken(table(row(asked=f"jazz,Rosa,p:{phone}")))[0].questions[-1] == ("phone_number", phone)


@pytest.mark.parametrize("answer", ["p:me", "p: 12345", "p:", "p:1", "my p:+4930123456", "l:123456"])
def test_an_answer_that_only_looks_prefixed_stays_as_it_is(answer: str) -> None:
    assert taken(table(row(asked=f"jazz,Rosa,{answer}")))[0].questions[-1] == ("phone_number", answer)


def test_a_header_that_comes_again_is_passed_over() -> None:
    renamed = table(row(1)).replace("id,created_time", "Lead,created_time")
    assert told(renamed + "\ufeff" + renamed.replace("15641541", "15641549")) == ["55459717045641541"] * 2
    assert told(table(row(1)) + table(row(2))) == ["55459717045641541", "55459717045641542"]


def test_files_of_two_forms_put_together_are_each_read_by_their_own_header() -> None:
    first, second = taken(table(row(1)) + table(row(2, asked="a,b"), asked="colour?,email"))
    assert [name for name, _ in first.questions] == ["which_car?", "full_name", "phone_number"]
    assert second.questions == (("colour?", "a"), ("email", "b"))


def test_the_columns_of_a_file_are_not_judged_by_those_of_the_next() -> None:
    first = f"Lead no.,created_time,full_name\nl:1,{MADE_AT},Ann\n"
    second = "full_name,id,created_time\n" + "".join(f"Bo,l:{n},{MADE_AT}\n" for n in (2, 3, 4))
    assert told(first + second) == ["1", "2", "3", "4"]


def test_a_second_table_that_cannot_be_read_ends_the_reading_with_its_line() -> None:
    second = "id,id,created_time\n1,2,1795504791\n"
    assert told(table(row(1)) + second) == ["55459717045641541", (3, 3, "other-header")]


def test_a_file_with_a_header_only_has_no_rows() -> None:
    assert read(table()) == []


def test_what_an_export_says_of_itself() -> None:
    export = opened(f"Qualified,{HEADER},{ASKED},lead_status,\n")
    assert export.columns[0] == "Qualified"
    assert export.columns[-1] == "lead_status"
    assert export.questions == ["which_car?", "full_name", "phone_number"]
