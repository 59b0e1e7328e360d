"""The usage headers, as they were seen and as they might be broken."""

import pytest

from ingest.meta.graph import BusinessUse, Load, Usage, read_usage


def test_the_apps_usage_is_an_object_of_percentages() -> None:
    told = read_usage({"x-app-usage": '{"call_count":28,"total_time":25,"total_cputime":26}'})

    assert told.app == Load(calls=28.0, cpu_time=26.0, total_time=25.0)
    assert told.app.fullest == 28.0


def test_the_business_estimate_is_told_in_minutes_and_kept_in_seconds() -> None:
    """The first lines of a capture of leadgen traffic, with an estimate."""
    told = read_usage(
        {
            "x-business-use-case-usage": '{"106777055130587":[{"type":"leadgen","call_count":101,"total_cputime":1,'
            '"total_time":1,"estimated_time_to_regain_access":7}]}'
        }
    )

    assert told.business == (
        BusinessUse(
            object_id="106777055130587",
            kind="leadgen",
            load=Load(calls=101.0, cpu_time=1.0, total_time=1.0),
            regain_after=420.0,
        ),
    )


def test_the_ad_accounts_reset_is_told_in_seconds() -> None:
    told = read_usage({"x-ad-account-usage": '{"acc_id_util_pct":9.67,"reset_time_duration":100}'})

    assert (told.ad_account_percent, told.ad_account_reset_after) == (9.67, 100.0)


def test_lists_under_a_repeated_key_are_joined() -> None:
    """Meta's own sample repeats one; a plain parser keeps only the last."""
    told = read_usage(
        {"x-business-use-case-usage": '{"1":[{"type":"leadgen","call_count":1}],"1":[{"type":"pages","call_count":2}]}'}
    )

    assert [use.kind for use in told.business] == ["leadgen", "pages"]


@pytest.mark.parametrize(
    ("code", "seconds"),
    [(80005, 180.0), (80001, 600.0), (80004, None), (4, None), (None, None), ("80005", None)],
)
def test_a_pause_is_the_estimate_for_the_budget_the_code_speaks_of(code: int | None, seconds: float | None) -> None:
    told = read_usage(
        {
            "x-business-use-case-usage": '{"1":['
            '{"type":"leadgen","call_count":100,"estimated_time_to_regain_access":3},'
            '{"type":"pages","call_count":100,"estimated_time_to_regain_access":10},'
            '{"type":"ads_management","call_count":100,"estimated_time_to_regain_access":0}]}'
        }
    )

    assert told.regain_after(code) == seconds


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "none",
        "null",
        "[]",
        "7",
        '{"call_count":"many"}',
        '{"call_count":true}',
        '{"call_count":-1}',
        '{"call_count":NaN}',
        '{"1":{}}',
        '{"1":[null,[],{}]}',
        '{"1":[{"type":7,"call_count":1}]}',
        '{"1":[{"type":"leadgen"}]}',
        '{"call_count":1',
    ],
)
def test_a_malformed_header_is_as_if_it_had_not_been_sent(broken: str) -> None:
    names = ("x-app-usage", "x-page-usage", "x-business-use-case-usage", "x-ad-account-usage")

    assert read_usage(dict.fromkeys(names, broken)) == Usage()
