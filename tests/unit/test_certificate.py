"""certificate: requested once, issued when its records are there, replaced for other names; the lab's ACM looks for the records."""

from __future__ import annotations

import pytest
from moto.acm.models import AWSCertificateManagerBackend, CertBundle

from lab.api import acm as addition
from tests.unit.moto_patches import client, patched
from tests.unit.run_module import run_module

TAGS = {"Project": "django", "Environment": "lab"}
DOMAINS = ["www.example.com", "*.www.example.com", "example.com"]


@pytest.fixture(autouse=True)
def account(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with patched(addition, CertBundle, AWSCertificateManagerBackend):
        yield


def run(capsys, check_mode=False, **options) -> dict:
    return run_module(capsys, "certificate", check_mode=check_mode, **{"name": "lab-alb", "domains": DOMAINS, "tags": TAGS, **options})


def arns() -> list[str]:
    return [one["CertificateArn"] for one in client("acm").list_certificates()["CertificateSummaryList"]]


def validate(records: list[dict]) -> None:
    route53 = client("route53")
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    changes = [
        {
            "Action": "UPSERT",
            "ResourceRecordSet": {
                "Name": one["name"],
                "Type": one["type"],
                "TTL": 60,
                "ResourceRecords": [{"Value": one["value"]}],
            },
        }
        for one in records
    ]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


def test_its_life(capsys):
    assert run(capsys, check_mode=True) == {**run(capsys, check_mode=True), "changed": True, "arn": ""} and not arns()
    made = run(capsys)
    assert made["changed"] and made["status"] == "PENDING_VALIDATION" and arns() == [made["arn"]]
    assert len(made["records"]) == 2, "a name and its wildcard share one record"
    assert not run(capsys)["changed"] and not run(capsys, domains=DOMAINS[::-1])["changed"]

    validate(made["records"])
    issued = run(capsys, wait=True, wait_timeout=0)
    assert (issued["changed"], issued["status"], issued["superseded"]) == (False, "ISSUED", [])

    other = run(capsys, domains=["shop.example.com"])
    assert other["changed"] and other["superseded"] == [made["arn"]]

    assert run(capsys, state="absent", check_mode=True)["changed"] and len(arns()) == 2
    assert run(capsys, state="absent")["changed"] and not arns()
    assert not run(capsys, state="absent")["changed"]


def test_it_is_not_issued_without_its_records(capsys):
    answer = run(capsys, wait=True, wait_timeout=0)
    assert answer["failed"] and "www.example.com" in answer["msg"] and "PENDING_VALIDATION" in answer["msg"]


def test_a_certificate_that_acm_has_given_up_is_requested_anew(capsys, monkeypatch):
    made = run(capsys)
    # DNS did not answer for 72 hours.
    monkeypatch.setattr(
        CertBundle, "check", lambda self: setattr(self, "status", "VALIDATION_TIMED_OUT") if self.arn == made["arn"] else None
    )
    again = run(capsys)
    assert again["changed"] and again["arn"] != made["arn"] and again["superseded"] == [made["arn"]]


def listener(arn: str) -> str:
    ec2, elbv2 = client("ec2"), client("elbv2")
    subnets = [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]]
    balancer = elbv2.create_load_balancer(Name="k8s-ingress", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    return elbv2.create_listener(
        LoadBalancerArn=balancer, Protocol="HTTPS", Port=443, Certificates=[{"CertificateArn": arn}], DefaultActions=[answer]
    )["Listeners"][0]["ListenerArn"]


def test_a_superseded_certificate_goes_when_nothing_uses_it(capsys, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    old = run(capsys)["arn"]
    other = {"domains": ["shop.example.com"], "purge": True}
    user = listener(old)
    made = run(capsys, **other)
    assert made["changed"] and made["superseded"] == [old], "the cluster's ingress still has it"
    again = run(capsys, **other)
    assert not again["changed"] and again["superseded"] == [old]
    assert "ResourceInUseException" in run(capsys, state="absent")["error"]["code"]

    client("elbv2").delete_listener(ListenerArn=user)
    assert run(capsys, check_mode=True, **other)["changed"] and old in arns()
    last = run(capsys, **other)
    assert last["changed"] and last["superseded"] == [] and arns() == [made["arn"]]


def test_certificates_of_others_are_left_alone(capsys):
    foreign = client("acm").request_certificate(DomainName=DOMAINS[0], Tags=[{"Key": "Name", "Value": "lab-alb"}])["CertificateArn"]
    assert run(capsys, state="absent")["changed"] is False
    assert run(capsys)["arn"] != foreign
    assert run(capsys, state="absent")["changed"] and arns() == [foreign]


def test_names_are_needed(capsys):
    assert "host name" in run(capsys, domains=[])["msg"]
