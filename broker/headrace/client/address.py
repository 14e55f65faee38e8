"""Broker addresses as people write them: `host:port`, several with commas, IPv6 in brackets."""

from dataclasses import dataclass

DEFAULT_PORT = 9092


@dataclass(frozen=True, slots=True)
class Address:
    """One host and port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_addresses(text: str) -> tuple[Address, ...]:
    """The addresses in `text`; port 9092 where none is given. Raises ValueError(sentence)."""
    addresses = tuple(_parse_one(part.strip()) for part in text.split(",") if part.strip())
    if not addresses:
        raise ValueError("an address is needed, like 127.0.0.1:9092")
    return addresses


def _parse_one(text: str) -> Address:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not an address: write IPv6 like [::1]:9092")
        port = rest[1:]
    elif text.count(":") > 1:
        raise ValueError(f"{text!r} is not an address: write IPv6 like [::1]:9092")
    else:
        host, colon, port = text.partition(":")
        if colon and not port:
            raise ValueError(f"{text!r} has no port after the colon")
    if not host:
        raise ValueError(f"{text!r} has no host: write it like 127.0.0.1:9092")
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError(f"{host!a} cannot be a host's name") from None
    number = int(port) if port.isascii() and port.isdigit() else DEFAULT_PORT if not port else 0
    if not 1 <= number <= 65535:
        raise ValueError(f"{port!r} in {text!r} is not a port: it is a number from 1 to 65535")
    return Address(host, number)
