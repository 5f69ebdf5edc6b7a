"""Asked over EC2's API: one machine, without a key pair, that nobody can reach from the internet."""

from __future__ import annotations

import base64

from tests.acceptance import compute
from tests.acceptance.system import only, tags_of


def bastion(account) -> dict:
    return only(account.instances("bastion"), "bastion")


def test_defaults(defaults):
    compute.check_bastion(defaults)


def test_image(defaults, altered):
    image = only(defaults.client("ec2").describe_images(ImageIds=[bastion(defaults)["ImageId"]])["Images"], "image")
    assert image["OwnerId"] == "099720109477" and "ubuntu-jammy-22.04" in image["Name"]
    assert bastion(altered)["ImageId"] == "ami-0a1b2c3d4e5f60004"
    assert bastion(altered)["InstanceType"] == "t3.micro"


def test_where_it_stands(account):
    found = bastion(account)
    assert found["SubnetId"] == account.subnets("public")[0]["SubnetId"]
    assert [group["GroupId"] for group in found["SecurityGroups"]] == [account.security_group("bastion")["GroupId"]]
    assert found["IamInstanceProfile"]["Arn"].endswith(f"/{account.prefix}-instance-role")
    assert not found.get("KeyName")


def test_metadata_needs_a_token(account):
    options = bastion(account)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1), "IMDSv1 answers without a token"


def test_volume(account):
    volumes = account.client("ec2").describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [bastion(account)["InstanceId"]]}]
    )
    volume = only(volumes["Volumes"], "volume")
    assert (volume["Size"], volume["Encrypted"]) == ((20, False) if account.environment == "altered" else (8, True))


def test_first_boot(altered):
    answer = altered.client("ec2").describe_instance_attribute(InstanceId=bastion(altered)["InstanceId"], Attribute="userData")
    assert base64.b64decode(answer["UserData"]["Value"]).decode() == "#!/bin/sh\nexit 0\n"


def test_names_and_tags(account):
    tags = tags_of(bastion(account))
    assert tags["Name"] == ("altered-shop-bastion" if account.environment == "altered" else "defaults-django-bastion")
    assert tags.get("Team") == ("shop" if account.environment == "altered" else None)


def test_gone(account):
    states = ["pending", "running", "shutting-down", "stopping", "stopped"]
    assert not [machine for state in states for machine in account.instances("bastion", state)]
