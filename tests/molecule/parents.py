"""What a role stands on, made through boto3 and found by its tags: the parts that other roles make in a real run.

python -m tests.molecule.parents FOLDER ENVIRONMENT PART...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lab import tls
from tests.acceptance.network import SUBNETS, ZONES
from tests.acceptance.system import System


class Parents:
    def __init__(self, folder: Path, system: System) -> None:
        self.folder, self.system = folder, system
        self.made: dict[str, str] = {}

    def tags(self, **more: str) -> list[dict]:
        return [
            {"Key": key, "Value": value} for key, value in {"Project": "django", "Environment": self.system.environment, **more}.items()
        ]

    def labels(self, kind: str, **more: str) -> list[dict]:
        return [{"ResourceType": kind, "Tags": self.tags(**more)}]

    def network(self) -> None:
        ec2 = self.system.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=self.labels("vpc"))["Vpc"]["VpcId"]
        gateway = ec2.create_internet_gateway(TagSpecifications=self.labels("internet-gateway"))["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        for tier, blocks in SUBNETS.items():
            for zone, block in zip(ZONES, blocks, strict=True):
                ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone, TagSpecifications=self.labels("subnet", Tier=tier))

    def security_groups(self) -> None:
        for role in ("load_balancer", "app", "database", "bastion", "endpoints"):
            name = f"{self.system.prefix}-{role}"
            labels = self.labels("security-group", Role=role)
            self.system.client("ec2").create_security_group(
                GroupName=name, Description=role, VpcId=self.system.vpc_id(), TagSpecifications=labels
            )

    def client(self) -> None:
        """A group that is nobody's, such as a cluster's own."""
        made = self.system.client("ec2").create_security_group(
            GroupName=f"{self.system.environment}-client", Description="client", VpcId=self.system.vpc_id()
        )
        self.made["client"] = made["GroupId"]

    def instance_profile(self) -> None:
        iam, name = self.system.client("iam"), f"{self.system.prefix}-instance-role"
        iam.create_instance_profile(InstanceProfileName=name, Tags=self.tags())

    def target_group(self) -> None:
        self.system.client("elbv2").create_target_group(
            Name=f"{self.system.prefix}-tg", Protocol="HTTP", Port=80, VpcId=self.system.vpc_id(), Tags=self.tags()
        )

    def load_balancer(self) -> None:
        self.system.client("elbv2").create_load_balancer(
            Name=f"{self.system.prefix}-alb",
            Subnets=[subnet["SubnetId"] for subnet in self.system.subnets("public")],
            SecurityGroups=[self.system.security_group("load_balancer")["GroupId"]],
            Tags=self.tags(),
        )

    def auto_scaling_group(self) -> None:
        """Without instances."""
        name, ec2 = f"{self.system.prefix}-asg", self.system.client("ec2")
        image = ec2.describe_images(Owners=["099720109477"])["Images"][0]["ImageId"]
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": image, "InstanceType": "t2.micro"})
        self.system.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateName": name},
            MinSize=0,
            MaxSize=0,
            VPCZoneIdentifier=self.system.subnets("private")[0]["SubnetId"],
            Tags=[{**tag, "PropagateAtLaunch": False} for tag in self.tags()],
        )

    def static_bucket(self) -> None:
        self.system.client("s3").create_bucket(Bucket=f"{self.system.prefix}-static-{self.system.account_id}")

    def shop_bucket(self) -> None:
        self.system.client("s3").create_bucket(Bucket="shop-static")

    def log_groups(self) -> None:
        for name in ("/aws/ec2/django-app", "/shop/logs"):
            self.system.client("logs").create_log_group(logGroupName=name)

    def database_secret(self) -> None:
        self.system.client("secretsmanager").create_secret(
            Name=f"{self.system.environment}-credentials",
            SecretString=json.dumps({"username": "postgres", "password": "only-on-paper"}),
            Tags=self.tags(),
        )

    def cluster(self) -> None:
        """Without nodes."""
        name = f"{self.system.environment}-cluster"
        trust = {"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = self.system.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        self.system.client("eks").create_cluster(
            name=name,
            roleArn=role,
            resourcesVpcConfig={"subnetIds": [subnet["SubnetId"] for subnet in self.system.subnets("private")]},
            accessConfig={"authenticationMode": "API"},
            tags={"Project": "django", "Environment": self.system.environment},
        )
        self.system.client("eks").get_waiter("cluster_active").wait(name=name, WaiterConfig={"Delay": 1})

    def old_images(self) -> None:
        """Two that look as if the role image had made them."""
        ec2 = self.system.client("ec2")
        for number in ("1", "2"):
            image = ec2.register_image(Name=f"old-{self.system.environment}-{number}")["ImageId"]
            # moto takes no tags with the registration.
            ec2.create_tags(Resources=[image], Tags=self.tags(ManagedBy="espalier", Role="image", Name=f"{self.system.prefix}-image"))

    def hosted_zone(self) -> None:
        """Each environment has its own, so that a record's owner can be told."""
        name = f"{self.system.environment}.example.com"
        answer = self.system.client("route53").create_hosted_zone(Name=name, CallerReference=name)
        self.made["zone_id"] = answer["HostedZone"]["Id"].rpartition("/")[2]

    def alias_of_before(self) -> None:
        """The host name at its provider of before."""
        record = {"Name": f"www.{self.system.environment}.example.com", "Type": "CNAME", "TTL": 60}
        change = {"Action": "CREATE", "ResourceRecordSet": {**record, "ResourceRecords": [{"Value": "shop.example.net"}]}}
        self.system.client("route53").change_resource_record_sets(HostedZoneId=self.made["zone_id"], ChangeBatch={"Changes": [change]})

    def identity_provider(self) -> None:
        """GitHub's, which somebody else in the account uses."""
        url, audiences = "https://token.actions.githubusercontent.com", ["https://github.com/somebody", "sts.amazonaws.com"]
        self.system.client("iam").create_open_id_connect_provider(Url=url, ClientIDList=audiences, Tags=[{"Key": "Team", "Value": "other"}])

    def certificate(self) -> None:
        """Somebody else's, imported."""
        pem, key = tls.issue(["www.example.com"])
        self.made["certificate"] = self.system.client("acm").import_certificate(Certificate=pem, PrivateKey=key)["CertificateArn"]

    def superseded_certificate(self) -> None:
        """The load balancer's own, from before its host names changed."""
        tags = self.tags(Name="shop-alb", ManagedBy="espalier", Team="shop")
        self.system.client("acm").request_certificate(DomainName="old.example.com", ValidationMethod="DNS", Tags=tags)


def main() -> None:
    folder, environment, *parts = sys.argv[1:]
    port = json.loads((Path(folder) / "account.json").read_text())["port"]
    parents = Parents(Path(folder), System(environment=environment, endpoint_url=f"http://127.0.0.1:{port}"))
    for part in parts:
        getattr(parents, part)()
    (Path(folder) / f"parents-{environment}.json").write_text(json.dumps(parents.made))


if __name__ == "__main__":
    main()
