"""Asked over Elastic Load Balancing's API: health check, draining, listeners."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.acceptance import edge
from tests.acceptance.system import only, tags_of

NAMES = {"defaults": ("defaults-django-alb", "defaults-django-tg"), "altered": ("shop-alb", "shop-tg")}


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
    assert found["routing.http.drop_invalid_header_fields.enabled"] == "true"


def test_https_serves_and_http_redirects(altered):
    arn = load_balancer(altered)["LoadBalancerArn"]
    listeners = {entry["Port"]: entry for entry in altered.client("elbv2").describe_listeners(LoadBalancerArn=arn)["Listeners"]}
    assert set(listeners) == {80, 443}
    assert listeners[443]["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-3-2021-06"
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
