"""CloudFront in front of a bucket, on moto: create, again, change, remove, again; each also in check mode."""

from __future__ import annotations

import boto3
import pytest
from ansible_collections.espalier.aws.plugins.modules import s3_distribution
from botocore.exceptions import ClientError
from moto.cloudfront.models import CloudFrontBackend, Distribution, Origin

from lab.api import cloudfront
from tests.unit.moto_patches import patched
from tests.unit.run_module import run_module

NAME, BUCKET = "lab-django-cdn", "lab-django-static-123456789012"


@pytest.fixture
def client(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    monkeypatch.setattr(cloudfront, "DEPLOY_SECONDS", 0)
    monkeypatch.setattr(s3_distribution, "POLL_SECONDS", 0.01)
    with patched(cloudfront, CloudFrontBackend, Distribution, Origin):
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield boto3.client("cloudfront")


@pytest.fixture
def ensure(capsys):
    def run(check_mode=False, **options):
        return run_module(capsys, "s3_distribution", check_mode, **{"name": NAME, "bucket": BUCKET, **options})

    return run


def distributions(client):
    return client.list_distributions()["DistributionList"].get("Items", [])


def test_the_bucket_is_asked_with_signed_requests(client, ensure):
    planned = ensure(check_mode=True)
    assert planned["changed"] and planned["arn"] == "" and distributions(client) == []
    made = ensure(tags={"Project": "django"})
    assert made["changed"] and made["domain_name"].endswith(".cloudfront.net")
    (found,) = distributions(client)
    (origin,) = found["Origins"]["Items"]
    assert origin["DomainName"] == f"{BUCKET}.s3.us-east-1.amazonaws.com" and origin["S3OriginConfig"] == {"OriginAccessIdentity": ""}
    control = client.get_origin_access_control(Id=origin["OriginAccessControlId"])["OriginAccessControl"]["OriginAccessControlConfig"]
    assert (control["SigningBehavior"], control["OriginAccessControlOriginType"]) == ("always", "s3")
    behaviour = found["DefaultCacheBehavior"]
    assert behaviour["ViewerProtocolPolicy"] == "redirect-to-https" and "GET" in behaviour["AllowedMethods"]["Items"]
    assert client.list_tags_for_resource(Resource=made["arn"])["Tags"]["Items"] == [{"Key": "Project", "Value": "django"}]


def test_the_lab_takes_a_bucket_that_is_there(client, ensure):
    assert ensure(bucket="lab-nowhere")["error"]["code"] == "InvalidOrigin" and distributions(client) == []


def test_a_second_run_changes_nothing(client, ensure):
    made, again, planned = ensure(), ensure(), ensure(check_mode=True)
    assert not again["changed"] and not planned["changed"]
    assert made["arn"] == again["arn"] == planned["arn"]


def test_a_change_is_made(client, ensure):
    ensure()
    names = {"aliases": ["cdn.example.com"], "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/0"}
    assert ensure(check_mode=True, **names)["changed"]
    assert distributions(client)[0]["Aliases"]["Quantity"] == 0
    changed = ensure(**names)
    assert changed["changed"] and changed["domain_name"] == "cdn.example.com"
    assert changed["target"] == distributions(client)[0]["DomainName"], "what the alias's DNS record leads to"
    assert distributions(client)[0]["Aliases"]["Items"] == ["cdn.example.com"]
    assert not ensure(**names)["changed"]


def test_it_is_waited_for_until_it_serves_everywhere(client, ensure, monkeypatch):
    monkeypatch.setattr(cloudfront, "DEPLOY_SECONDS", 3)
    made = ensure()
    assert client.get_distribution(Id=made["id"])["Distribution"]["Status"] == "InProgress"
    assert not ensure(check_mode=True, wait=True)["changed"]
    assert client.get_distribution(Id=made["id"])["Distribution"]["Status"] == "Deployed"
    monkeypatch.setattr(cloudfront, "DEPLOY_SECONDS", 10**6)
    assert "not deployed everywhere after 0 s" in ensure(price_class="PriceClass_All", wait=True, timeout_seconds=0)["msg"]
    assert "not switched off everywhere after 0 s" in ensure(state="absent", timeout_seconds=0)["msg"]


def test_the_lab_deletes_none_that_serves(client, ensure):
    made = ensure()
    with pytest.raises(ClientError, match="DistributionNotDisabled"):
        client.delete_distribution(Id=made["id"], IfMatch="x")


def test_it_is_removed_with_its_access_control(client, ensure):
    made = ensure()
    planned = ensure(state="absent", check_mode=True)
    assert planned["changed"] and planned["arn"] == made["arn"] and distributions(client)
    assert ensure(state="absent")["changed"]
    assert distributions(client) == []
    assert not client.list_origin_access_controls()["OriginAccessControlList"].get("Items")
    again = ensure(state="absent")
    assert not again["changed"] and again["arn"] == ""
