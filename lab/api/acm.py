"""ACM: a certificate that was requested is issued when its validation records stand in the account's Route 53, and not before; one that a
listener uses cannot be deleted.

moto issues every certificate a minute after its request, and deletes any.
"""

from __future__ import annotations

from moto.acm.exceptions import AWSError
from moto.acm.models import AWSCertificateManagerBackend, CertBundle
from moto.elbv2.models import elbv2_backends
from moto.route53.models import route53_backends


def is_validated(certificate: CertBundle) -> bool:
    """Whether each name's CNAME record is in a public zone, with the value that ACM looks for."""
    _arn, partition, _acm, _region, account_id, _id = certificate.arn.split(":", 5)
    zones = route53_backends[account_id][partition].zones.values()
    found = {
        (record.name.rstrip("."), "CNAME", value.rstrip("."))
        for zone in zones
        if not zone.private_zone
        for record in zone.rrsets
        if record.type == "CNAME"
        for value in record.records
    }
    options = certificate.describe()["Certificate"].get("DomainValidationOptions", [])
    wanted = [option["ResourceRecord"] for option in options]
    return all((record["Name"].rstrip("."), record["Type"], record["Value"].rstrip(".")) in found for record in wanted)


def users(backend: AWSCertificateManagerBackend, arn: str) -> list[str]:
    """ARNs of the load balancers with a listener that has the certificate."""
    balancers = elbv2_backends[backend.account_id][backend.region_name].load_balancers.values()
    return [one.arn for one in balancers if any(arn in listener.certificates for listener in one.listeners.values())]


def install() -> None:
    original = CertBundle.check
    delete = AWSCertificateManagerBackend.delete_certificate

    def check(self: CertBundle) -> None:
        waits = self.type == "AMAZON_ISSUED" and self.status == "PENDING_VALIDATION"
        original(self)
        if waits and self.status in ("PENDING_VALIDATION", "ISSUED"):
            self.status = "ISSUED" if is_validated(self) else "PENDING_VALIDATION"

    CertBundle.check = check

    def delete_certificate(self: AWSCertificateManagerBackend, arn: str) -> None:
        if users(self, arn):
            raise AWSError(f"Certificate {arn} in account {self.account_id} is in use.", "ResourceInUseException")
        delete(self, arn)

    AWSCertificateManagerBackend.delete_certificate = delete_certificate
