"""Asked over AWS WAF's API: which rules stand before the load balancer, what they do, and where that is written."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.system import only, tags_of
from tests.molecule.fixtures import account_of

GROUPS = {"enabled": "aws-waf-logs-enabled-django", "altered": "aws-waf-logs-shop"}


def summaries(account) -> list[dict]:
    found = account.client("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"]
    return [one for one in found if one["Name"] == f"{account.prefix}-waf"]


def acl(account) -> dict:
    one = only(summaries(account), "web ACL")
    return account.client("wafv2").get_web_acl(Name=one["Name"], Scope="REGIONAL", Id=one["Id"])["WebACL"]


def rules(account) -> dict[str, dict]:
    return {rule["Name"]: rule for rule in sorted(acl(account)["Rules"], key=lambda rule: rule["Priority"])}


def log(account) -> dict:
    return account.client("wafv2").get_logging_configuration(ResourceArn=acl(account)["ARN"])["LoggingConfiguration"]


def protector(account) -> dict | None:
    return account.client("wafv2").get_web_acl_for_resource(ResourceArn=account.load_balancer()["LoadBalancerArn"]).get("WebACL")


def test_there_is_none_unless_asked(defaults):
    assert not summaries(defaults) and protector(defaults) is None


@pytest.mark.parametrize("environment", ["enabled", "altered", "unlogged"])
def test_it_stands_before_the_load_balancer(environment):
    account = account_of(environment)
    assert protector(account)["Name"] == f"{environment}-django-waf"
    assert acl(account)["DefaultAction"] == {"Allow": {}}


def test_what_is_refused():
    found = rules(account_of("enabled"))
    assert list(found) == [
        "rate-limit",
        "AWSManagedRulesAmazonIpReputationList",
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
        "AWSManagedRulesSQLiRuleSet",
    ]
    limit = found.pop("rate-limit")
    assert limit["Action"] == {"Block": {}}
    assert (limit["Statement"]["RateBasedStatement"]["Limit"], limit["Statement"]["RateBasedStatement"]["AggregateKeyType"]) == (2000, "IP")
    assert {str(rule["OverrideAction"]) for rule in found.values()} == {"{'None': {}}"}, "managed rules only count"
    common = found["AWSManagedRulesCommonRuleSet"]["Statement"]["ManagedRuleGroupStatement"]
    assert common["RuleActionOverrides"] == [{"Name": "SizeRestrictions_BODY", "ActionToUse": {"Count": {}}}], "uploads are refused"


def test_a_first_look_only_counts(altered):
    found = rules(altered)
    assert list(found) == ["AWSManagedRulesLinuxRuleSet", "AWSManagedRulesCommonRuleSet"]
    assert {str(rule["OverrideAction"]) for rule in found.values()} == {"{'Count': {}}"}
    counted = found["AWSManagedRulesLinuxRuleSet"]["Statement"]["ManagedRuleGroupStatement"]["RuleActionOverrides"]
    assert [one["Name"] for one in counted] == ["LFI_URIPATH"]
    assert "RuleActionOverrides" not in found["AWSManagedRulesCommonRuleSet"]["Statement"]["ManagedRuleGroupStatement"]


@pytest.mark.parametrize("environment", ["enabled", "altered"])
def test_the_log(environment):
    account = account_of(environment)
    (place,) = log(account)["LogDestinationConfigs"]
    assert place.endswith(f":log-group:{GROUPS[environment]}")
    assert [one["SingleHeader"]["Name"] for one in log(account)["RedactedFields"]] == ["authorization", "cookie"], "secrets are logged"
    group = only(account.client("logs").describe_log_groups(logGroupNamePrefix=GROUPS[environment])["logGroups"], "log group")
    assert group["retentionInDays"] == {"enabled": 30, "altered": 90}[environment]


def test_which_requests_are_written(altered):
    assert "LoggingFilter" not in log(altered)
    kept = only(log(account_of("enabled"))["LoggingFilter"]["Filters"], "filter")
    assert [one["ActionCondition"]["Action"] for one in kept["Conditions"]] == ["BLOCK", "COUNT"]


def test_nothing_is_written_when_nobody_wants_it():
    account = account_of("unlogged")
    with pytest.raises(ClientError, match="WAFNonexistentItem"):
        log(account)
    assert not account.client("logs").describe_log_groups(logGroupNamePrefix="aws-waf-logs-unlogged")["logGroups"]


def associate(account, load_balancer_arn: str) -> None:
    """WAF does not know a new load balancer at first."""
    for last in (False, False, True):
        try:
            account.client("wafv2").associate_web_acl(WebACLArn=acl(account)["ARN"], ResourceArn=load_balancer_arn)
            return
        except ClientError as error:
            if last or error.response["Error"]["Code"] not in ("WAFNonexistentItemException", "WAFUnavailableEntityException"):
                raise


def test_it_may_stand_before_the_cluster_s_ingress_too():
    """And is removed all the same."""
    account = account_of("enabled")
    subnets = [subnet["SubnetId"] for subnet in account.subnets("public")]
    (balancer,) = account.client("elbv2").create_load_balancer(Name="k8s-djangoap-djangoap-0a1b2c3d4e", Subnets=subnets)["LoadBalancers"]
    associate(account, balancer["LoadBalancerArn"])
    protected = account.client("wafv2").list_resources_for_web_acl(WebACLArn=acl(account)["ARN"])["ResourceArns"]
    assert sorted(protected) == sorted([balancer["LoadBalancerArn"], account.load_balancer()["LoadBalancerArn"]])


def test_tags(altered):
    answer = altered.client("wafv2").list_tags_for_resource(ResourceARN=acl(altered)["ARN"])
    tags = tags_of({"Tags": answer["TagInfoForResource"]["TagList"]})
    assert (tags["Environment"], tags["Team"]) == ("altered", "shop")


def test_gone(account):
    assert not summaries(account) and protector(account) is None
    names = GROUPS.get(account.environment, f"aws-waf-logs-{account.prefix}")
    assert not account.client("logs").describe_log_groups(logGroupNamePrefix=names)["logGroups"]
