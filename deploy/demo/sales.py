"""The demo's mapping file: `sales.yaml` as it is shipped here, and the field that its owner asks for later."""

from pathlib import Path

from ingest.records import CRM

SHIPPED = Path(__file__).with_name("sales.yaml")
TOPIC = f"{CRM}sales.v1"
FIELD = "brand"
"""Has a value for every lead, so that a record without one is none of the grown file."""

_GROWTH = f"""
  {FIELD}:
    doc: The brand that the lead asked, by its page.
    from: [lead: page_id]
    transform:
      - code: {{table: {{104880339887499: HARBOR, 104800847963188: SOLARWERK, 104821356038877: CASA}}}}
"""


def lay_out(folder: Path) -> Path:
    """A folder with the file in it, as it is shipped; the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / SHIPPED.name
    file.write_bytes(SHIPPED.read_bytes())
    return file


def grow(file: Path) -> None:
    """Adds the field at the end, all at once: workers look at the file meanwhile."""
    grown = file.with_name(f".{file.name}")
    grown.write_text(f"{file.read_text(encoding='utf-8')}{_GROWTH}", encoding="utf-8")
    grown.replace(file)
