"""How single values may be spelled: look-alikes of URLs, addresses, paths and names are refused by the model itself."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.scalars import AddressRange, DisplayName, EhrOrigin, EhrPath, EhrUrl, FhirBaseUrl, is_loopback


def valid(annotation: Any, value: str) -> bool:
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "localhost.", "foo.localhost", "localhost.localdomain"),
        *("127.0.0.1", "127.0.0.1.", "127.255.0.9", "127.1", "2130706433", "0x7f.1", "0x7F000001", "0177.0.0.1"),
        *("0", "00.0", "::1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "::ffff:7f00:1", "64:ff9b::7f00:1"),
        *("2002:7f00:1::", "[0:0:0:0:0:0:0:1]"),
    ],
)
def test_this_machine_is_known_in_every_spelling(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "ehr.example.org", "localhost.example.org", "8.8.8.8", "128.0.0.1", "1.2.3.4.5", "256.1", "09", ":", "[::2]"],
)
def test_other_hosts_are_not_this_machine(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "origin",
    [
        "https://*.example.org",
        "https://*",
        "https://a;script-src.example.org",
        "https://a,b.example.org",
        "https://a.example.org'",
        "https://%61.example.org",
        "https://127.0.0.%31",
        "https://a..example.org",
        "https://.example.org",
        "https://-a.example.org",
        "https://a.example.org:",
        "https://a.example.org:0443",
        "https://a.example.org:0",
        "https://[::1%25eth0]",
    ],
)
def test_a_host_name_has_no_wildcard_no_encoding_and_nothing_that_ends_a_directive(origin: str) -> None:
    assert not valid(EhrOrigin, origin)
    assert not valid(FhirBaseUrl, f"{origin}/api/FHIR/R4")
    assert not valid(EhrUrl, f"{origin}/oauth2")


@pytest.mark.parametrize("origin", ["https://a.example.org", "https://a_b.example.org:8443", "https://[2001:db8::1]"])
def test_ordinary_origins_are_accepted(origin: str) -> None:
    assert valid(EhrOrigin, origin)
    assert valid(FhirBaseUrl, f"{origin}/Interconnect-PRD_1/api/FHIR/R4")


@pytest.mark.parametrize("character", list('<>"{}|^`[]'))
def test_a_path_has_only_characters_of_rfc_3986(character: str) -> None:
    assert not valid(FhirBaseUrl, f"https://ehr.example.org/a{character}b/FHIR")


@pytest.mark.parametrize(
    "text",
    [
        *("10.20.0.0", "10.20.0.0/255.255.0.0", "10.20.0.0/0.0.255.255", "10.20.0.0/016", "10.20.0.1/16"),
        *("127.0.0.0/16", "169.254.0.0/16", "192.0.2.0/24", "0.0.0.0/8", "240.0.0.0/8", "100.64.0.0/16", "8.8.8.0/24"),
    ],
)
def test_an_address_range_is_private_and_in_cidr_form(text: str) -> None:
    assert not valid(AddressRange, text)


@pytest.mark.parametrize("text", ["10.0.0.0/8", "172.31.0.0/16", "192.168.4.0/23"])
def test_private_ranges_are_accepted(text: str) -> None:
    assert valid(AddressRange, text)


@pytest.mark.parametrize("path", ["../x", "a/../b", "./a", "a/.", "/a", "//evil.example/x", "a//b", "a/", "a?b", ""])
def test_a_path_at_an_ehr_stays_below_its_root(path: str) -> None:
    assert not valid(EhrPath, path)


@pytest.mark.parametrize("name", ["\u200b", "a\u202eb", "a\u2066b", "a\u00adb", "a\ufeffb"])
def test_a_name_has_no_invisible_characters(name: str) -> None:
    assert not valid(DisplayName, name)


@pytest.mark.parametrize("name", ["Lakeside Health", "Zoë Ångström", "北京医院", "می\u200cخواهم"])
def test_names_of_every_script_are_accepted(name: str) -> None:
    assert valid(DisplayName, name)
