"""HTTPS with a certificate of one's own, switched on and off on the living system: what a browser meets, down to Django."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import socket
import ssl
import time
from email.message import Message
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab.settings import SETTINGS
from tests.acceptance import edge
from tests.acceptance.app import write_row
from tests.acceptance.system import System
from tests.e2e.steps import await_page, nothing_changed, succeeded

HOST = "127.0.0.1"
HTTPS_URL = f"https://{HOST}:{SETTINGS.https_port}"
TAGS = ("--tags", "edge,app")


def make_certificate() -> tuple[bytes, bytes]:
    """Certificate and key (PEM) for HOST, signed by themselves: who trusts this one trusts no other of the lab."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Rehearsal of HTTPS")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private


def values(arn: str) -> tuple[str, ...]:
    """Options that switch it on."""
    return "-e", f"load_balancer_certificate_arn={arn}", "-e", f"suite_app_url={HTTPS_URL}"


def listens(system: System) -> set[int]:
    arn = system.load_balancer()["LoadBalancerArn"]
    return {one["Port"] for one in system.client("elbv2").describe_listeners(LoadBalancerArn=arn)["Listeners"]}


def handshake(context: ssl.SSLContext) -> tuple[str | None, bytes]:
    """Protocol that was agreed on, and the certificate that was shown (DER)."""
    plain = socket.create_connection((HOST, SETTINGS.https_port), timeout=10)
    with plain, context.wrap_socket(plain, server_hostname=HOST) as encrypted:
        return encrypted.version(), encrypted.getpeercert(binary_form=True)


def ask(path: str, *, https: bool) -> tuple[int, Message]:
    """Status and headers, with those that are there twice. Follows no redirect, and believes what SSL_CERT_FILE names."""
    kind, port = (http.client.HTTPSConnection, SETTINGS.https_port) if https else (http.client.HTTPConnection, SETTINGS.http_port)
    connection = kind(HOST, port, timeout=15)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers
    finally:
        connection.close()


def csrf_cookie(headers: Message) -> str:
    (cookie,) = [one for one in headers.get_all("Set-Cookie", []) if one.startswith("csrftoken=")]
    return cookie.lower()


def delete_unused(acm, arn: str, seconds: float = 60) -> None:
    """When the cluster's ingress has let go of it, too."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            acm.delete_certificate(CertificateArn=arn)
            return
        except acm.exceptions.ResourceInUseException:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, bytes]:
    """The certificate's file, and its key."""
    shown, key = make_certificate()
    path = tmp_path_factory.mktemp("https") / "certificate.pem"
    path.write_bytes(shown)
    return path, key


@pytest.fixture(scope="module")
def encrypted(built, recorder, certificate):
    """The system with HTTPS, as its visitors' browsers see it."""
    path, key = certificate
    acm, trusted = built.client("acm"), pytest.MonkeyPatch()
    arn = acm.import_certificate(Certificate=path.read_bytes(), PrivateKey=key)["CertificateArn"]
    trusted.setenv("SSL_CERT_FILE", str(path))
    try:
        succeeded(recorder.playbook("https on", "site.yml", *TAGS, *values(arn)))
        system = System(app_url=HTTPS_URL)
        await_page(system)
        yield system
    finally:
        trusted.undo()
        if 443 in listens(built):
            succeeded(recorder.playbook("https off after a failure", "site.yml", *TAGS))
        delete_unused(acm, arn)


def test_listeners_and_targets(encrypted):
    edge.check_listeners(encrypted)
    assert listens(encrypted) == {80, 443}
    # Its checks come over HTTP, and Django redirects whatever else does.
    edge.check_targets_are_healthy(encrypted)


def test_http_redirects_to_the_same_page(encrypted):
    status, headers = ask("/?page=2&q=a%20b", https=False)
    assert (status, headers["Location"]) == (301, f"{HTTPS_URL}/?page=2&q=a%20b")


def test_the_certificate_is_the_imported_one(encrypted, certificate):
    version, shown = handshake(ssl.create_default_context(cafile=str(certificate[0])))
    assert shown == ssl.PEM_cert_to_DER_cert(certificate[0].read_text("ascii")) and version in ("TLSv1.2", "TLSv1.3")


def test_tls_1_2_is_the_oldest(encrypted, certificate):
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(context)[0] == "TLSv1.2"
    # This machine's own library would not speak 1.1 otherwise, and the load balancer's refusal not be seen.
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError) as refused:
        handshake(context)
    assert refused.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION", f"not the load balancer's word: {refused.value}"


def test_browsers_are_told_to_insist(encrypted):
    status, headers = ask("/", https=True)
    assert status == 200
    (hsts,) = headers.get_all("Strict-Transport-Security")
    # The reference project's own; a project that says nothing gets a month from the overlay.
    assert hsts.startswith("max-age=31536000")
    assert "; secure" in csrf_cookie(headers)


def test_forms_work(encrypted):
    text = write_row(encrypted)
    assert text in encrypted.get("/").body


def test_a_further_run_changes_nothing(encrypted, recorder):
    arn = encrypted.load_balancer()["LoadBalancerArn"]
    listeners = encrypted.client("elbv2").describe_listeners(LoadBalancerArn=arn)["Listeners"]
    (used,) = [one["Certificates"][0]["CertificateArn"] for one in listeners if one["Port"] == 443]
    nothing_changed(recorder.playbook("https again", "site.yml", *TAGS, *values(used)))


def test_back_to_http(encrypted, built, recorder):
    succeeded(recorder.playbook("https off", "site.yml", *TAGS))
    assert listens(built) == {80}
    await_page(built)
    status, headers = ask("/", https=False)
    assert status == 200 and "Strict-Transport-Security" not in headers
    assert "; secure" not in csrf_cookie(headers)
    deadline = time.monotonic() + 30
    while True:
        try:
            ask("/", https=True)
        except OSError:
            break
        assert time.monotonic() < deadline, "the listener is gone, and something answers on its port"
        time.sleep(1)
    write_row(built)
