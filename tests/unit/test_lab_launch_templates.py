"""The lab's launch templates: a second version is like the first."""

from __future__ import annotations

import base64

import boto3
from moto import mock_aws

from lab.api import ec2

TAGS = [{"Key": "Project", "Value": "django"}]


def test_a_second_version_launches_and_does_not_inherit_the_templates_tags(monkeypatch):
    monkeypatch.setattr(ec2.LaunchTemplate, "create_version", ec2.LaunchTemplate.create_version)
    ec2.patch_launch_templates()
    data = {
        "UserData": base64.b64encode(b"#!/bin/sh\n").decode(),
        "TagSpecifications": [{"ResourceType": "instance", "Tags": TAGS}],
    }
    with mock_aws():
        client = boto3.client("ec2", "us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
        client.create_launch_template(
            LaunchTemplateName="lt-test", LaunchTemplateData=data, TagSpecifications=[{"ResourceType": "launch-template", "Tags": TAGS}]
        )
        client.create_launch_template_version(LaunchTemplateName="lt-test", LaunchTemplateData=data)
        versions = client.describe_launch_template_versions(LaunchTemplateName="lt-test")["LaunchTemplateVersions"]
        assert [version["LaunchTemplateData"] for version in versions] == [data, data]
        template = ec2.ec2_backends["123456789012"]["us-east-1"].get_launch_template_by_name("lt-test")
        assert [version.user_data.decode() for version in template.versions] == ["#!/bin/sh\n"] * 2
