"""Read as a script would: a JSON file that names what there is, and null for what there is not."""

from __future__ import annotations

import json
import os
from pathlib import Path


def outputs(environment: str) -> dict:
    return json.loads((Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "outputs" / f"{environment}.json").read_text("utf-8"))


def test_an_empty_account(defaults):
    found = outputs("defaults")
    assert (found["environment"], found["account_id"], found["region"]) == ("defaults", "123456789012", "us-east-1")
    assert found["aws_endpoint_url"] == defaults.endpoint_url
    nothing = (
        "app_url",
        "release",
        "autoscaling_group",
        "load_balancer",
        "cloudfront",
        "database_endpoint",
        "static_bucket",
        "bastion",
        "vpc_id",
        "alarm_topic",
    )
    assert {name: found[name] for name in nothing} == dict.fromkeys(nothing)
    assert found["instances"] == []


def test_a_built_account(altered):
    found = outputs("altered")
    expected = {
        "environment": "shop",
        "app_url": "https://www.example.com",
        "aws_endpoint_url": "http://127.0.0.1:9",
        "load_balancer": altered.load_balancer()["DNSName"],
        "cloudfront": "d111111abcdef8.cloudfront.net",
        "autoscaling_group": "altered-django-asg",
        "vpc_id": altered.vpc_id(),
        "database_endpoint": None,
    }
    assert {name: found[name] for name in expected} == expected
