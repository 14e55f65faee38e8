"""Certificates of a managed etcd, checked by TLS itself."""

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from headrace_operator.pki import (
    Authority,
    authority_data,
    issue,
    new_authority,
    read_authority,
    read_certificate,
)

NOW = datetime.now(UTC).replace(microsecond=0)
YEAR = timedelta(days=365)


def shaken(tmp_path: Path, trusted: Authority, signer: Authority, host: str) -> bool:
    """Whether a TLS handshake holds between two ends with certificates of `signer`."""
    files = {}
    for end, hosts in (("server", ("etcd-0.example.org",)), ("client", ())):
        for name, text in issue(signer, end, hosts, NOW, YEAR).items():
            files[end, name] = tmp_path / f"{end}-{name}"
            files[end, name].write_bytes(base64.b64decode(text))
    ca = base64.b64decode(authority_data(trusted)["tls.crt"]).decode()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.verify_mode = ssl.CERT_REQUIRED
    for end, context in (("server", server), ("client", client)):
        context.load_verify_locations(cadata=ca)
        context.load_cert_chain(files[end, "tls.crt"], files[end, "tls.key"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done = set()
    for _ in range(10):
        for end in ends:
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError:
                return False
    return len(done) == 2


def test_both_ends_trust_what_the_ca_signed_and_nothing_else(tmp_path: Path) -> None:
    ca, other = new_authority("ca", NOW, YEAR), new_authority("ca", NOW, YEAR)
    assert shaken(tmp_path, ca, ca, "etcd-0.example.org")
    assert not shaken(tmp_path, ca, ca, "etcd-9.example.org")
    assert not shaken(tmp_path, other, ca, "etcd-0.example.org")


def test_a_renewed_ca_trusts_what_its_predecessor_signed(tmp_path: Path) -> None:
    old = new_authority("ca", NOW, YEAR)
    new = new_authority("ca", NOW, 2 * YEAR, former=old)
    assert new.fingerprint == old.fingerprint
    assert shaken(tmp_path, new, old, "etcd-0.example.org")
    assert shaken(tmp_path, old, new, "etcd-0.example.org")


def test_secrets_are_read_back() -> None:
    ca = new_authority("ca", NOW, YEAR)
    again = read_authority({"data": authority_data(ca)})
    assert again is not None and again.fingerprint == ca.fingerprint
    found = read_certificate({"data": issue(ca, "x", ("a", "b"), NOW, YEAR)})
    assert found is not None
    assert (found.hosts, found.issuer) == ({"a", "b"}, ca.fingerprint)
    assert (found.not_before, found.not_after) == (NOW, NOW + YEAR)


def test_what_is_no_certificate_is_none() -> None:
    assert read_certificate({"data": {"tls.crt": "eA=="}}) is None
    assert read_certificate({}) is None
    assert read_authority({"data": {"tls.crt": "eA==", "tls.key": "eA=="}}) is None
