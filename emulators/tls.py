"""The local certificate authority: one per state folder, made when the emulated cloud starts, gone when it ends.

Owns `ca/` of the state folder: `ca.pem` (public, what clients are told to trust), `ca.key` and the leaf pairs
`<name>.pem` and `<name>.key`. Keys are 0600. Whoever makes any of them holds `lock`: the provider's processes and the
supervisor come for the first one at the same moment, and there is to be one authority. `server.pem` is the pair of the
emulators' own web pages. Certificates carry what RFC 5280 (section 4.2) asks of issuer and leaf, so that OpenSSL's
strict mode and browsers accept them.
"""

import fcntl
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from emulators.state import write_file, write_private

__all__ = [
    "ca_certificate",
    "client_context",
    "context_with",
    "ensure_leaf",
    "server_context",
    "server_pair",
    "write_private",
]

LIFETIME = timedelta(days=30)
SERVER = "server"
LOCK = "lock"


def folder(state: Path) -> Path:
    return state / "ca"


def ca_certificate(state: Path) -> Path:
    """The file that clients trust."""
    return folder(state) / "ca.pem"


def server_pair(state: Path, name: str = SERVER) -> tuple[Path, Path]:
    """Certificate (with its issuer) and key of one leaf."""
    return folder(state) / f"{name}.pem", folder(state) / f"{name}.key"


@contextmanager
def _alone(state: Path) -> Generator[None]:
    folder(state).mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder(state) / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _ensure_authority(state: Path) -> None:
    """The CA, made if there is none or its key is gone or it ends within a day; then without leaves."""
    certificate, key = ca_certificate(state), folder(state) / "ca.key"
    if certificate.exists() and key.exists() and _ends(certificate) > datetime.now(UTC) + timedelta(days=1):
        return
    for made in folder(state).iterdir():
        if made.name != LOCK:
            made.unlink()
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Teams EHR connector local CA (this machine only)")])
    ski = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
    built = (
        _builder(name, name, private.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(certificate_sign=True), critical=True)
        .add_extension(ski, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)
        .sign(private, hashes.SHA256())
    )
    write_private(key, _pem(private))
    write_file(certificate, built.public_bytes(serialization.Encoding.PEM), 0o644)


def ensure_leaf(state: Path, hosts: Sequence[str], name: str = SERVER) -> tuple[Path, Path]:
    """A leaf pair for `hosts` (names or addresses, without ports), made again if it names others or ends soon."""
    with _alone(state):
        _ensure_authority(state)
        return _ensure_leaf(state, hosts, name)


def _ensure_leaf(state: Path, hosts: Sequence[str], name: str) -> tuple[Path, Path]:
    certificate, key = server_pair(state, name)
    if certificate.exists() and key.exists() and _names(certificate) >= set(hosts):
        return certificate, key
    authority = x509.load_pem_x509_certificate(ca_certificate(state).read_bytes())
    issuer = serialization.load_pem_private_key((folder(state) / "ca.key").read_bytes(), None)
    assert isinstance(issuer, ec.EllipticCurvePrivateKey)
    private = ec.generate_private_key(ec.SECP256R1())
    names = dict.fromkeys([*hosts, *(_names(certificate) if certificate.exists() else ())])
    built = (
        _builder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])]), authority.subject, private.public_key()
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificate_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        .sign(issuer, hashes.SHA256())
    )
    write_private(key, _pem(private))
    pem = serialization.Encoding.PEM
    write_file(certificate, built.public_bytes(pem) + authority.public_bytes(pem), 0o644)
    return certificate, key


def server_context(state: Path, name: str = SERVER) -> ssl.SSLContext:
    """What a server ends TLS with."""
    return _server_context(*server_pair(state, name))


def context_with(private: ec.EllipticCurvePrivateKey, chain: Sequence[x509.Certificate]) -> ssl.SSLContext:
    """The same with a pair that is in no file; OpenSSL reads files, so for a moment it is in one of ours, 0600."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
        certificate.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain))
        write_private(key, _pem(private))
        return _server_context(certificate, key)


def _server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def client_context(state: Path) -> ssl.SSLContext:
    """What a client of the local stack trusts: the local CA and nothing else."""
    return ssl.create_default_context(cafile=str(ca_certificate(state)))


def _builder(subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
    )


def _key_usage(*, certificate_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificate_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificate_sign,
        crl_sign=certificate_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _names(certificate: Path) -> set[str]:
    loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
    if loaded.not_valid_after_utc < datetime.now(UTC) + timedelta(days=1):
        return set()
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}


def _ends(certificate: Path) -> datetime:
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def _pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
