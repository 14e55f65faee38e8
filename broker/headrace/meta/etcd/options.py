"""Where etcd is and how it is asked; imports nothing of etcd's client."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdOptions:
    """What an EtcdStore needs to know.

    endpoints: host:port of each member, names or addresses
    ca_file: PEM; TLS is used where it is given
    cert_file, key_file: PEM of the client's own certificate, where etcd asks for one
    username, password_file: where etcd's authentication is on
    first_endpoint: which one is asked first, so that many clients spread over the members
    request_timeout_ms: deadline of each call
    progress_interval_ms: how often a watch is asked whether it lives; three silent ones end it
    page_entries: keys read at once in a snapshot
    """

    endpoints: tuple[str, ...]
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    username: str = ""
    password_file: str = ""
    first_endpoint: int = 0
    request_timeout_ms: int = 3_000
    progress_interval_ms: int = 2_000
    page_entries: int = 1_000

    @property
    def files(self) -> tuple[str, ...]:
        """All files that are read, and read again when they change."""
        names = (self.ca_file, self.cert_file, self.key_file, self.password_file)
        return tuple(name for name in names if name)
