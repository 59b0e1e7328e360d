"""Mapping files: what is read from them, and everything that is wrong with one, told at once with its place."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.mapping.file import Mapping
from processors.mapping.reading import BadMapping, Problem, read_file, read_folder, read_mapping
from processors.mapping.wording import PATTERNS

HEAD = """\
target: sales
owner: crm@example.com
doc: Leads for the sales team.
"""
GOOD = f"""{HEAD}fields:
  email:
    doc: Where to write to.
    from:
      - standard: email
      - field: e-mail
    transform: [trim, email]
    required: true
"""


def problems(text: str) -> list[str]:
    with pytest.raises(BadMapping) as refused:
        read_mapping(text, file="s.yaml")
    return str(refused.value).splitlines()


def field(said: str) -> str:
    """A file with one field of this."""
    return f"{HEAD}fields:\n  a: {{doc: d, {said}}}\n"


class TestWhatIsRead:
    def test_a_file_is_read_with_the_line_of_each_place(self) -> None:
        loaded = read_mapping(GOOD, file="s.yaml")
        assert (loaded.mapping.id, loaded.mapping.topic, loaded.file) == ("sales.v1", "leads.crm.sales.v1", "s.yaml")
        assert loaded.line(("fields", "email", "from", 1, "field")) == 9
        assert loaded.line(("fields", "email", "transform", 1, "email")) == 10  # the nearest above it
        assert loaded.line(("filter", "pages")) == 1

    @pytest.mark.parametrize(
        "written", ["no", "0123", "12_000", "1e3", "2026-11-24", "0x1F", "1:30", "on", "true", ".5"]
    )
    def test_a_value_is_the_text_that_is_written(self, written: str) -> None:
        mapping = read_mapping(field(f"from: [field: {written}], default: {written}"), file="s.yaml").mapping
        assert mapping.fields["a"].default == written
        assert mapping.fields["a"].sources[0].model_dump() == {"field": written}

    def test_a_key_is_the_text_that_is_written_too(self) -> None:
        said = "type: boolean, from: [field: x], transform: [boolean: {true: [ja, on], false: [no]}]"
        [transform] = read_mapping(field(said), file="s.yaml").mapping.fields["a"].transform
        assert transform.model_dump(mode="json") == {"boolean": {"true": ["ja", "on"], "false": ["no"]}}  # type: ignore[union-attr]
        table = read_mapping(field("from: [field: x], transform: [code: {table: {no: 0, null: 1}}]"), file="s.yaml")
        [code] = table.mapping.fields["a"].transform
        assert code.model_dump(mode="json")["code"]["table"] == {"no": "0", "null": "1"}  # type: ignore[union-attr]

    @pytest.mark.parametrize("nothing", ["", "~", "null", "Null"])
    def test_nothing_is_nothing_and_an_empty_text_is_one(self, nothing: str) -> None:
        mapping = read_mapping(field(f"from: [field: x], default: {nothing}"), file="s.yaml").mapping
        assert mapping.fields["a"].default is None
        assert read_mapping(field("from: [field: x], default: ''"), file="s.yaml").mapping.fields["a"].default == ""

    def test_the_version_makes_another_target_of_the_same_name(self) -> None:
        assert read_mapping(GOOD + "version: 2\n", file="s.yaml").mapping.id == "sales.v2"

    def test_comments_and_layout_do_not_change_the_hash_but_what_is_said_does(self) -> None:
        hash_ = read_mapping(GOOD, file="s.yaml").mapping.hash
        same = GOOD.replace("[trim, email]", "\n      - trim\n      - email  # a comment")
        assert read_mapping(same, file="t.yaml").mapping.hash == hash_
        assert read_mapping(GOOD.replace("trim, ", ""), file="s.yaml").mapping.hash != hash_


class TestText:
    """Before anything is known about mappings."""

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "s.yaml: is empty: `leadstream mapping new` writes a first one"),
            ("# only\n", "s.yaml: is empty: `leadstream mapping new` writes a first one"),
            ("- a\n", "s.yaml:1: should be names with values, such as `type: string`"),
            ("a: 1\na: {\n", "s.yaml:3: is no YAML: while parsing a flow node, expected the node content, but found"),
            ("a: b: c\n", "s.yaml:1: is no YAML: mapping values are not allowed here"),
            (
                "a:\n\t- b\n",
                "s.yaml:2: is no YAML: while scanning for the next token, found character '\\t' that cannot",
            ),
            ("---\na: 1\n---\nb: 1\n", "s.yaml:3: is no YAML: expected a single document in the stream"),
            ("a: \x07\n", "s.yaml:1: holds a character that YAML does not allow (#x0007)"),
            ("a: 1\nb: {c: 1, c: 2}\n", "s.yaml:2: b.c: is there twice: first in line 2"),
            ("a: &x 1\nb: *x\n", "s.yaml:2: is an alias (*), which is not followed here: write it out"),
            ("a: &x {b: 1}\nc:\n  <<: *x\n", "s.yaml:3: is an alias (*), which is not followed here: write it out"),
            ("a: !!int 1\n", "s.yaml:1: a: has the tag !!int: leave it out, values are texts here"),
            ("a:\n - !python/name:os.system x\n", "s.yaml:2: a[0]: has the tag !python/name:os.system: leave it out"),
            ("? [a]\n: 1\n", "s.yaml:1: has a list or a mapping as a key: a key is a text"),
            ('a: 1\nb: "\\U00110000"\n', "s.yaml:2: has an escape, such as \\U00110000, that is no character"),
            ("[" * 3000, "s.yaml: is nested too deep"),
            ("#" * (1 << 20) + "\n", "s.yaml: is larger than 1 MiB: a mapping file holds fields, not data"),
        ],
    )
    def test_what_is_wrong_with_the_text_is_told_with_its_line(self, text: str, said: str) -> None:
        assert any(line.startswith(said) for line in problems(text)), problems(text)

    def test_all_flaws_of_a_text_are_told_at_once_in_the_order_of_their_lines(self) -> None:
        told = problems("a: *x\nb: !!float 1\nc: 1\nb: 2\n")
        assert [line.split(":")[1] for line in told] == ["1", "2", "4"]

    @given(st.text(max_size=200))
    def test_whatever_a_text_holds_it_is_read_or_refused(self, text: str) -> None:
        with suppress(BadMapping):
            read_mapping(text, file="s.yaml")


class TestGrammar:
    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("typ: int, default: 1", "typ: is nothing that a mapping file knows here (did you mean type?)"),
            ("sources: [], default: 1", "sources: is nothing that a mapping file knows here"),
            ("type: text, default: 1", "type: `text` is not known here: it is one of string, boolean, int, long,"),
            ("from: [standard: emial]", "from[0].standard: `emial` is not known here (did you mean email?)"),
            ("from: [lead: page]", "from[0].lead: `page` is not known here (did you mean page_id?)"),
            ("from: [feild: x]", "from[0]: `feild` is no source (did you mean field?)"),
            ("from: [email]", "from[0]: a source is one of these with a value: standard, field, question,"),
            (
                "from: [{standard: email, field: x}]",
                "from[0]: a source is one thing, this has `standard` and `field`: a -",
            ),
            ("from: [field: ]", "from[0].field: is empty"),
            ("from: [field: [a]]", "from[0].field: should be a text"),
            ("from: {field: x}", "from: should be a list, each entry after a -"),
            ("from: [field: x], transform: [trimm]", "transform[0]: `trimm` is not known here (did you mean trim?)"),
            ("from: [field: x], transform: [trim: 1]", "transform[0]: trim stands alone: `- trim`"),
            ("from: [field: x], transform: [split]", 'transform[0]: split needs to be told more: `split: ";"`'),
            ("from: [field: x], transform: [spilt: x]", "transform[0]: `spilt` is no transform (did you mean split?)"),
            (
                "from: [field: x], transform: [trim, e164: {region: de}]",
                "transform[1].e164.region: `de` will not do: a region is two capital letters, such as DE",
            ),
            ("from: [field: x], transform: [e164: {country: DE}]", "transform[0].e164.region: is missing"),
            ("from: [field: x], transform: [code: {table: {}}]", "transform[0].code.table: is empty"),
            ("from: [field: x], transform: [number: {decimal: ', '}]", "transform[0].number.decimal: is longer than 1"),
            ("from: [field: x], required: perhaps", "required: `perhaps` should be true or false"),
            ("from: [field: x], forms: {spring: {required: true}}", "forms.spring: `spring` will not do: an id is up"),
            ("from: [field: x], forms: {1: {doc: x}}", "forms.1.doc: is nothing that a mapping file knows here"),
        ],
    )
    def test_what_is_wrong_with_a_field_is_told_in_words_of_the_file(self, said: str, told: str) -> None:
        found = problems(field(said))
        assert any(line.startswith(f"s.yaml:5: fields.a.{told}") for line in found), found

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("target: Sales", "target: `Sales` will not do: a target is up to 49 small letters"),
            ("version: 1.5", "version: `1.5` is no version: whole numbers from 1 to 999 are"),
            ("version: 0", "version: `0` is no version: whole numbers from 1 to 999 are"),
            ("version: 1000", "version: `1000` is no version: whole numbers from 1 to 999 are"),
            ("filter: {page: [1]}", "filter.page: is nothing that a mapping file knows here (did you mean pages?)"),
            ("filter: {pages: 1}", "filter.pages: should be a list, each entry after a -"),
            ("filter: {organic: no}", "filter.organic: `no` is not known here: it is one of include, exclude, only"),
            ("ignore: x", "ignore: should be a list, each entry after a -"),
            ("owner: ", "owner: is empty"),
            ("field: {}", "field: is nothing that a mapping file knows here (did you mean fields?)"),
        ],
    )
    def test_so_is_what_is_wrong_with_the_rest(self, said: str, told: str) -> None:
        name = said.partition(":")[0]
        head = [line for line in GOOD.splitlines() if not line.startswith(f"{name}:")]
        found = problems("\n".join([said, *head]))
        assert any(line.startswith(f"s.yaml:1: {told}") for line in found), found

    def test_all_that_is_wrong_is_told_at_once_in_the_order_of_lines(self) -> None:
        told = problems(f"{HEAD}extra: 1\nfields:\n  1a: {{doc: x}}\n  b: x\n  c:\n  d: {{type: int}}\n")
        assert [line.split(": ")[:2] for line in told] == [
            ["s.yaml:4", "extra"],
            ["s.yaml:6", "fields.1a"],
            ["s.yaml:7", "fields.b"],
            ["s.yaml:8", "fields.c"],
            ["s.yaml:9", "fields.d.doc"],
        ]

    def test_every_pattern_of_the_grammar_has_its_words(self) -> None:
        def patterns(node: object) -> set[str]:
            if isinstance(node, dict):
                own = {node["pattern"]} if isinstance(node.get("pattern"), str) else set()
                named = set(node.get("patternProperties", ()))
                return own | named | {each for part in node.values() for each in patterns(part)}
            return {each for part in node for each in patterns(part)} if isinstance(node, list) else set()

        assert patterns(Mapping.model_json_schema()) == set(PATTERNS)


class TestRules:
    """What the grammar lets pass and makes no sense."""

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("type: string", "fields.a: has nothing to read: give it `from`, a template first in `transform`, or a"),
            ("transform: [trim]", "fields.a: has nothing to read"),
            ("type: int, default: 2147483648", "fields.a.default: `2147483648` is no int"),
            ("type: boolean, default: maybe", "fields.a.default: `maybe` is no boolean: true or false"),
            ("type: date, default: 24.11.2026", "fields.a.default: `24.11.2026` is no date: such as 2026-11-24"),
            (
                "transform: [date: ['%d.%m.%Y', '%d.%m.']], type: date, from: [field: x]",
                "fields.a.transform[0].date[1]",
            ),
            ("transform: [timestamp: ['%Q']], type: timestamp, from: [field: x]", "fields.a.transform[0].timestamp[0]"),
            (
                "transform: [date: ['%d %d']], type: date, from: [field: x]",
                "fields.a.transform[0].date[0]: `%d %d` is no",
            ),
            (
                "transform: [date, format_date: '%d %'], from: [field: x]",
                "fields.a.transform[1].format_date: `%d %` has",
            ),
            ("transform: [template: 'a {value'], from: [field: x]", "fields.a.transform[0].template: has a brace that"),
            (
                "transform: [template: '{standard.emial}']",
                "fields.a.transform[0].template: {standard.emial} is not known",
            ),
            ("transform: [template: '{lead.form}']", "fields.a.transform[0].template: {lead.form} is not known"),
            ("transform: [template: '{campaign}']", "fields.a.transform[0].template: {campaign} is no place"),
            (
                "transform: [number, lower], from: [field: x]",
                "fields.a.transform[1]: lower reads text, and number before",
            ),
            (
                "transform: [email, option_text], from: [field: x]",
                "fields.a.transform[1]: option_text looks up the answer",
            ),
            ("transform: [all], from: [field: x]", "fields.a.transform[0]: all is for a field of type strings"),
            (
                "type: strings, transform: [trim, number], from: [field: x]",
                "fields.a.transform[1]: number makes what a",
            ),
            ("type: date, transform: [boolean], from: [field: x]", "fields.a.transform[0]: boolean makes what a"),
            (
                "type: int, from: [field: x, disclaimer: y]",
                "fields.a.from[1]: gives a boolean, which a field of type int",
            ),
            ("type: long, from: [lead: created_at]", "fields.a.from[0]: gives a timestamp, which a field of type long"),
            ("type: int, from: [field: x, constant: some]", "fields.a.from[1].constant: `some` is no int"),
            (
                "type: int, from: [field: x], transform: [trim, code: {table: {a: 1, b: B}}, first]",
                "fields.a.transform[1].code.table.b: `B` is no int",
            ),
            (
                "type: date, from: [field: x], transform: [code: {table: {a: 2026-11-24}, otherwise: never}]",
                "fields.a.transform[0].code.otherwise: `never` is no date",
            ),
            (
                "transform: [number: {decimal: ',', thousands: ','}], from: [field: x]",
                "fields.a.transform[0].number: has",
            ),
            (
                "type: boolean, transform: [boolean: {true: [Ja], false: [ja]}], from: [field: x]",
                "fields.a.transform[0].boolean: means true and false by `ja`",
            ),
        ],
    )
    def test_a_field_that_cannot_work_is_refused(self, said: str, told: str) -> None:
        found = problems(field(said))
        assert any(line.startswith(f"s.yaml:5: {told}") for line in found), found

    @pytest.mark.parametrize(
        "said",
        [
            "default: x",
            "transform: [template: '{standard.first_name} {field.budget} {tracking.x} {lead.form_name}']",
            "from: [field: x], transform: [trim, option_text, first, join: ', ']",
            "from: [disclaimer: x], transform: [code: {table: {true: 1, false: 0}}], type: int",
            "from: [disclaimer: x]",
            "from: [lead: created_at], transform: [format_date: '%-d.%m.%Y']",
            "from: [field: x], transform: [date: ['%d.%m.%Y'], format_date: '%Y%m%d'], type: int",
            "from: [field: x], transform: [split: ;, all], type: strings",
            "from: [field: x], transform: [code: {table: {a: 1.5}}, number: {decimal: ','}], type: double",
            "from: [constant: 'yes', field: x], transform: [boolean], type: boolean",
            "from: [field: x], transform: [timestamp: ['%d.%m.%Y %H:%M', '%Y-%m-%dT%H:%M:%S%z']], type: timestamp",
            "from: [lead: created_at], type: date, required: true, default: 2026-11-24",
        ],
    )
    def test_one_that_can_is_not(self, said: str) -> None:
        assert read_mapping(field(said), file="s.yaml").mapping.fields["a"].doc == "d"

    def test_names_that_a_person_would_take_for_one_are_refused(self) -> None:
        names = ["Lead_ID", "email", "Email", "Unmapped"]
        lines = "".join(f"  {name}: {{doc: d, default: x}}\n" for name in names)
        assert problems(f"{HEAD}fields:\n{lines}") == [
            "s.yaml:5: fields.Lead_ID: is named like the key, lead_id: choose another name",
            "s.yaml:7: fields.Email: is named like the field email: choose another name",
            "s.yaml:8: fields.Unmapped: is named like unmapped, which keeps what no field took: choose another name",
        ]
        assert problems(GOOD + "key: unmapped\n")[0].startswith("s.yaml:12: key: unmapped is the field that keeps")

    def test_what_is_read_cannot_be_ignored(self) -> None:
        text = field(
            "from: [field: one], forms: {1: {from: [field: two]}}, transform: [template: '{value}{field.three}']"
        )
        assert problems(text + "ignore: [one, two, three, four]\n") == [
            f"s.yaml:6: ignore[{place}]: `{key}` is read by the field a: ignore it or read it, not both"
            for place, key in enumerate(["one", "two", "three"])
        ]

    def test_an_override_is_held_to_the_field_it_changes_and_to_the_filter(self) -> None:
        said = "from: [field: x], type: int, forms: {1: {default: x}, 2: {from: []}, 3: {transform: [boolean]}}"
        found = problems(field(said) + "filter: {forms: [1, 2]}\n")
        nothing = "has nothing to read: give it `from`, a template first in `transform`, or a `default`"
        assert found == [
            "s.yaml:5: fields.a.forms.1.default: `x` is no int",
            f"s.yaml:5: fields.a.forms.2: {nothing}",
            "s.yaml:5: fields.a.forms.3: is a form that the filter leaves out: add it there, or take it out here",
            "s.yaml:5: fields.a.forms.3.transform[0]: boolean makes what a field of type int does not take",
        ]

    def test_what_is_wrong_with_the_field_is_not_told_again_for_each_form(self) -> None:
        said = "type: int, default: x, forms: {1: {required: true}, 2: {required: true}}"
        assert problems(field(said)) == ["s.yaml:5: fields.a.default: `x` is no int"]


class TestFolder:
    def test_its_files_are_read_by_name_and_the_rest_is_left_alone(self, tmp_path: Path) -> None:
        for name, version in (("b.yml", 2), ("a.yaml", 1)):
            (tmp_path / name).write_text(GOOD + f"version: {version}\n")
        for other in (".hidden.yaml", "notes.md", "mapping.schema.json", "a.yaml~"):
            (tmp_path / other).write_text("{")
        assert [(each.file, each.mapping.id) for each in read_folder(tmp_path)] == [
            ("a.yaml", "sales.v1"),
            ("b.yml", "sales.v2"),
        ]

    def test_an_empty_one_is_no_problem(self, tmp_path: Path) -> None:
        assert read_folder(tmp_path) == []

    def test_all_that_is_wrong_in_all_files_is_told_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_text(GOOD)
        (tmp_path / "b.yaml").write_text("")
        (tmp_path / "c.yaml").write_text(GOOD.replace("trim", "tirm"))
        (tmp_path / "d.yaml").write_bytes(GOOD.encode() + b"# K\xf6ln\n")
        (tmp_path / "e.yaml").mkdir()
        (tmp_path / "f.yaml").write_text(GOOD)
        with pytest.raises(BadMapping) as refused:
            read_folder(tmp_path)
        assert str(refused.value).splitlines() == [
            "b.yaml: is empty: `leadstream mapping new` writes a first one",
            "c.yaml:10: fields.email.transform[0]: `tirm` is not known here (did you mean trim?)",
            "d.yaml:12: is not UTF-8: save it as that",
            "e.yaml: cannot be read: Is a directory",
            "f.yaml:1: target: sales.v1 is what a.yaml makes already: another name, or another version",
        ]

    def test_one_that_is_not_there_or_no_folder_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for name, why in (("nowhere", "No such file or directory"), ("file", "Not a directory")):
            with pytest.raises(BadMapping) as refused:
                read_folder(tmp_path / name)
            told = f"cannot be read ({why}): is MAPPING_DIR right?"
            assert refused.value.problems == (Problem(file=str(tmp_path / name), line=0, field="", message=told),)

    def test_a_file_is_named_as_it_was_asked_for(self, tmp_path: Path) -> None:
        path = tmp_path / "s.yaml"
        path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())  # as some editors begin a file
        assert read_file(path).file == str(path)
        with pytest.raises(BadMapping, match=r"nowhere\.yaml: cannot be read: No such file"):
            read_file(tmp_path / "nowhere.yaml")
