"""The lab's launch templates: a second version is like the first, and may go."""

from __future__ import annotations

import base64
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from lab.api import ec2
from tests.unit.moto_patches import client, patched

TAGS = [{"Key": "Project", "Value": "django"}]


@pytest.fixture
def account():
    """With the lab's launch templates."""
    with patched(SimpleNamespace(install=ec2.patch_launch_templates), ec2.LaunchTemplate, ec2.LaunchTemplates):
        yield client("ec2")


def versions(account) -> list[dict]:
    return account.describe_launch_template_versions(LaunchTemplateName="lt-test")["LaunchTemplateVersions"]


def test_a_second_version_launches_and_does_not_inherit_the_templates_tags(account):
    data = {
        "UserData": base64.b64encode(b"#!/bin/sh\n").decode(),
        "TagSpecifications": [{"ResourceType": "instance", "Tags": TAGS}],
    }
    account.create_launch_template(
        LaunchTemplateName="lt-test", LaunchTemplateData=data, TagSpecifications=[{"ResourceType": "launch-template", "Tags": TAGS}]
    )
    account.create_launch_template_version(LaunchTemplateName="lt-test", LaunchTemplateData=data)
    assert [version["LaunchTemplateData"] for version in versions(account)] == [data, data]
    template = ec2.backend().get_launch_template_by_name("lt-test")
    assert [version.user_data.decode() for version in template.versions] == ["#!/bin/sh\n"] * 2


def test_versions_are_deleted_but_for_the_default_one_and_no_number_comes_back(account):
    def make(number: int) -> dict:
        return {"LaunchTemplateName": "lt-test", "LaunchTemplateData": {"InstanceType": f"m{number}.large"}}

    account.create_launch_template(**make(1))
    for number in (2, 3):
        account.create_launch_template_version(**make(number))
    account.modify_launch_template(LaunchTemplateName="lt-test", DefaultVersion="2")
    done = account.delete_launch_template_versions(LaunchTemplateName="lt-test", Versions=["1", "2", "3", "9"])
    assert [one["VersionNumber"] for one in done["SuccessfullyDeletedLaunchTemplateVersions"]] == [1, 3]
    refused = {one["VersionNumber"]: one["ResponseError"]["Code"] for one in done["UnsuccessfullyDeletedLaunchTemplateVersions"]}
    assert refused == {2: "unexpectedError", 9: "launchTemplateVersionDoesNotExist"}
    account.create_launch_template_version(**make(4))
    left = {one["VersionNumber"]: one["LaunchTemplateData"]["InstanceType"] for one in versions(account)}
    assert left == {2: "m2.large", 4: "m4.large"}
    asked = {"LaunchTemplateName": "lt-test", "Versions": ["$Default", "$Latest"]}
    assert [one["VersionNumber"] for one in account.describe_launch_template_versions(**asked)["LaunchTemplateVersions"]] == [2, 4]
    with pytest.raises(ClientError, match=r"InvalidLaunchTemplateId\.VersionNotFound"):
        account.describe_launch_template_versions(LaunchTemplateName="lt-test", Versions=["3"])
