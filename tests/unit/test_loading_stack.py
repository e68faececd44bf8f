"""A stack's file and its organisations' files become one configuration, or every problem, located in the right file."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ruamel.yaml and jsonschema are typed in parts.)

import errno

import pytest

from schemas.loading import load_engine_config, load_stack
from schemas.problems import shown
from schemas.stack_config import StackConfig
from schemas.vocabulary import Stage
from tests.support.samples import engine_values, load, reader, replaced, text

LOCAL = "Pulumi.local.yaml"
PRAIRIE = "organizations/local/prairie.yaml"


def test_organisations_in_the_file_and_in_files_of_their_own_become_one_list() -> None:
    stack = load(LOCAL).stack
    assert stack is not None
    assert stack.stage is Stage.TEST
    assert [o.id for o in stack.organizations] == ["lakeside", "prairie", "rheinland", "southern-cross"]


def test_a_missing_stack_file_is_one_problem() -> None:
    (problem,) = load_stack("Pulumi.none.yaml", reader({})).errors
    assert (problem.file, problem.code) == ("Pulumi.none.yaml", "file-unreadable")


@pytest.mark.parametrize("content", ["", "# nothing\n", "config:\n", "config: []\n", "[]\n", "text\n"])
def test_a_file_without_configuration_is_a_problem_and_no_crash(content: str) -> None:
    loaded = load(LOCAL, {LOCAL: content})
    assert loaded.stack is None
    assert loaded.errors


def test_an_empty_configuration_names_every_missing_key() -> None:
    paths = {p.path for p in load(LOCAL, {LOCAL: "config: {}\n"}).errors}
    assert paths == {"stage", "cloud", "image", "microsoft365", "geographies", "promotion", "organizations"}


def test_bytes_that_are_no_utf8_are_a_problem_of_the_file() -> None:
    def read(name: str) -> str:
        return b"config: \xff".decode("utf-8")

    (problem,) = load_stack(LOCAL, read).errors
    assert "UTF-8" in problem.got


@pytest.mark.parametrize(
    "path", ["../prairie.yaml", "/etc/passwd", "organizations/../../x.yaml", "C:\\\\x.yaml", "a b.yaml"]
)
def test_a_path_that_leads_out_of_the_project_is_refused_and_not_read(path: str) -> None:
    changes = replaced(LOCAL, ("- organizations/local/prairie.yaml", f'- "{path}"'))
    asked: list[str] = []

    def read(name: str) -> str:
        asked.append(name)
        return reader(changes)(name)

    (problem,) = load_stack(LOCAL, read).errors
    assert (problem.file, problem.path) == (LOCAL, "organizations[1]")
    assert asked == [LOCAL, "organizations/local/southern-cross.yaml"]


def test_a_missing_organisations_file_is_reported_at_its_entry_and_the_others_are_checked() -> None:
    changes = replaced(LOCAL, ("prairie.yaml", "prairy.yaml"), ("id: rheinland\n", "id: 12\n"))
    found = {(p.file, p.path, p.code) for p in load(LOCAL, changes).errors}
    assert found == {(LOCAL, "organizations[1]", "file-unreadable"), (LOCAL, "organizations[2].id", "type")}


@pytest.mark.parametrize("stack", ["check", "engine"])
@pytest.mark.parametrize(
    ("problem", "got"),
    [
        (FileNotFoundError(2, "No such file or directory"), "no such file or directory"),
        (IsADirectoryError(21, "Is a directory"), "is a directory"),
        (PermissionError(1, "a path that leads out of the project"), "leads out of the project"),
        (OSError(errno.ELOOP, "Too many levels of symbolic links"), "a link that leads to itself"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "not UTF-8"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_organisations_file_that_cannot_be_read_is_the_only_problem_of_a_stack_that_is_valid_otherwise(
    stack: str, problem: Exception, got: str
) -> None:
    def read(name: str) -> str:
        if name == PRAIRIE:
            raise problem
        return text(name)

    loaded = load_stack(LOCAL, read) if stack == "check" else load_engine_config(engine_values(LOCAL), LOCAL, read)
    (found,) = loaded.errors
    assert (found.file, found.path, found.code) == (LOCAL, "organizations[1]", "file-unreadable")
    assert got in found.got


@pytest.mark.parametrize("content", ["", "[]\n", "prairie\n", "- a\n", "organizations/local/southern-cross.yaml\n"])
def test_a_file_that_holds_no_organisation_is_reported(content: str) -> None:
    (problem,) = load(LOCAL, {PRAIRIE: content}).errors
    assert (problem.file, problem.line, problem.path, problem.code) == (PRAIRIE, 1, "organizations[1]", "yaml-shape")


def test_problems_are_sorted_by_file_line_and_column_and_reported_once() -> None:
    changes = replaced(
        LOCAL, ("location: eastus2", "location: 1"), ("stage: test", "stage: 2"), ("name: Lakeside", "nme: Lake")
    )
    changes |= replaced(PRAIRIE, ("name: P", "nme: P"), ("id: prairie\n", 'id: ""\n'))
    problems = load(LOCAL, changes).problems
    places = [(p.file, p.line, p.column) for p in problems]
    assert places == sorted(places)
    assert len({(p.path, p.code) for p in problems}) == len(problems) == 7


def test_an_unknown_key_is_reported_at_the_key_and_its_value_is_not_shown() -> None:
    changes = replaced(
        PRAIRIE, ("method: client_secret_basic", "method: client_secret_basic\n          clientSecret: s3cr3t")
    )
    (problem,) = load(LOCAL, changes).errors
    assert (problem.code, problem.column) == ("unknown-key", 11)
    assert "s3cr3t" not in str(problem)


@pytest.mark.parametrize("value", ["'-----BEGIN PRIVATE KEY-----'", "hunter2!", '\'{"kty": "RSA"}\''])
def test_a_secret_in_place_of_its_name_is_refused_and_not_shown(value: str) -> None:
    changes = replaced(PRAIRIE, ("secret: prairie-tst-provider-secret", f"secret: {value}"))
    (problem,) = load(LOCAL, changes).errors
    assert problem.code == "value"
    assert value.strip("'")[:6] not in str(problem)


def test_user_info_and_query_of_a_url_are_not_shown() -> None:
    url = "https://user:s3cr3t@ehr.example.org/api/FHIR/R4?sig=s3cr3t"
    assert shown(url) == '"https://***@ehr.example.org/api/FHIR/R4?***"'


def test_values_are_shown_escaped_and_shortened() -> None:
    assert shown("a\x1b[31m\n") == r'"a\x1b[31m\n"'
    assert len(shown("x" * 500)) == 62


@pytest.mark.parametrize("start", ["2024-01-01 ", "*", "&", "1"])
def test_a_value_that_is_no_string_is_shown_escaped_and_shortened_too(start: str) -> None:
    value = start + ("1" if start == "1" else "a\u202eb") * 2000
    found = load(LOCAL, replaced(LOCAL, ("name: Lakeside Health", f"name: {value}"))).errors
    assert [p.path for p in found]
    assert all(len(str(p)) < 300 and "\u202e" not in str(p) for p in found), found


def test_too_much_configuration_in_one_file_is_reported_before_the_engine_fails() -> None:
    name = "Lakeside Health" + " and friends" * 15
    clone = text(LOCAL).split("teams-ehr-connector:organizations:\n")[1].split("    - organizations/")[0]
    many = "".join(clone.replace("Lakeside Health", name).replace("lakeside", f"lakeside-{n}") for n in range(60))
    changes = replaced(LOCAL, ("teams-ehr-connector:organizations:\n", f"teams-ehr-connector:organizations:\n{many}"))
    assert "config-too-long" in {p.code for p in load(LOCAL, changes).errors}


def test_what_the_engine_hands_over_is_the_configuration_of_the_file() -> None:
    loaded = load_engine_config(engine_values(LOCAL), LOCAL, reader({}))
    assert loaded.problems == ()
    assert loaded.stack == load(LOCAL).stack


def test_what_the_engine_hands_over_is_checked_where_the_file_cannot_be_read() -> None:
    values = engine_values(LOCAL) | {"teams-ehr-connector:stage": "tset"}

    def read(name: str) -> str:
        if name == LOCAL:
            raise FileNotFoundError(2, "No such file or directory")
        return reader({})(name)

    assert [p.path for p in load_engine_config(values, LOCAL, read).errors] == ["stage"]
    assert isinstance(load_engine_config(engine_values(LOCAL), LOCAL, read).stack, StackConfig)


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("stage", "production", "stage"),
        ("organizations", "[]", "organizations"),
        ("extra", "text", "extra"),
    ],
)
def test_engine_and_file_that_differ_are_refused(key: str, value: str, path: str) -> None:
    values = engine_values(LOCAL) | {f"teams-ehr-connector:{key}": value}
    errors = load_engine_config(values, LOCAL, reader({})).errors
    assert ("engine-differs", path) in {(p.code, p.path) for p in errors}


def test_the_engines_octal_is_refused_because_the_file_says_it_without_quotes() -> None:
    changes = replaced(LOCAL, ('provider: "1101"', "provider: 0001002"))
    values = engine_values(LOCAL) | {
        "teams-ehr-connector:organizations": engine_values(LOCAL)["teams-ehr-connector:organizations"].replace(
            '"1101"', "514"
        )
    }
    errors = load_engine_config(values, LOCAL, reader(changes)).errors
    (line,) = {n for n, row in enumerate(changes[LOCAL].splitlines(), 1) if "0001002" in row}
    assert {(p.line, p.path) for p in errors} == {
        (line, "organizations[0].connections[0].integrationRecordIds.provider")
    }


@pytest.mark.parametrize("value", ["not json", "{", '{"a": 1, "a": 2}', "NaN", '"text"', "12", "null"])
def test_an_object_that_is_no_object_from_the_engine_is_refused(value: str) -> None:
    values = engine_values(LOCAL) | {"teams-ehr-connector:microsoft365": value}
    loaded = load_engine_config(values, LOCAL, reader({}))
    assert loaded.stack is None
    assert {p.path.split(".")[0] for p in loaded.errors} == {"microsoft365"}


def test_keys_of_other_namespaces_from_the_engine_are_left_alone() -> None:
    values = engine_values(LOCAL) | {"azure-native:location": "eastus2", "pulumi:tags": "{}"}
    assert load_engine_config(values, LOCAL, reader({})).problems == ()
