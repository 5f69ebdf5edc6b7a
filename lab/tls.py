"""The lab's certificate authority, in place of RDS's and Amazon's: one key in .lab/tls, made when first needed."""

from __future__ import annotations

import datetime
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.settings import SETTINGS, Settings

# A lab lives for days; RDS's server certificates live for a year as well.
LIFETIME = datetime.timedelta(days=365)


def authority(settings: Settings = SETTINGS) -> Path:
    """Path of the authority's certificate (PEM), which clients trust. Its key is ca.key beside it, mode 0600."""
    folder = settings.state / "tls"
    certificate = folder / "ca.crt"
    with _locked(folder):
        if not certificate.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("Espalier lab authority")
            signed = (
                _builder(name, name, key)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(signs_certificates=True), critical=True)
                .sign(key, hashes.SHA256())
            )
            write_secret(folder / "ca.key", _key_pem(key))
            certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return certificate


def issue(names: list[str], settings: Settings = SETTINGS) -> tuple[bytes, bytes]:
    """A new server certificate for these DNS names, the first being its common name, and its key. Both PEM."""
    certificate = authority(settings)
    issuer = x509.load_pem_x509_certificate(certificate.read_bytes())
    issuer_key = serialization.load_pem_private_key(certificate.with_suffix(".key").read_bytes(), password=None)
    key = ec.generate_private_key(ec.SECP256R1())
    signed = (
        # X.520 allows a common name 64 characters; clients look at the alternative names only.
        _builder(_name(names[0][:64]), issuer.subject, key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM), _key_pem(key)


def write_secret(path: Path, content: bytes, owner: int | None = None) -> None:
    """Write a file that nobody but its owner could ever read. `owner` is a numeric user, by default this process's."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    if owner is not None:
        os.chown(path, owner, owner)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two parts of the lab may ask for the authority at the same moment."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of containers and clients may differ a little.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
