"""flow_log: one of these tags, replaced when something else is wanted; those of others stay."""

from __future__ import annotations

import boto3
import botocore.client
import pytest
from moto import mock_aws

from tests.unit.run_module import run_module

TAGS = {"Project": "django", "Environment": "lab"}
ROLE = "arn:aws:iam::123456789012:role/lab-flow-logs"


@pytest.fixture
def ec2(monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "k2n8v5", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        iam = boto3.client("iam")
        iam.create_role(RoleName="lab-flow-logs", AssumeRolePolicyDocument="{}")
        yield boto3.client("ec2", "us-east-1")


@pytest.fixture
def run(ec2, capsys):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    given = {"vpc_id": vpc, "log_group": "/aws/vpc/flowlogs", "role_arn": ROLE, "tags": TAGS}
    return lambda check_mode=False, **options: run_module(capsys, "flow_log", check_mode=check_mode, **{**given, **options})


def found(ec2) -> list[dict]:
    return ec2.describe_flow_logs()["FlowLogs"]


def test_its_life(run, ec2):
    planned = run(check_mode=True)
    assert planned["changed"] and "msg" not in planned and not found(ec2)
    made = run()
    (log,) = found(ec2)
    assert made["changed"] and made["flow_log_ids"] == [log["FlowLogId"]]
    assert (log["TrafficType"], log["LogGroupName"], log["MaxAggregationInterval"]) == ("ALL", "/aws/vpc/flowlogs", 600)
    assert {tag["Key"]: tag["Value"] for tag in log["Tags"]} == TAGS
    assert not run()["changed"]

    plan = run(check_mode=True, traffic_type="REJECT", interval_seconds=60)
    assert plan["changed"] and plan["diff"]["before"]["traffic_type"] == "ALL" and found(ec2) == [log]
    assert plan["msg"] == f"Would replace {log['FlowLogId']}."
    assert run(traffic_type="REJECT", interval_seconds=60)["changed"]
    (other,) = found(ec2)
    assert (other["TrafficType"], other["MaxAggregationInterval"]) == ("REJECT", 60) and other["FlowLogId"] != log["FlowLogId"]

    assert run(check_mode=True, state="absent")["changed"] and found(ec2)
    assert run(state="absent")["changed"] and not found(ec2)
    assert not run(state="absent")["changed"]


def test_flow_logs_of_others_stay(run, ec2):
    made = run(tags={"Project": "django", "Environment": "audit"}, log_group="/audit")
    assert run()["changed"] and run(state="absent")["changed"]
    assert [log["FlowLogId"] for log in found(ec2)] == made["flow_log_ids"]


def test_what_aws_refuses_is_said(run, monkeypatch):
    """AWS answers success."""
    original = botocore.client.BaseClient._make_api_call
    refusal = {"Error": {"Code": "Access Denied", "Message": "Unable to assume given IAM role"}}

    def refuse(self, operation, arguments):
        return {"Unsuccessful": [refusal]} if operation == "CreateFlowLogs" else original(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", refuse)
    answer = run()
    assert answer["failed"] and "Unable to assume given IAM role" in answer["msg"]
