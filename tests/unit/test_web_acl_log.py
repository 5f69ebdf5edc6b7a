"""web_acl_log: written, changed, written no more; and what the lab's WAF refuses as AWS does."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from moto.wafv2.models import WAFV2Backend
from moto.wafv2.responses import WAFV2Response

from lab.api import wafv2 as addition
from tests.unit.moto_patches import client, patched
from tests.unit.run_module import run_module

GROUP = "arn:aws:logs:us-east-1:123456789012:log-group:aws-waf-logs-lab"
BALANCER = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/lab-alb/1"


@pytest.fixture(autouse=True)
def account(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with patched(addition, WAFV2Backend, WAFV2Response):
        client("logs").create_log_group(logGroupName="aws-waf-logs-lab")
        client("logs").create_log_group(logGroupName="lab")
        yield


@pytest.fixture
def acl() -> dict:
    seen = {"SampledRequestsEnabled": True, "CloudWatchMetricsEnabled": True, "MetricName": "lab"}
    made = client("wafv2").create_web_acl(Name="lab-waf", Scope="REGIONAL", DefaultAction={"Allow": {}}, VisibilityConfig=seen)
    return made["Summary"]


def log(acl) -> dict | None:
    try:
        return client("wafv2").get_logging_configuration(ResourceArn=acl["ARN"])["LoggingConfiguration"]
    except client("wafv2").exceptions.WAFNonexistentItemException:
        return None


def test_its_life(capsys, acl):
    def run(check_mode=False, **options):
        given = {"web_acl_arn": acl["ARN"], "log_group_arn": GROUP, "only": ["COUNT", "BLOCK"]}
        return run_module(capsys, "web_acl_log", check_mode=check_mode, **{**given, **options})

    assert run(check_mode=True)["changed"] and log(acl) is None
    assert run(log_group_arn=f"{GROUP}:*")["changed"]
    assert log(acl)["LogDestinationConfigs"] == [GROUP]
    assert log(acl)["RedactedFields"] == [{"SingleHeader": {"Name": "authorization"}}, {"SingleHeader": {"Name": "cookie"}}]
    filtered = log(acl)["LoggingFilter"]
    assert filtered["DefaultBehavior"] == "DROP" and filtered["Filters"][0]["Behavior"] == "KEEP"
    assert [one["ActionCondition"]["Action"] for one in filtered["Filters"][0]["Conditions"]] == ["BLOCK", "COUNT"]
    assert not run()["changed"] and not run(only=["BLOCK", "COUNT"])["changed"]

    assert run(check_mode=True, only=[])["changed"] and "LoggingFilter" in log(acl)
    assert run(only=[])["changed"] and "LoggingFilter" not in log(acl)
    assert run(check_mode=True, state="absent")["changed"] and log(acl)
    assert run(state="absent")["changed"] and log(acl) is None
    assert not run(state="absent")["changed"]


def test_the_log_group_must_have_the_right_name(capsys, acl):
    wrong = run_module(capsys, "web_acl_log", web_acl_arn=acl["ARN"], log_group_arn=GROUP.replace("aws-waf-logs-", ""))
    assert wrong["failed"] and "LOG_DESTINATION" in wrong["msg"]
    missing = run_module(capsys, "web_acl_log", web_acl_arn=acl["ARN"], log_group_arn=f"{GROUP}-2")
    assert missing["failed"] and "destination" in missing["msg"]


def test_an_associated_acl_stays(acl):
    waf = client("wafv2")
    # One that WAF has not heard of yet, in both of AWS's words.
    for refusal in ("WAFNonexistentItemException", "WAFUnavailableEntityException"):
        with pytest.raises(ClientError, match=refusal):
            waf.associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=BALANCER)
    waf.associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=BALANCER)
    waf.associate_web_acl(WebACLArn=acl["ARN"], ResourceArn=BALANCER)
    assert waf.list_resources_for_web_acl(WebACLArn=acl["ARN"])["ResourceArns"] == [BALANCER]
    deletion = {"Name": "lab-waf", "Scope": "REGIONAL", "Id": acl["Id"], "LockToken": acl["LockToken"]}
    with pytest.raises(ClientError, match="WAFAssociatedItem"):
        waf.delete_web_acl(**deletion)
    waf.disassociate_web_acl(ResourceArn=BALANCER)
    waf.delete_web_acl(**deletion)
