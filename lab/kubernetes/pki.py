"""A cluster's keys and certificates: its own authority, the API server's, the nodes' and the components' certificates."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.tls import write_secret

LIFETIME = datetime.timedelta(days=365)
NO_ENCRYPTION = serialization.NoEncryption()


@dataclass(frozen=True)
class Identity:
    """A key and its certificate, PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A certificate authority in a folder: <name>.crt and, mode 0600, <name>.key. Made when first needed."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.crt"
        self.key_path = folder / f"{name}.key"
        if not self.path.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
            usage = _usage(signs_certificates=True)
            signed = (
                _builder(subject, subject, key)
                .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                .add_extension(usage, critical=True)
                .sign(key, hashes.SHA256())
            )
            write_secret(self.key_path, _pem(key))
            self.path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    @property
    def certificate(self) -> bytes:
        return self.path.read_bytes()

    @property
    def encoded(self) -> str:
        """The certificate as kubeconfigs and EKS hold it."""
        return base64.b64encode(self.certificate).decode()

    def issue(self, name: str, organization: str = "", names: tuple[str, ...] = ()) -> Identity:
        """A certificate for the user `name` of the group `organization`; for a server, too, when it has DNS `names` or addresses."""
        issuer = x509.load_pem_x509_certificate(self.certificate)
        signer = serialization.load_pem_private_key(self.key_path.read_bytes(), password=None)
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])]
        builder = (
            _builder(subject, issuer.subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(entry) for entry in names]), critical=False)
        signed = builder.sign(signer, hashes.SHA256())
        return Identity(signed.public_bytes(serialization.Encoding.PEM), _pem(key))


def signing_key(path: Path) -> None:
    """The key that signs service accounts' tokens, and the public one beside it as .pub. RSA, as EKS has it."""
    if path.exists():
        return
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    write_secret(path, _pem(key))


def write(identity: Identity, folder: Path, name: str) -> None:
    """As <name>.crt and, mode 0600, <name>.key."""
    (folder / f"{name}.crt").write_bytes(identity.certificate)
    write_secret(folder / f"{name}.key", identity.key)


def kubeconfig(server: str, authority: Authority, identity: Identity) -> bytes:
    """A kubeconfig with the certificates inside."""

    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    user = {"client-certificate-data": encoded(identity.certificate), "client-key-data": encoded(identity.key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": authority.encoded}}],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    }
    return json.dumps(config).encode()


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


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
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, NO_ENCRYPTION)
