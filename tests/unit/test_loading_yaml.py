"""YAML that two readers could understand differently is refused, with line and column."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (YAML's readers are typed in parts, their values are of any type.)

from typing import Any

import pytest
import yaml as yaml_1_1
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from schemas.strict_yaml import kind_of_plain, read_yaml
from tests.support.samples import load, replaced, text

LOCAL = "Pulumi.local.yaml"
ORGANIZATION = "organizations/local/prairie.yaml"

STRINGS = [
    "lakeside",
    "2b2b2b2b-0000-4000-8000-000000000001",
    "1e1e1e1e-0000-4000-8000-000000000001",
    "10.20.0.0/16",
    "127.0.0.1",
    "localhost:8441",
    "https://127.0.0.1:8461",
    "0b",
    "0x",
    "1-2",
    "v1.2",
    "12e",
    "yes please",
    "nullable",
    "2024-1",
    "_1",
    "0xfg",
]
NOT_STRINGS = {
    "number": [
        "0",
        "12",
        "-7",
        "+3",
        "0001002",
        "0o17",
        "017",
        "0x1F",
        "0b101",
        "1_000",
        "1.10",
        ".5",
        "5.",
        "1e3",
        "12e3",
        "1.5e-3",
        "1:30",
        "190:20:30",
        "08",
        "09",
    ],
    "boolean": ["true", "True", "FALSE", "yes", "No", "ON", "off", "y", "N"],
    "null": ["", "~", "null", "Null", "NULL"],
    "date": ["2024-01-01", "2024-1-1", "2024-01-01T10:00:00Z", "2024-01-01 10:00:00"],
}


@pytest.mark.parametrize("plain", STRINGS)
def test_a_plain_scalar_that_every_reader_takes_for_a_string_is_one(plain: str) -> None:
    assert kind_of_plain(plain) == "string"


@pytest.mark.parametrize(("kind", "plain"), [(k, p) for k, ps in NOT_STRINGS.items() for p in ps])
def test_a_plain_scalar_that_some_reader_takes_for_something_else_is_no_string(kind: str, plain: str) -> None:
    assert kind_of_plain(plain) == kind


@pytest.mark.parametrize("special", [".inf", "-.Inf", "+.INF", ".nan", ".NaN", "=", "<<"])
def test_special_plain_scalars_are_no_strings(special: str) -> None:
    assert kind_of_plain(special) != "string"


@pytest.mark.parametrize(
    ("code", "yaml", "line", "column"),
    [
        ("yaml-anchor", "a: 1\nb: &x text\n", 2, 4),
        ("yaml-alias", "a: &x text\nb: *x\n", 2, 4),
        ("yaml-tag", "a: !!str text\n", 1, 4),
        ("yaml-tag", "a: !own {b: c}\n", 1, 4),
        ("yaml-merge-key", "a: {b: c}\nd:\n  <<: {e: f}\n", 3, 3),
        ("yaml-duplicate-key", "a: b\nc: d\na: e\n", 3, 1),
        ("yaml-duplicate-key", "a:\n  b: c\n  'b': d\n", 3, 3),
        ("yaml-key", "a:\n  12: b\n", 2, 3),
        ("yaml-key", "a:\n  yes: b\n", 2, 3),
        ("yaml-key", "? [a, b]\n: c\n", 1, 3),
        ("yaml-documents", "a: b\n---\nc: d\n", 2, 1),
        ("yaml-documents", "a: b\n...\n", 2, 1),
        ("yaml-directive", "%YAML 1.1\n---\na: b\n", 1, 1),
        ("yaml-lines", "a: |\n  b\n", 1, 4),
        ("yaml-lines", "a: b\n  c\n", 1, 4),
        ("yaml-lines", 'a: "b\n  c"\n', 1, 4),
        ("yaml-character", "a: b\n\tc: d\n", 2, 1),
        ("yaml-character", "a:\tb\n", 1, 3),
        ("yaml-character", "\ufeffa: b\n", 1, 1),
        ("yaml-character", "a: b\u2028c\n", 1, 5),
        ("yaml-character", "a: b\u0085c\n", 1, 5),
        ("yaml-character", "a: b#\tc\n", 1, 6),
        ("yaml-syntax", 'a: "\\ud83d"\n', 1, 7),
        ("yaml-character", 'a: "\\u0007"\n', 1, 4),
        ("yaml-escape", 'a: "b\\/c"\n', 1, 4),
        ("yaml-escape", 'a: "\\nb"\n', 1, 4),
        ("yaml-syntax", "a: [b\n", 2, 1),
        ("yaml-syntax", "a: b: c\n", 1, 5),
        ("yaml-depth", "a: " + "[" * 60 + "]" * 60 + "\n", 1, 44),
    ],
)
def test_what_readers_could_understand_differently_is_found_at_its_place(
    code: str, yaml: str, line: int, column: int
) -> None:
    found = [(f.code, f.mark.line, f.mark.column) for f in read_yaml(yaml).findings]
    assert (code, line, column) in found


PIECES = st.sampled_from(
    [
        *(
            "a",
            "b",
            "1",
            "é",
            "_",
            "0x1",
            "😀",
            "a:b",
            "a#b",
            "-a",
            "key: value",
            "item",
            "x: {a: b}",
            "x: [a, b]",
            "{a: b}",
        ),
        *(
            "- ",
            ": ",
            ":",
            "? ",
            "?",
            "[",
            "]",
            "{",
            "}",
            ",",
            ", ",
            "#",
            " #",
            "'",
            '"',
            '"x"',
            "'y'",
            "''",
            '""',
            "---",
        ),
        *(
            "\\",
            "\\n",
            "\\u0041",
            "\\x41",
            "|",
            ">",
            "%",
            "@",
            "`",
            "!",
            "&",
            "*",
            "...",
            "..",
            ".",
            "~",
            "<<",
            "=",
            "/",
        ),
        *(" ", "  ", "\n", "\n  ", "\n- ", "\n    ", "\r\n", "\r", "\t", "\u00a0", "--"),
    ]
)


def as_nodes(node: Any) -> Any:
    """What another reader's tree says, with every scalar as its text."""
    match node:
        case None:
            return ""
        case _ if isinstance(node.value, str):
            return str(node.value)
        case _ if node.id == "mapping":
            return {as_nodes(key): as_nodes(value) for key, value in node.value}
        case _:
            return [as_nodes(item) for item in node.value]


def as_text(value: Any) -> Any:
    """What the strict reader says, likewise: booleans and integers have one spelling each."""
    match value:
        case None:
            return ""
        case dict():
            return {key: as_text(item) for key, item in value.items()}
        case list():
            return [as_text(item) for item in value]
        case bool():
            return str(value).lower()
        case str() | int():
            return str(value)
        case _:
            return value.text


@settings(max_examples=1500)
@example(["a: b#", "\t"])
@example(["...:%", "\n...", "\n..."])
@given(st.lists(PIECES, min_size=1, max_size=14))
def test_what_is_accepted_says_the_same_to_a_reader_of_yaml_1_1_and_to_one_of_1_2(pieces: list[str]) -> None:
    text = "".join(pieces)
    reading = read_yaml(text)
    if not reading.findings:
        expected = as_text(reading.value)
        assert as_nodes(YAML(typ="safe", pure=True).compose(text)) == expected
        assert as_nodes(yaml_1_1.compose(text, yaml_1_1.SafeLoader)) == expected


def test_a_tab_in_a_comment_is_nobodys_business() -> None:
    assert read_yaml("a: b # c\td\n").findings == []


@pytest.mark.parametrize(
    "others",
    [
        "encryptedkey: abc=\n",
        "secretsprovider: passphrase\n",
        "environment:\n  - &name shared\n  - *name\n",
    ],
)
def test_pulumis_own_keys_are_left_alone(others: str) -> None:
    assert load(LOCAL, {LOCAL: text(LOCAL) + others}).problems == ()


@pytest.mark.parametrize(
    "others",
    [
        "  azure-native:location: eastus2\n",
        "  pulumi:tags: {cost-centre: 0012}\n",
        "  other:secret:\n    secure: v1:abc\n",
        "  other:values: [&a 1, *a, ~, 2024-01-01]\n",
    ],
)
def test_other_namespaces_are_left_alone(others: str) -> None:
    assert load(LOCAL, replaced(LOCAL, ("config:\n", f"config:\n{others}"))).problems == ()


@pytest.mark.parametrize(
    ("added", "code"),
    [
        ("  stage: test\n", "key-namespace"),
        ("  teams-ehr-connector:config:stage: test\n", "key-namespace"),
        ("  teams-ehr-connector:stages: test\n", "unknown-key"),
        ("  <<: {'teams-ehr-connector:stage': production}\n", "yaml-merge-key"),
        ("  teams-ehr-connector:stage: production\n", "yaml-duplicate-key"),
    ],
)
def test_a_second_way_to_say_a_key_of_ours_is_refused(added: str, code: str) -> None:
    loaded = load(LOCAL, replaced(LOCAL, ("config:\n", f"config:\n{added}")))
    assert loaded.stack is None
    assert code in {p.code for p in loaded.errors}


def test_a_second_key_of_pulumis_own_is_refused_as_pulumi_does() -> None:
    (problem,) = load(LOCAL, {LOCAL: text(LOCAL) + "encryptionsalt: v1:x\n"}).errors
    assert problem.code == "yaml-duplicate-key"


def test_an_encrypted_value_under_our_keys_is_refused_and_not_shown() -> None:
    changes = replaced(
        ORGANIZATION, ("secret: prairie-tst-provider-secret", "secret: {secure: v1:3Xs0Y0Jq:ciphertext}")
    )
    (problem,) = load(LOCAL, changes).errors
    assert problem.path == "organizations[1].connections[0].clients.provider.authentication.secret"
    assert "ciphertext" not in str(problem)


def test_anchors_in_an_organisations_file_are_reported_in_that_file() -> None:
    changes = replaced(ORGANIZATION, ("id: prairie\n", "id: &id prairie\n"))
    (problem,) = load(LOCAL, changes).errors
    assert (problem.file, problem.line, problem.column, problem.code) == (ORGANIZATION, 2, 5, "yaml-anchor")
