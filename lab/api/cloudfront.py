"""CloudFront: a distribution's origins tell their origin access control. It serves nobody: the lab has no CDN."""

from __future__ import annotations

from moto.cloudfront.models import Origin


def install() -> None:
    """Patch moto's origins."""
    moto_init = Origin.__init__

    def init(self, origin):
        moto_init(self, origin)
        if "S3OriginConfig" in origin:
            self.s3_origin_config = {"OriginAccessIdentity": self.s3_access_identity}
            self.origin_access_control_id = origin.get("OriginAccessControlId") or ""

    Origin.__init__ = init
