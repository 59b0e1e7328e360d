"""What a person pastes is an export of a form, or a sentence that says what it should be and quotes nothing."""

import pytest

from ingest.meta.graph import BadAddress, FormExport, ask_export, read_address

ASKED = "https://www.facebook.com/ads/lead_gen/export_csv/"
TOKEN = "EAAGplantedtoken"


def test_an_address_says_the_form_and_the_dates() -> None:
    address = f"{ASKED}?id=2381764112176533&type=form&from_date=1482698431&to_date=1482784831"
    wanted = read_address(address, asked=ASKED)
    assert wanted == FormExport(form_id="2381764112176533", since=1482698431, until=1482784831)
    assert ask_export(wanted).params == (
        ("id", "2381764112176533"),
        ("type", "form"),
        ("from_date", "1482698431"),
        ("to_date", "1482784831"),
    )


@pytest.mark.parametrize(
    "address",
    [
        f"{ASKED}?id=12&type=form&from_date=&to_date=",
        f"{ASKED}?id=12",
        "https://www.facebook.com/ads/lead_gen/export_csv?id=12&type=form",
        "http://127.0.0.1:8099/double/?id=12",
    ],
)
def test_what_is_left_out_is_metas_to_choose(address: str) -> None:
    wanted = read_address(address, asked="http://127.0.0.1:8099/double")
    assert wanted == FormExport(form_id="12")
    assert ask_export(wanted).params == (("id", "12"), ("type", "form"))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"{ASKED}?id=12&access_token={TOKEN}", "holds a token"),
        (f"{ASKED}?id=12&ACCESS_TOKEN={TOKEN}", "holds a token"),
        (f"{ASKED}?id=12#access_token={TOKEN}", "holds a token"),
        (f"https://example.org/?access_token={TOKEN}", "holds a token"),
        (f"{ASKED}?id=12&appsecret_proof={TOKEN}", "holds a token"),
        (f"{ASKED}?id=12&{TOKEN}", "leave out everything else"),
        (f"{ASKED}?id=12#{TOKEN}", "leave out everything else"),
        (f"https://{TOKEN}:x@www.facebook.com/ads/lead_gen/export_csv/?id=12", "leave out everything else"),
        (f"{ASKED}?id=12&id=13", "each once"),
        (f"{ASKED}?id={TOKEN}", "names no form"),
        (ASKED, "names no form"),
        (f"{ASKED}?id=12&type={TOKEN}", "another type"),
        (f"{ASKED}?id=12&from_date={TOKEN}", "from_date has to be unix seconds"),
        (f"{ASKED}?id=12&to_date=2026-11-24", "to_date has to be unix seconds"),
        (f"https://example.org/ads/lead_gen/export_csv/?id={TOKEN}", "no address of a form's leads"),
        (f"https://www.facebook.com/{TOKEN}?id=12", "no address of a form's leads"),
        (f"https://[{TOKEN}?id=12", "cannot be read"),
        (f"{ASKED}?" + "&".join(f"id={TOKEN}" for _ in range(11)), "cannot be read"),
    ],
)
def test_any_other_address_is_a_sentence_without_it(address: str, said: str) -> None:
    with pytest.raises(BadAddress) as refused:
        read_address(address, asked=ASKED)
    assert said in str(refused.value)
    assert TOKEN not in str(refused.value)
