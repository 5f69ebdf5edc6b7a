"""Asked over Elastic Load Balancing's API: health check, draining, listeners."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.acceptance import edge
from tests.acceptance.system import only, tags_of
from tests.molecule.fixtures import account_of

NAMES = {
    "defaults": ("defaults-django-alb", "defaults-django-tg"),
    "altered": ("shop-alb", "shop-tg"),
    "given": ("given-django-alb", "given-django-tg"),
}
DOMAINS = ["*.altered.example.com", "www.altered.example.com"]


def load_balancer(account) -> dict:
    return only(account.client("elbv2").describe_load_balancers(Names=[NAMES[account.environment][0]])["LoadBalancers"], "load balancer")


def target_group(account) -> dict:
    return only(account.client("elbv2").describe_target_groups(Names=[NAMES[account.environment][1]])["TargetGroups"], "target group")


@pytest.mark.parametrize(
    "check", [edge.check_load_balancer, edge.check_target_group, edge.check_listeners], ids=lambda check: check.__name__
)
def test_defaults(defaults, check):
    check(defaults)


def test_altered_health_check(altered):
    expected = {
        "Port": 8000,
        "HealthCheckPath": "/alive",
        "HealthCheckIntervalSeconds": 10,
        "HealthCheckTimeoutSeconds": 3,
        "HealthyThresholdCount": 3,
        "UnhealthyThresholdCount": 4,
        "Matcher": {"HttpCode": "200-204"},
    }
    found = target_group(altered)
    assert {key: found[key] for key in expected} == expected


def test_draining(account):
    arn = target_group(account)["TargetGroupArn"]
    attributes = account.client("elbv2").describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    delay = next(entry["Value"] for entry in attributes if entry["Key"] == "deregistration_delay.timeout_seconds")
    assert delay == ("5" if account.environment == "altered" else "30"), f"a leaving target is waited for {delay} s"


def test_attributes(account):
    arn = load_balancer(account)["LoadBalancerArn"]
    answer = account.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    found = {entry["Key"]: entry["Value"] for entry in answer}
    assert found["idle_timeout.timeout_seconds"] == ("120" if account.environment == "altered" else "60")
    assert found["routing.http.drop_invalid_header_fields.enabled"] == ("false" if account.environment == "altered" else "true")
    assert found["deletion_protection.enabled"] == "false"
    logs = {key.rpartition(".")[2]: value for key, value in found.items() if key.startswith("access_logs.s3.")}
    if account.environment == "altered":
        assert logs == {"enabled": "true", "bucket": "altered-django-static-123456789012", "prefix": "logs/visitors"}
    else:
        assert logs["enabled"] == "false", "access logs are written although nobody asked"


def certificates(account) -> list[dict]:
    """Those that carry the environment's tags."""
    acm, found = account.client("acm"), []
    for one in acm.list_certificates()["CertificateSummaryList"]:
        if tags_of(acm.list_tags_for_certificate(CertificateArn=one["CertificateArn"])).get("Environment") == account.environment:
            found.append(acm.describe_certificate(CertificateArn=one["CertificateArn"])["Certificate"])
    return found


def records(account, kind: str) -> dict[str, dict]:
    route53 = account.client("route53")
    name = f"{account.environment}.example.com"
    zone = only(route53.list_hosted_zones_by_name(DNSName=name, MaxItems="1")["HostedZones"], "zone")
    found = route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    return {one["Name"].rstrip(".").replace(r"\052", "*"): one for one in found if one["Type"] == kind}


def test_a_certificate_is_requested_and_validated(altered):
    found = only(certificates(altered), "certificate")
    assert sorted(found["SubjectAlternativeNames"]) == DOMAINS and found["Status"] == "ISSUED"
    wanted = {
        option["ResourceRecord"]["Name"].rstrip("."): option["ResourceRecord"]["Value"] for option in found["DomainValidationOptions"]
    }
    assert {name: only(one["ResourceRecords"], "value")["Value"] for name, one in records(altered, "CNAME").items()} == wanted


def test_host_names_lead_to_the_load_balancer(altered):
    found = {name: one["AliasTarget"] for name, one in records(altered, "A").items()}
    balancer = load_balancer(altered)
    assert sorted(found) == DOMAINS
    assert {one["DNSName"] for one in found.values()} == {f"{balancer['DNSName']}."}
    assert {one["HostedZoneId"] for one in found.values()} == {balancer["CanonicalHostedZoneId"]}


@pytest.mark.parametrize("environment", ["defaults", "given"])
def test_nothing_is_requested_without_a_zone(environment):
    account = account_of(environment)
    assert not certificates(account) and not records(account, "A")


@pytest.mark.parametrize("environment", ["altered", "given"])
def test_https_serves_and_http_redirects(environment):
    altered = account_of(environment)
    arn = load_balancer(altered)["LoadBalancerArn"]
    listeners = {entry["Port"]: entry for entry in altered.client("elbv2").describe_listeners(LoadBalancerArn=arn)["Listeners"]}
    assert set(listeners) == {80, 443}
    version = {"altered": "3", "given": "2"}[environment]
    assert listeners[443]["SslPolicy"] == f"ELBSecurityPolicy-TLS13-1-{version}-2021-06"
    if environment == "altered":
        arn = only(certificates(altered), "certificate")["CertificateArn"]
        assert only(listeners[443]["Certificates"], "certificate")["CertificateArn"] == arn
    assert only(listeners[443]["DefaultActions"], "action")["TargetGroupArn"] == target_group(altered)["TargetGroupArn"]
    redirect = only(listeners[80]["DefaultActions"], "action")["RedirectConfig"]
    assert (redirect["Protocol"], redirect["Port"], redirect["StatusCode"]) == ("HTTPS", "443", "HTTP_301")


def test_tags(account):
    arns = [load_balancer(account)["LoadBalancerArn"], target_group(account)["TargetGroupArn"]]
    for found in account.client("elbv2").describe_tags(ResourceArns=arns)["TagDescriptions"]:
        assert tags_of(found)["Environment"] == account.environment
        assert tags_of(found).get("Team") == ("shop" if account.environment == "altered" else None)


def test_gone(account):
    with pytest.raises(ClientError, match="LoadBalancerNotFound"):
        load_balancer(account)
    with pytest.raises(ClientError, match="TargetGroupNotFound"):
        target_group(account)
    interfaces = account.client("ec2").describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [account.vpc_id()]}])
    assert not interfaces["NetworkInterfaces"], "interfaces hold the subnets"
    assert not certificates(account) and not records(account, "A")
