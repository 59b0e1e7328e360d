"""Rows as a person reads them."""

import pytest

from deploy.table import print_aligned


def test_columns_are_aligned_as_a_terminal_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of these Japanese characters takes two columns there."""
    print_aligned([("name", "leads"), ("東京自動車", "1"), ("Süd", "2")])
    assert capsys.readouterr().out.splitlines() == [
        "name        leads",
        "東京自動車  1",
        "Süd         2",
    ]
