import json
from itertools import pairwise
from pathlib import Path

import yaml

from tests.bench.journey import percentile
from tests.bench.notifications import FIRST_LEAD, notifications, write_pages


def test_ten_leads_are_of_a_page_and_then_ten_of_the_next_one() -> None:
    keys = [record.key for record in notifications(1_000)]
    changes = [place for place, (one, other) in enumerate(pairwise(keys), 1) if one != other]
    assert changes == list(range(10, 1_000, 10))
    assert len(set(keys)) == 100


def test_with_as_many_pages_as_leads_no_two_leads_share_a_page() -> None:
    values = [json.loads(record.value or b"")["value"] for record in notifications(500, pages=500)]
    assert len({value["page_id"] for value in values}) == 500
    assert len({value["form_id"] for value in values}) == 50


def test_every_lead_has_an_id_of_its_own_and_its_page_as_its_key() -> None:
    for number, record in enumerate(notifications(50)):
        value = json.loads(record.value or b"")["value"]
        assert value["leadgen_id"] == str(FIRST_LEAD + number)
        assert (record.key or b"").decode() == value["page_id"]


def test_the_pages_of_all_notifications_have_a_token_each(tmp_path: Path) -> None:
    pages = yaml.safe_load(write_pages(tmp_path / "pages.yaml").read_text())["pages"]
    assert {(record.key or b"").decode() for record in notifications(2_000)} == pages.keys()
    assert len({page["token"] for page in pages.values()}) == 100


def test_a_percentile_is_the_nearest_rank_in_milliseconds() -> None:
    took = [number * 1_000_000 for number in range(1, 101)]
    assert [percentile(took, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([3_000_000], 0.5) == 3.0
