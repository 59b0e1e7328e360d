"""What a person agreed to, in the words they saw, and how we know. Performs no I/O of its own.

Meta answers for optional boxes only; a required box must have been ticked, or the form could not have been sent.
https://developers.facebook.com/docs/marketing-api/guides/lead-ads/retrieving, "Reading Custom Disclaimer Responses".
"""

from collections.abc import Iterable

from processors.lead import normalise
from processors.lead.form import Checkbox, Form
from processors.lead.loose import a_text, an_object
from schemas.shapes import Disclaimer


def read_disclaimers(responses: Iterable[object], form: Form, *, is_test: bool) -> list[Disclaimer]:
    """The form's boxes in their order, then boxes that were answered and that the form does not list."""
    answered: dict[str, bool | None] = {}
    for response in map(an_object, responses):
        answered[a_text(response.get("checkbox_key")) or ""] = _ticked(response.get("is_checked"))
    boxes = form.checkboxes
    if strangers := [_unlisted(key) for key in answered if key not in boxes]:
        boxes = {**boxes, **{box.key: box for box in strangers}}
    # Nobody has sent the form of a test lead, so it proves no tick.
    return [_disclaimer(box, answered.get(key), proven=not is_test) for key, box in boxes.items()]


def _disclaimer(box: Checkbox, answer: bool | None, *, proven: bool) -> Disclaimer:
    is_required = box.is_required is True and proven
    return {
        "key": box.key,
        "text": box.text,
        "is_required": box.is_required,
        "is_checked_by_default": box.is_checked_by_default,
        "is_checked": answer if answer is not None else (True if is_required else None),
        "evidence": "ANSWERED" if answer is not None else ("REQUIRED" if is_required else "NONE"),
    }


def _ticked(raw: object) -> bool | None:
    return None if raw is None else normalise.boolean(raw)


def _unlisted(key: str) -> Checkbox:
    return Checkbox(key=key, text=None, is_required=None, is_checked_by_default=None)
