"""`leadstream mapping new` and `check` on forms that real leads were given on."""

from pathlib import Path

import pytest

from ingest.records import FORMS
from tests.commands import Commands
from tests.programs import System, eventually


@pytest.fixture
def leadstream(system: System, tmp_path: Path) -> Commands:
    system.env["MAPPING_DIR"] = str(tmp_path / "mappings")
    return Commands(system, tmp_path)


def test_a_first_file_is_written_checked_and_held_against_forms_that_change(
    system: System, leadstream: Commands, tmp_path: Path
) -> None:
    before = leadstream("mapping", "forms")
    assert (before.returncode, before.stdout, "work retry" in before.stderr) == (0, "", True)

    system.start("serve").wait_ready()
    system.start("work", "fetch").wait_ready()
    forms = {form.template: form.form_id for page in system.graph.pages() for form in system.graph.forms(page.page_id)}
    seen = {template: forms[template] for template in ("solar", "homes_india", "newsletter")}
    system.graph.wait(system.graph.deliver(system.webhook, 6, forms=list(seen.values())).job)
    told = set(seen.values())
    eventually(lambda: {key.partition("@")[0] for key in system.keys(FORMS)} >= told, 60, "the forms of the leads")

    unknown = leadstream("mapping", "new", "--form", "1")
    assert (unknown.returncode, "`leadstream mapping forms` lists them" in unknown.stderr) == (1, True)
    listed = [line.split()[0] for line in leadstream("mapping", "forms").stdout.splitlines()]
    assert (listed[0], set(listed[1:])) == ("form", told)
    for template, form in seen.items():
        made = leadstream("mapping", "new", "--form", form, "--target", template, "--owner", "crm")
        assert made.returncode == 0, made.stderr
    folder = tmp_path / "mappings"
    assert {path.name for path in folder.iterdir()} == {
        "homes_india.yaml",
        "mapping.schema.json",
        "newsletter.yaml",
        "solar.yaml",
    }
    checked = leadstream("mapping", "check", "--strict")
    assert (checked.returncode, checked.stdout[:29]) == (0, "3 files, held against 3 forms"), checked.stdout

    written = (folder / "solar.yaml").read_text()
    again = leadstream("mapping", "new", "--form", forms["solar"], "--target", "solar")
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    assert (folder / "solar.yaml").read_text() == written

    # One table loses a code, one source is misspelt: an error of each, and a warning for what is not taken any more.
    newsletter = folder / "newsletter.yaml"
    newsletter.write_text(
        newsletter.read_text()
        .replace("            racing: racing  # Racing <live>\n", "")
        .replace("standard: email", "field: e-mail")
    )
    findings = leadstream("mapping", "check", "--json")
    assert findings.returncode == 1
    shown = leadstream("mapping", "check", str(newsletter))
    assert "`e-mail` is no question of any form" in shown.stdout
    assert "has the option `racing` without a code" in shown.stdout
    assert "no field takes the question `email`" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "1 file, held against 3 forms: 1 error, 2 warnings"
    assert leadstream("mapping", "check", str(newsletter), "--no-forms").returncode == 0
