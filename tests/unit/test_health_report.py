"""What doctor shows a person of many pages stays readable, and hides nothing that is wrong."""

import json

import pytest

from deploy.doctor.report import Page, Report, in_json, show
from ingest.health import Code, Finding, found


def report(pages: int, *findings: Finding) -> Report:
    return Report(
        graph_url="https://graph.facebook.com",
        api_version="v25.0",
        pages=[Page(page_id=str(number), app_id="7", name=f"Page {number}") for number in range(pages)],
        findings=findings,
        not_looked_at=["Kafka was not asked."],
    )


def alike(code: Code, pages: range) -> list[Finding]:
    return [found(code, f"what of {page}", page_id=str(page)) for page in pages]


def test_of_a_few_pages_each_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    show(report(2, *alike("token-logged-out", range(1)), *alike("token-lives", range(1, 2))))
    said = capsys.readouterr().out
    assert said.startswith("page 0  wrong  token-logged-out  Page 0\npage 1  fine   all               Page 1\n")
    assert "\nnot looked at: Kafka was not asked.\n" in said
    assert said.endswith("2 pages: 1 wrong, 0 warning, 0 not known, 1 fine\n")


def test_of_many_pages_those_that_are_fine_share_a_row_and_what_is_alike_a_paragraph(
    capsys: pytest.CaptureFixture[str],
) -> None:
    findings = [*alike("token-logged-out", range(100)), *alike("token-lives", range(100, 1000))]
    show(report(1000, *findings))
    said = capsys.readouterr().out
    assert "\n900 pages  fine\n" in said
    assert said.count("  wrong  token-logged-out") == 100
    assert said.count("what of ") == 20
    assert "  and 80 more, which --json names\n" in said
    assert said.count("Causes: ") == 1


def test_json_has_every_finding_with_its_code() -> None:
    told = json.loads(in_json(report(100, *alike("token-logged-out", range(100)))))
    assert (told["is_wrong"], len(told["findings"]), len(told["pages"])) == (True, 100, 100)
    assert told["findings"][7] == {
        "code": "token-logged-out",
        "severity": "wrong",
        "what": "what of 7",
        "causes": told["findings"][7]["causes"],
        "do": told["findings"][7]["do"],
        "app_id": None,
        "page_id": "7",
        "about": None,
    }


def test_what_is_a_warning_or_not_known_is_not_wrong() -> None:
    warning = found("budget-near", "what", page_id="0")
    assert not report(1, warning, found("leads-untried", "what", page_id="0")).is_wrong
