"""What AWS says about the inputs, on moto; where moto has no answer, on botocore's stub."""

from __future__ import annotations

import boto3
import pytest
from ansible_collections.espalier.aws.plugins.module_utils import aws_checks
from ansible_collections.espalier.aws.plugins.module_utils.check_table import Input
from botocore.stub import Stubber
from moto import mock_aws

from tests.unit.run_module import run_module

ACCOUNT, REGION = "123456789012", "us-east-1"
OURS = [{"Key": "Project", "Value": "django"}, {"Key": "Environment", "Value": "lab"}]
THEIRS = [{"Key": "Project", "Value": "django"}, {"Key": "Environment", "Value": "staging"}]
ZONES = Input("zones", ["us-east-1a", "us-east-1b"])


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "k2n8v5")
    monkeypatch.setenv("AWS_REGION", REGION)
    with mock_aws():
        clients = {name: boto3.client(name.partition("@")[0], name.partition("@")[2] or REGION) for name in aws_checks.SERVICES}
        yield aws_checks.Aws(clients=clients, project="django", environment="lab", account_id=ACCOUNT, region=REGION)


def one(findings: list[dict]) -> dict:
    assert len(findings) == 1, findings
    return findings[0]


def test_zones(aws):
    assert aws_checks.zones(aws, ZONES) == []
    wrong = one(aws_checks.zones(aws, Input("zones", ["us-east-1a", "us-east-1q"])))
    assert wrong["problem"].startswith("us-east-1q is no availability zone")
    assert "us-east-1b" in wrong["fix"]


def test_instance_types(aws):
    assert aws_checks.instance_types(aws, [Input("app_type", "t2.micro"), Input("bastion_type", "t2.micro")], ZONES) == []
    wrong = one(aws_checks.instance_types(aws, [Input("app_type", "t2.mirco"), Input("bastion_type", "t2.micro")], ZONES))
    assert (wrong["variable"], wrong["value"]) == ("app_type", "t2.mirco")


def cluster(aws, name="django-app", version="1.35", types=("t3.medium",), enabled=True):
    values = {"name": name, "version": version, "types": list(types), "enabled": enabled}
    return aws_checks.cluster(aws, zones=ZONES, **{key: Input(f"eks_{key}", value) for key, value in values.items()})


@pytest.fixture
def versions(aws):
    """moto does not say which versions EKS creates."""
    with Stubber(aws.clients["eks"]) as stub:
        stub.add_client_error("describe_cluster", "ResourceNotFoundException")
        answer = [{"clusterVersion": version} for version in ("1.33", "1.35", "1.34")]
        stub.add_response("describe_cluster_versions", {"clusterVersions": answer})
        yield


def test_a_cluster_that_eks_creates(aws, versions):
    assert cluster(aws) == []


def test_a_version_that_eks_does_not_create(aws, versions):
    wrong = one(cluster(aws, version="1.28"))
    assert (wrong["variable"], wrong["fix"]) == ("eks_version", "Set eks_version to one of: 1.35, 1.34, 1.33.")


def test_nodes_that_the_zones_do_not_have(aws, versions):
    assert one(cluster(aws, types=["t3.medium", "t9.nano"]))["value"] == "t9.nano"


def test_a_cluster_of_another_environment(aws):
    network = {"subnetIds": [aws.clients["ec2"].describe_subnets()["Subnets"][0]["SubnetId"]]}
    role = "arn:aws:iam::123456789012:role/x"
    for name, tags in (("ours", OURS), ("theirs", THEIRS)):
        plain = {tag["Key"]: tag["Value"] for tag in tags}
        aws.clients["eks"].create_cluster(name=name, roleArn=role, resourcesVpcConfig=network, tags=plain)
    assert cluster(aws, name="ours", version="1.12") == [], "it is there, whatever can be made today"
    assert "environment staging" in one(cluster(aws, name="theirs"))["problem"]
    assert cluster(aws, name="theirs", enabled=False) == []


def test_there_is_no_way_back_from_encrypted_secrets(aws):
    key, role = "arn:aws:kms:us-east-1:123456789012:key/1", "arn:aws:iam::123456789012:role/x"
    network = {"subnetIds": [aws.clients["ec2"].describe_subnets()["Subnets"][0]["SubnetId"]]}
    tags = {tag["Key"]: tag["Value"] for tag in OURS}
    config = [{"resources": ["secrets"], "provider": {"keyArn": key}}]
    aws.clients["eks"].create_cluster(name="secret", roleArn=role, resourcesVpcConfig=network, tags=tags, encryptionConfig=config)
    aws.clients["eks"].create_cluster(name="plain", roleArn=role, resourcesVpcConfig=network, tags=tags)

    def settled(name, encrypted, key="", enabled=True):
        inputs = {"name": name, "encrypted": encrypted, "key": key, "enabled": enabled}
        return aws_checks.cluster_settled(aws, **{word: Input(f"eks_{word}", value) for word, value in inputs.items()})

    assert settled("secret", True) == settled("secret", True, key) == settled("secret", False, enabled=False) == []
    assert settled("plain", True) == settled("missing", True) == [], "EKS can begin to"
    off = one(settled("secret", False))
    assert off["variable"] == "eks_encrypted" and "cannot end that" in off["problem"] and "another cluster" in off["fix"]
    assert "cannot take another key" in one(settled("secret", True, f"{key}2"))["problem"]


def database(aws, **values):
    values = {"version": "16.4", "instance_class": "db.t3.micro", "storage_type": "gp2", "multi_az": True, **values}
    inputs = {name: Input(f"database_{name}", value) for name, value in values.items()}
    return aws_checks.database(aws, identifier=Input("database_identifier", "lab-django-postgres"), **inputs)


def option(version, storage="gp2", multi_az=True):
    return {
        "Engine": "postgres",
        "EngineVersion": version,
        "DBInstanceClass": "db.t3.micro",
        "StorageType": storage,
        "MultiAZCapable": multi_az,
    }


@pytest.mark.parametrize(
    ("answers", "values", "variable", "fix"),
    [
        ([[option("16.4")]], {}, None, ""),
        ([[], [option("16.10"), option("16.9"), option("17.2")]], {}, "database_version", "16.10, 16.9."),
        ([[], [option("17.2"), option("15.1")]], {}, "database_version", "17.2, 15.1."),
        ([[], []], {}, "database_instance_class", "another class"),
        ([[option("16.4", storage="gp3")]], {}, "database_storage_type", "gp3"),
        ([[option("16.4", multi_az=False)]], {}, "database_multi_az", "false"),
        ([[option("16.4", multi_az=False)]], {"multi_az": False}, None, ""),
    ],
)
def test_a_database_that_cannot_be_created(aws, answers, values, variable, fix):
    with Stubber(aws.clients["rds"]) as stub:
        stub.add_client_error("describe_db_instances", "DBInstanceNotFound")
        for options in answers:
            stub.add_response("describe_orderable_db_instance_options", {"OrderableDBInstanceOptions": options})
        findings = database(aws, **values)
        stub.assert_no_pending_responses()
    assert [found["variable"] for found in findings] == ([variable] if variable else [])
    assert not findings or fix in findings[0]["fix"]


def test_a_version_that_rds_has_never_heard_of(aws):
    with Stubber(aws.clients["rds"]) as stub:
        stub.add_client_error("describe_db_instances", "DBInstanceNotFound")
        stub.add_client_error("describe_orderable_db_instance_options", "InvalidParameterCombination")
        stub.add_response("describe_orderable_db_instance_options", {"OrderableDBInstanceOptions": [option("16.9")]})
        assert one(database(aws, version="99.9"))["variable"] == "database_version"


def test_a_database_that_is_there_need_not_be_creatable(aws):
    existing = {"DBInstanceIdentifier": "lab-django-postgres", "Engine": "postgres", "DBInstanceClass": "db.t3.micro"}
    aws.clients["rds"].create_db_instance(AllocatedStorage=20, MasterUsername="postgres", MasterUserPassword="n0t-a-secret", **existing)
    assert database(aws, version="9.6") == []


@pytest.mark.parametrize(("tags", "count"), [(OURS, 0), (THEIRS, 1), ([], 0)])
def test_what_belongs_to_another_environment(aws, tags, count):
    parameter, secret = Input("parameter", "/DjangoApp/rds_endpoint"), Input("secret", "django-db-credentials")
    group = Input("log_group", "/aws/ec2/django-app")
    assert aws_checks.log_group(aws, group) == []
    aws.clients["logs"].create_log_group(logGroupName=group.value, **({"tags": {tag["Key"]: tag["Value"] for tag in tags}} if tags else {}))
    assert aws_checks.parameter(aws, parameter) == []
    assert aws_checks.secret(aws, secret) == []
    aws.clients["ssm"].put_parameter(Name=parameter.value, Value="x", Type="String", Tags=tags)
    aws.clients["secretsmanager"].create_secret(Name=secret.value, SecretString="x", Tags=tags)
    findings = aws_checks.parameter(aws, parameter) + aws_checks.secret(aws, secret) + aws_checks.log_group(aws, group)
    assert len(findings) == 3 * count
    assert all("belongs to environment staging of project django" in found["problem"] for found in findings)


@pytest.mark.parametrize(("code", "count"), [("404", 0), ("403", 1), ("301", 1)])
def test_buckets(aws, code, count):
    with Stubber(aws.clients["s3"]) as stub:
        stub.add_client_error("head_bucket", code)
        assert len(aws_checks.bucket(aws, Input("bucket", "taken"))) == count
    aws.clients["s3"].create_bucket(Bucket="ours")
    assert aws_checks.bucket(aws, Input("bucket", "ours")) == []


def certificate(aws, arn, *domains):
    return aws_checks.certificate(aws, Input("arn", arn), Input("domains", list(domains)))


def test_certificates(aws):
    assert certificate(aws, "", "www.example.com") == []
    assert "no ARN" in one(certificate(aws, "arn:aws:acm:eu-west-1:123456789012:certificate/x"))["problem"]
    missing = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/11111111-2222-3333-4444-555555555555"
    assert "is not there" in one(certificate(aws, missing))["problem"]
    pending = aws.clients["acm"].request_certificate(DomainName="example.com", ValidationMethod="DNS")["CertificateArn"]
    assert "PENDING_VALIDATION" in one(certificate(aws, pending))["problem"]


def issued(*names: str) -> dict:
    return {"Certificate": {"Status": "ISSUED", "DomainName": names[0], "SubjectAlternativeNames": list(names)}}


@pytest.mark.parametrize(
    ("names", "wanted", "missing"),
    [
        (["www.example.com"], ["www.example.com"], ""),
        (["*.Example.com", "example.com"], ["www.example.com", "*.example.com", "example.com"], ""),
        (["www.example.com"], [], ""),
        (["*.example.com"], ["a.b.example.com", "www.example.com"], "not for a.b.example.com of"),
        (["*.example.com"], ["example.com"], "not for example.com of"),
        (["www.example.com"], ["shop.example.com", "other.org"], "not for shop.example.com, other.org of"),
    ],
)
def test_a_certificate_is_for_the_host_names(aws, names, wanted, missing):
    arn = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/1"
    for check in (
        lambda: certificate(aws, arn, *wanted),
        lambda: aws_checks.cdn_certificate(aws, Input("arn", arn), Input("domains", wanted), Input("cdn_enabled", True)),
    ):
        with Stubber(aws.clients["acm"]) as balancer, Stubber(aws.clients["acm@us-east-1"]) as cdn:
            for stub in (balancer, cdn):
                stub.add_response("describe_certificate", issued(*names), {"CertificateArn": arn})
            found = check()
        assert missing in one(found)["problem"] and "domains" in one(found)["fix"] if missing else found == []


def test_cloudfront_s_certificate(aws):
    def check(arn, *aliases, enabled=True):
        return aws_checks.cdn_certificate(aws, Input("cdn_arn", arn), Input("aliases", list(aliases)), Input("cdn_enabled", enabled))

    assert check("") == check("", "static.example.com", enabled=False) == []
    wrong = one(check("", "static.example.com"))
    assert wrong["variable"] == "cdn_arn" and "static.example.com" in wrong["problem"] and "us-east-1" in wrong["fix"]
    assert "no ARN" in one(check(f"arn:aws:acm:eu-west-1:{ACCOUNT}:certificate/1"))["problem"]


def test_cloudfront_s_certificate_is_asked_for_where_cloudfront_looks(aws, capsys):
    arn = aws.clients["acm@us-east-1"].request_certificate(DomainName="static.example.com", ValidationMethod="DNS")["CertificateArn"]
    result = run_module(
        capsys,
        "check_with_aws",
        project="django",
        environment="lab",
        account_id=ACCOUNT,
        region="eu-west-1",
        checks=[{"check": "cdn_certificate", "arn": "cdn_arn", "aliases": "aliases", "enabled": "cdn_enabled"}],
        values={"cdn_arn": arn, "aliases": ["static.example.com"], "cdn_enabled": True},
    )
    assert "PENDING_VALIDATION" in one(result["findings"])["problem"]


def test_second_regions(aws):
    assert aws_checks.second_region(aws, Input("second", "")) == aws_checks.second_region(aws, Input("second", "us-west-2")) == []
    wrong = one(aws_checks.second_region(aws, Input("second", "us-west-9")))
    assert wrong["variable"] == "second" and "us-west-2" in wrong["fix"]


def test_a_vpc_keeps_its_block(aws):
    wanted = Input("vpc_cidr_block", "10.0.0.0/16")
    assert aws_checks.vpc(aws, wanted) == []
    aws.clients["ec2"].create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": OURS}])
    assert one(aws_checks.vpc(aws, wanted))["fix"].startswith("Set vpc_cidr_block to 10.9.0.0/16")


def run_instance(aws, environment="lab"):
    tags = {"Project": "django", "Environment": environment, "Role": "app"}
    specification = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
    answer = aws.clients["ec2"].run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, TagSpecifications=specification)
    return answer["Instances"][0]["InstanceId"]


@pytest.mark.parametrize("tags", [["all"], ["network"], ["compute", "app"]])
def test_other_runs_need_no_instance(aws, tags):
    assert aws_checks.instances(aws, Input("tags", tags), Input("hosts", [])) == []


def test_the_app_alone_needs_an_instance(aws):
    tags, nobody = Input("tags", ["app"]), Input("hosts", [])
    assert "no running instance" in one(aws_checks.instances(aws, tags, nobody))["problem"]
    running = run_instance(aws)
    assert aws_checks.instances(aws, tags, Input("hosts", [running])) == []
    assert "the inventory found no host" in one(aws_checks.instances(aws, tags, nobody))["problem"]


@pytest.mark.parametrize("tags", [["all"], ["app"]])
def test_an_inventory_that_finds_another_environments_instances(aws, tags):
    ours, theirs = run_instance(aws), run_instance(aws, "staging")
    wrong = one(aws_checks.instances(aws, Input("tags", tags), Input("hosts", [ours, theirs])))
    assert wrong["variable"] == "suite_environment"
    assert theirs in wrong["problem"]
    assert ours not in wrong["problem"]


def test_the_module(aws, capsys):
    result = run_module(
        capsys,
        "check_with_aws",
        project="django",
        environment="lab",
        account_id=ACCOUNT,
        checks=[
            {"check": "zones", "zones": "zones"},
            {"check": "vpc", "cidr_block": "nothing"},
            {"check": "secret", "name": "skipped"},
            {"check": "instances", "tags": "ansible_run_tags", "inventory_hosts": "hosts"},
        ],
        values={"zones": ["us-east-1q"], "nothing": None, "skipped": "", "ansible_run_tags": ["app"], "hosts": []},
        skip_variables=["skipped"],
    )
    assert [found["variable"] for found in result["findings"]] == ["zones", "--tags"]
    assert result["changed"] is False


def test_hosted_zones(aws):
    assert aws_checks.hosted_zone(aws, Input("zone", "")) == []
    assert "no public hosted zone" in one(aws_checks.hosted_zone(aws, Input("zone", "example.com")))["problem"]
    aws.clients["route53"].create_hosted_zone(Name="www.example.com", CallerReference="1")
    assert aws_checks.hosted_zone(aws, Input("zone", "example.com"))
    aws.clients["route53"].create_hosted_zone(Name="example.com", CallerReference="2")
    assert aws_checks.hosted_zone(aws, Input("zone", "Example.com.")) == []


def host_records(aws, domains=("www.example.com", "*.example.com"), zone="example.com", replace=False, tags=("all",)):
    values = {"domains": list(domains), "zone": zone, "replace": replace, "load_balancer": "lab-alb", "tags": list(tags)}
    return aws_checks.host_records(aws, **{name: Input(f"load_balancer_{name}", value) for name, value in values.items()})


def write_record(aws, zone_id, name, kind, **what):
    change = {"Action": "UPSERT", "ResourceRecordSet": {"Name": name, "Type": kind, **what}}
    aws.clients["route53"].change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch={"Changes": [change]})


def test_host_names_that_lead_elsewhere(aws):
    assert host_records(aws) == [], "no zone is another check's matter"
    zone = aws.clients["route53"].create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    write_record(aws, zone, "zzz.example.com", "CNAME", TTL=60, ResourceRecords=[{"Value": "shop.example.net"}])
    write_record(aws, zone, "www.example.com", "TXT", TTL=60, ResourceRecords=[{"Value": '"word"'}])
    assert host_records(aws) == []
    write_record(aws, zone, "www.example.com", "CNAME", TTL=60, ResourceRecords=[{"Value": "Shop.example.net."}])
    wrong = one(host_records(aws))
    assert "www.example.com (CNAME shop.example.net) leads elsewhere" in wrong["problem"]
    assert "-e load_balancer_replace=true" in wrong["fix"]
    assert host_records(aws, replace=True) == host_records(aws, tags=["app"]) == host_records(aws, zone="") == host_records(aws, []) == []
    assert host_records(aws, tags=["edge"]), "the run that writes them"


def test_host_names_that_lead_here(aws):
    zone = aws.clients["route53"].create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    subnets = [subnet["SubnetId"] for subnet in aws.clients["ec2"].describe_subnets()["Subnets"][:2]]
    made = aws.clients["elbv2"].create_load_balancer(Name="lab-alb", Subnets=subnets)["LoadBalancers"][0]
    alias = {"HostedZoneId": made["CanonicalHostedZoneId"], "DNSName": f"{made['DNSName']}.", "EvaluateTargetHealth": False}
    write_record(aws, zone, r"\052.example.com", "A", AliasTarget=alias)
    write_record(aws, zone, "www.example.com", "A", AliasTarget=alias)
    assert host_records(aws) == []
    write_record(aws, zone, r"\052.example.com", "A", TTL=60, ResourceRecords=[{"Value": "192.0.2.7"}])
    assert "(A 192.0.2.7)" in one(host_records(aws))["problem"]


@pytest.mark.parametrize("name", ["ELBSecurityPolicy-TLS13-1-2-2021-06", "ELBSecurityPolicy-TLS13-1-3-2021-06"])
def test_tls_policies(aws, name):
    assert aws_checks.tls_policy(aws, Input("policy", name)) == []


@pytest.mark.parametrize(
    ("name", "word"),
    [("ELBSecurityPolicy-2016-08", "TLSv1.1, TLSv1."), ("ELBSecurityPolicy-TLS13-1-1-2021-06", "TLSv1.1."), ("strong", "no such policy")],
)
def test_old_tls_policies(aws, name, word):
    assert word in one(aws_checks.tls_policy(aws, Input("policy", name)))["problem"]


def settled(aws, encrypted=False, name="postgresDB", username="postgres", storage_gib=100):
    values = {"encrypted": encrypted, "name": name, "username": username, "storage_gib": storage_gib}
    inputs = {key: Input(f"database_{key}", value) for key, value in values.items()}
    return aws_checks.database_settled(aws, identifier=Input("database_identifier", "lab-django-postgres"), **inputs)


def make_database(aws, **more):
    login = {"MasterUsername": "postgres", "MasterUserPassword": "n0t-a-secret", "DBName": "postgresDB"}
    machine = {"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 100}
    aws.clients["rds"].create_db_instance(DBInstanceIdentifier="lab-django-postgres", **login, **machine, **more)


def test_a_database_that_is_not_there_can_become_anything(aws):
    assert settled(aws, encrypted=True, name="shop") == []


def test_what_rds_cannot_change(aws):
    make_database(aws)
    assert settled(aws) == [] and settled(aws, storage_gib=200) == []
    wrong = one(settled(aws, encrypted=True))
    assert wrong["variable"] == "database_encrypted" and "playbooks/encrypt_database.yml" in wrong["fix"]
    assert "CREATE DATABASE" in one(settled(aws, name="shop"))["fix"]
    assert "Set database_username to postgres" in one(settled(aws, username="admin"))["fix"]
    assert "never shrinks" in one(settled(aws, storage_gib=50))["problem"]


def test_there_is_no_way_back_from_encryption(aws):
    make_database(aws, StorageEncrypted=True)
    assert settled(aws, encrypted=True) == []
    assert "no way back" in one(settled(aws))["fix"]


def features(aws, option, **values):
    with Stubber(aws.clients["rds"]) as stub:
        stub.add_response("describe_orderable_db_instance_options", {"OrderableDBInstanceOptions": [option]})
        inputs = {
            "SupportsPerformanceInsights": Input("insights", values.get("insights", False)),
            "SupportsIAMDatabaseAuthentication": Input("iam", values.get("iam", False)),
        }
        return aws_checks.database_features(
            aws, version=Input("version", "16.4"), instance_class=Input("class", "db.t3.micro"), features=inputs
        )


def test_switches_that_a_class_does_not_have(aws):
    plain = {"Engine": "postgres", "EngineVersion": "16.4", "DBInstanceClass": "db.t3.micro", "SupportsPerformanceInsights": False}
    assert features(aws, plain) == []
    assert one(features(aws, plain, insights=True))["variable"] == "insights"
    full = {**plain, "SupportsPerformanceInsights": True, "SupportsIAMDatabaseAuthentication": True}
    assert features(aws, full, insights=True, iam=True) == []


def test_versioning_is_never_turned_off_by_accident(aws):
    def check(versioning, suspend=False):
        return aws_checks.bucket_versioning(aws, Input("bucket", "lab-files"), Input("versioning", versioning), Input("suspend", suspend))

    assert check(False) == []
    s3 = aws.clients["s3"]
    s3.create_bucket(Bucket="lab-files")
    assert check(False) == []
    s3.put_bucket_versioning(Bucket="lab-files", VersioningConfiguration={"Status": "Enabled"})
    assert check(True) == [] and check(False, suspend=True) == []
    assert "suspend to true" in one(check(False))["fix"]


def test_subnets_stay_where_they_are(aws):
    def check(public, zones=("us-east-1a", "us-east-1b")):
        return aws_checks.subnets(
            aws, Input("zones", list(zones)), {"public": Input("public", list(public)), "database": Input("data", [])}
        )

    assert check(["10.0.1.0/24", "10.0.2.0/24"]) == []
    ec2 = aws.clients["ec2"]
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for zone, block in (("us-east-1a", "10.0.1.0/24"), ("us-east-1b", "10.0.2.0/24")):
        labels = [{"ResourceType": "subnet", "Tags": [*OURS, {"Key": "Tier", "Value": "public"}]}]
        ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone, TagSpecifications=labels)
    assert check(["10.0.1.0/24", "10.0.2.0/24"]) == []
    assert check(["10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"], ("us-east-1a", "us-east-1b", "us-east-1c")) == []
    assert "10.0.2.0/24 in us-east-1b" in one(check(["10.0.1.0/24", "10.0.9.0/24"]))["problem"]
    assert "neither move" in one(check(["10.0.1.0/24", "10.0.2.0/24"], ("us-east-1b", "us-east-1a")))["problem"]
