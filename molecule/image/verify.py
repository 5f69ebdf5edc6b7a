"""Asked over EC2's API: what the instance is launched with, what the image carries, which of the older ones are left."""

from __future__ import annotations

import base64

from tests.acceptance.system import only, tags_of


def instance(account) -> dict:
    return only(account.instances("image"), "instance")


def images(account) -> list[dict]:
    """The newest first."""
    found = account.client("ec2").describe_images(Owners=["self"], Filters=account.filters)["Images"]
    return sorted(found, key=lambda image: image["CreationDate"], reverse=True)


def test_the_instance_is_one_of_the_group_in_all_but_name(account):
    found = instance(account)
    assert found["InstanceType"] == ("t3.small" if account.environment == "altered" else "t2.micro")
    assert found["SubnetId"] == account.subnets("private")[0]["SubnetId"] and not found.get("PublicIpAddress")
    assert only(found["SecurityGroups"], "security group")["GroupId"] == account.security_group("app")["GroupId"]
    assert found["IamInstanceProfile"]["Arn"].endswith(f"/{account.prefix}-instance-role")
    assert found["MetadataOptions"]["HttpTokens"] == "required", "IMDSv1 answers without a token"
    assert tags_of(found)["Name"] == f"{account.prefix}-image"


def test_it_runs_what_it_was_given(account):
    answer = account.client("ec2").describe_instance_attribute(InstanceId=instance(account)["InstanceId"], Attribute="userData")
    assert base64.b64decode(answer["UserData"]["Value"]).decode() == "#!/bin/sh\nexit 0\n"


def test_what_it_begins_with(account):
    """The newest Ubuntu 22.04 of Canonical's, or the one that was asked for."""
    base = account.client("ec2").describe_images(ImageIds=[instance(account)["ImageId"]])["Images"][0]
    if account.environment == "altered":
        assert base["ImageId"] == "ami-0a1b2c3d4e5f60004"
        return
    jammy = [{"Name": "name", "Values": ["ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-*"]}]
    known = account.client("ec2").describe_images(Owners=["099720109477"], Filters=jammy)["Images"]
    assert len(known) > 1 and base["CreationDate"] == max(image["CreationDate"] for image in known)


def test_volume(account):
    mapping = only(instance(account)["BlockDeviceMappings"], "volume")
    volume = only(account.client("ec2").describe_volumes(VolumeIds=[mapping["Ebs"]["VolumeId"]])["Volumes"], "volume")
    altered = account.environment == "altered"
    expected = ("/dev/xvda", 20, "gp2", False) if altered else ("/dev/sda1", 8, "gp3", True)
    assert (mapping["DeviceName"], volume["Size"], volume["VolumeType"], volume["Encrypted"]) == expected


def test_the_image_is_found_by_its_tags(account):
    newest = images(account)[0]
    assert newest["State"] == "available" and newest["Name"].startswith(f"{account.prefix}-image-2")
    expected = {"Role": "image", "Name": f"{account.prefix}-image", "ManagedBy": "espalier"}
    assert expected.items() <= tags_of(newest).items()
    assert not newest["Public"]


def test_older_images_are_kept_by_number(account):
    assert len(images(account)) == (1 if account.environment == "altered" else 3)


def test_gone(account):
    assert not account.instances("image") and not images(account)
    assert not account.described("describe_snapshots", "Snapshots")
