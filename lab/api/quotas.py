"""Service Quotas: the values that AWS gives an account, of those quotas that the suite can meet. moto knows a VPC's only.

No quota was ever raised here, and none is enforced. AWS begins with fewer processors in an account that is new, and raises them by itself.
"""

from __future__ import annotations

import json

from moto.servicequotas.exceptions import NoSuchResource
from moto.servicequotas.responses import ServiceQuotasResponse

DEFAULTS = {
    ("vpc", "L-F678F1CE"): 5.0,
    ("ec2", "L-0263D0A3"): 5.0,
    ("ec2", "L-1216C47A"): 32.0,
    ("elasticloadbalancing", "L-53DA6B97"): 50.0,
    ("rds", "L-7B6409FD"): 40.0,
}


def get_aws_default_service_quota(self: ServiceQuotasResponse) -> str:
    wanted = json.loads(self.body)
    service, code = wanted["ServiceCode"], wanted["QuotaCode"]
    if (service, code) not in DEFAULTS:
        raise NoSuchResource
    return json.dumps({"Quota": {"ServiceCode": service, "QuotaCode": code, "Value": DEFAULTS[service, code]}})


def install() -> None:
    """Give moto's response class the operation."""
    ServiceQuotasResponse.get_aws_default_service_quota = get_aws_default_service_quota
