"""The CA and the certificates of a managed etcd, in Secrets as kubernetes.io/tls has them.

Keys are ECDSA P-256: small, quick, and known to every TLS 1.2 client.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from headrace_operator.kinds import Object
from headrace_operator.plan.observed_cluster import Certificate

CA, CERTIFICATE, KEY = "ca.crt", "tls.crt", "tls.key"


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that can sign."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.key.public_key())


def fingerprint(key: object) -> str:
    """A short name of a public key, the same after its certificate was renewed."""
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return ""
    digest = x509.SubjectKeyIdentifier.from_public_key(key).digest
    return digest.hex()


def read_certificate(secret: Object) -> Certificate | None:
    """The certificate in a Secret; None where there is none that can be read."""
    found = _certificate(secret)
    if found is None:
        return None
    try:
        sans = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = frozenset(sans.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        hosts = frozenset()
    try:
        signer = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        issuer = (signer.key_identifier or b"").hex()
    except x509.ExtensionNotFound:
        issuer = ""
    return Certificate(
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        hosts=hosts,
        issuer=issuer,
    )


def read_authority(secret: Object) -> Authority | None:
    """The CA in a Secret; None where it is not whole."""
    certificate = _certificate(secret)
    try:
        key = serialization.load_pem_private_key(_data(secret, KEY), None)
    except ValueError:
        return None
    if certificate is None or not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    return Authority(certificate, key)


def new_authority(
    name: str, now: datetime, life: timedelta, *, former: Authority | None = None
) -> Authority:
    """A CA; the successor of a `former` one keeps its key, so what that signed stays good."""
    key = ec.generate_private_key(ec.SECP256R1()) if former is None else former.key
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    certificate = (
        _builder(subject, subject, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def authority_data(authority: Authority) -> dict[str, str]:
    """The data of the CA's Secret."""
    return _encoded({CERTIFICATE: _pem(authority.certificate), KEY: _key_pem(authority.key)})


def issue(
    authority: Authority,
    name: str,
    hosts: Iterable[str],
    now: datetime,
    life: timedelta,
) -> dict[str, str]:
    """The data of a Secret with a new key and a certificate for it, good for both ends of TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    issuer = authority.certificate.subject
    ends = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(subject, issuer, key.public_key(), now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(ends), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    names = [x509.DNSName(host) for host in sorted(hosts)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(authority.key, hashes.SHA256())
    return _encoded(
        {CA: _pem(authority.certificate), CERTIFICATE: _pem(certificate), KEY: _key_pem(key)}
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + life)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate(secret: Object) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(_data(secret, CERTIFICATE))
    except ValueError:
        return None


def _data(secret: Object, name: str) -> bytes:
    return base64.b64decode((secret.get("data") or {}).get(name, ""))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in data.items()}
