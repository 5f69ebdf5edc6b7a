"""CloudFront: a distribution needs a bucket that is there, is `InProgress` for some minutes (scaled) after each change, is deleted only
when it is switched off everywhere, and its origins tell their origin access control. It serves nobody: the lab has no CDN.
"""

from __future__ import annotations

import time
from typing import Any

from moto.cloudfront.exceptions import CloudFrontException
from moto.cloudfront.models import CloudFrontBackend, Distribution, Origin
from moto.s3.models import s3_backends

from lab.settings import SETTINGS

DEPLOY_SECONDS = 180


def begin(distribution: Distribution) -> None:
    distribution.lab_deployed_at = time.monotonic() + SETTINGS.scaled(DEPLOY_SECONDS)


def status(distribution: Distribution) -> str:
    return "Deployed" if time.monotonic() >= distribution.lab_deployed_at else "InProgress"


def refuse_without_bucket(backend: CloudFrontBackend, config: dict[str, Any]) -> None:
    buckets = s3_backends[backend.account_id][backend.partition].buckets
    origins = config["Origins"]["Items"]
    names = [origin["DomainName"].partition(".s3.")[0] for origin in origins if "S3OriginConfig" in origin]
    if not set(names) <= set(buckets):
        raise CloudFrontException("InvalidOrigin", "The specified origin server does not exist or is not valid.")


def install() -> None:
    """Patch moto's distributions and their origins."""
    origin_init, distribution_init = Origin.__init__, Distribution.__init__
    create = CloudFrontBackend.create_distribution_with_tags
    update, delete = CloudFrontBackend.update_distribution, CloudFrontBackend.delete_distribution

    def init_origin(self: Origin, origin: dict[str, Any]) -> None:
        origin_init(self, origin)
        if "S3OriginConfig" in origin:
            self.s3_origin_config = {"OriginAccessIdentity": self.s3_access_identity}
            self.origin_access_control_id = origin.get("OriginAccessControlId") or ""

    def init_distribution(self: Distribution, *arguments: Any, **kwargs: Any) -> None:
        distribution_init(self, *arguments, **kwargs)
        begin(self)

    def create_distribution(self: CloudFrontBackend, distribution_config: dict[str, Any], tags: list[dict[str, str]]) -> tuple:
        refuse_without_bucket(self, distribution_config)
        return create(self, distribution_config, tags)

    def update_distribution(self: CloudFrontBackend, *arguments: Any, **kwargs: Any) -> tuple:
        answer = update(self, *arguments, **kwargs)
        begin(answer[0])
        return answer

    def delete_distribution(self: CloudFrontBackend, distribution_id: str, if_match: bool) -> None:
        found = self.distributions.get(distribution_id)
        if found and (found.distribution_config.Enabled or found.status != "Deployed"):
            raise CloudFrontException("DistributionNotDisabled", "The distribution you are trying to delete has not been disabled.")
        delete(self, distribution_id, if_match)

    Origin.__init__ = init_origin
    Distribution.__init__ = init_distribution
    Distribution.status = property(status)
    CloudFrontBackend.create_distribution_with_tags = create_distribution
    CloudFrontBackend.update_distribution = update_distribution
    CloudFrontBackend.delete_distribution = delete_distribution
