"""Read from CloudFront: which bucket is served, how it is asked, and to whom."""

from __future__ import annotations

import pytest

from tests.molecule.fixtures import account_of

NAME = {"defaults": "defaults-django-cdn", "off": "off-django-cdn", "altered": "shop-files"}
BUCKET = {"defaults": "defaults-django-static-123456789012", "altered": "shop-static"}


@pytest.fixture(params=["defaults", "altered"])
def served(request):
    """An environment whose files CloudFront serves."""
    return account_of(request.param)


def distribution(account) -> dict | None:
    listed = account.client("cloudfront").list_distributions()["DistributionList"].get("Items", [])
    return next((found for found in listed if found["Comment"] == NAME[account.environment]), None)


def test_the_bucket_is_asked_with_signed_requests(served):
    (origin,) = distribution(served)["Origins"]["Items"]
    assert origin["DomainName"] == f"{BUCKET[served.environment]}.s3.us-east-1.amazonaws.com"
    control = served.client("cloudfront").get_origin_access_control(Id=origin["OriginAccessControlId"])["OriginAccessControl"]
    assert control["OriginAccessControlConfig"]["SigningBehavior"] == "always"


def test_visitors_come_over_https(served):
    found = distribution(served)
    assert found["Enabled"] and found["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"
    assert found["DefaultCacheBehavior"]["Compress"]


def test_names_and_places(defaults, altered):
    assert distribution(defaults)["ViewerCertificate"]["CloudFrontDefaultCertificate"]
    assert distribution(defaults)["PriceClass"] == "PriceClass_100"
    found = distribution(altered)
    assert (found["Aliases"]["Items"], found["PriceClass"]) == (["static.example.com"], "PriceClass_All")
    assert found["ViewerCertificate"]["MinimumProtocolVersion"] == "TLSv1.2_2021"


def test_tags(served):
    tags = served.client("cloudfront").list_tags_for_resource(Resource=distribution(served)["ARN"])["Tags"]["Items"]
    assert {"Key": "Environment", "Value": served.environment} in tags


def removed(account) -> bool:
    controls = account.client("cloudfront").list_origin_access_controls()["OriginAccessControlList"].get("Items", [])
    return distribution(account) is None and NAME[account.environment] not in [control["Name"] for control in controls]


def test_off_leaves_it_to_the_removal():
    assert distribution(account_of("off"))["Enabled"], "pages name it until they are others"


def test_gone(account):
    assert removed(account)
