"""Addresses as people write them."""

import pytest
from headrace.client.address import Address, parse_addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", [("localhost", 9092)]),
        ("a:1, b:65535", [("a", 1), ("b", 65535)]),
        ("[::1]:9000,[fe80::1]", [("::1", 9000), ("fe80::1", 9092)]),
    ],
)
def test_addresses_are_read(text: str, expected: list[tuple[str, int]]) -> None:
    assert parse_addresses(text) == tuple(Address(*one) for one in expected)


@pytest.mark.parametrize(
    "text", ["", ",", ":9092", "a:", "a:b", "a:0", "a:65536", "::1", "[::1", "a:-1"]
)
def test_what_is_no_address_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        parse_addresses(text)


def test_an_ipv6_address_is_shown_in_brackets() -> None:
    assert str(Address("::1", 9092)) == "[::1]:9092"
