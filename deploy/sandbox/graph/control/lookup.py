"""From the ids the admin uses to the numbers the double works with."""

from collections.abc import Sequence

from deploy.sandbox.graph.ids import lead_number
from deploy.sandbox.graph.state import State


class UnknownObjectError(Exception):
    """The admin named something that does not exist."""


def page_number(state: State, page_id: str) -> int:
    """The number of a page."""
    number = state.page_number(page_id)
    if number is None:
        raise UnknownObjectError(f"there is no page {page_id}: /_admin/pages lists them")
    return number


def form_number(state: State, form_id: str) -> int:
    """The number of a form."""
    number = state.form_number(form_id)
    if number is None:
        raise UnknownObjectError(f"there is no form {form_id}: /_admin/forms lists them")
    return number


def form_numbers(state: State, *, page: str | None = None, forms: Sequence[str] | None = None) -> list[int]:
    """The forms named, or all of a page, or all."""
    if forms is not None:
        return [form_number(state, form) for form in forms]
    if page is not None:
        return state.form_numbers(page_number(state, page))
    return [form for page in state.pages() for form in state.form_numbers(page.number)]


def made_lead(state: State, object_id: str) -> tuple[int, int]:
    """`(form, n)` of a lead that was made at some time."""
    numbers = lead_number(object_id)
    if numbers is None or not state.form_exists(numbers[0]) or numbers[1] >= state.leads_of(numbers[0]).count:
        raise UnknownObjectError(f"there never was a lead {object_id}")
    return numbers
