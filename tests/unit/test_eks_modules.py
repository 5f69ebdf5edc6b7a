"""The modules of EKS, against the lab's EKS: made once, changed once, gone once, planned without a trace; what cannot be done is said."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import Mock, call

import pytest
from ansible_collections.espalier.aws.plugins.module_utils import eks as waiting
from ansible_collections.espalier.aws.plugins.modules import iam_oidc_provider
from botocore.exceptions import ClientError

from lab.api import eks
from tests.unit.eks_account import NAME, account, cycle, run  # noqa: F401 (fixtures)
from tests.unit.moto_patches import client

ROLE = "arn:aws:iam::123456789012:role/cluster"
TAGS = {"Project": "django", "Environment": "lab"}


@pytest.fixture
def wanted(account):  # noqa: F811
    """Options of a cluster."""
    account.make_role("cluster", "eks.amazonaws.com")
    return {"name": NAME, "version": "1.34", "role_arn": ROLE, "subnet_ids": account.subnets, "tags": TAGS}


def names() -> list[str]:
    return client("eks").list_clusters()["clusters"]


# --- the control plane


def test_a_cluster_is_made_once_and_removed_once(run, wanted):  # noqa: F811
    made = cycle(run, "eks_cluster", names, **wanted)["cluster"]
    assert made["name"] == NAME and made["status"] == "ACTIVE" and made["version"] == "1.34"
    assert made["endpoint"].startswith("https://") and made["certificate_authority"] and made["security_group_id"].startswith("sg-")
    assert made["oidc_issuer"].startswith("https://oidc.eks.us-east-1.amazonaws.com/id/")


def test_what_a_new_cluster_is_asked_for(run, wanted):  # noqa: F811
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    run(
        "eks_cluster",
        **wanted,
        encryption_key_arn=key,
        log_types=["audit"],
        public_access_cidr_blocks=["192.0.2.0/24"],
        creator_admin=False,
    )
    found = client("eks").describe_cluster(name=NAME)["cluster"]
    assert found["accessConfig"] == {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}
    assert found["encryptionConfig"] == [{"resources": ["secrets"], "provider": {"keyArn": key}}]
    assert found["resourcesVpcConfig"]["publicAccessCidrs"] == ["192.0.2.0/24"]
    assert found["upgradePolicy"] == {"supportType": "STANDARD"}
    assert found["tags"] == TAGS
    assert (
        run("eks_cluster", **wanted, encryption_key_arn=key, log_types=["audit"], public_access_cidr_blocks=["192.0.2.0/24"])["changed"]
        is False
    )


def test_a_cluster_that_is_being_made_is_left_alone_without_waiting(run, wanted):  # noqa: F811
    assert run("eks_cluster", wait=False, **wanted)["cluster"]["status"] == "CREATING"
    again = run("eks_cluster", wait=False, **{**wanted, "version": "1.35"})
    assert (again["changed"], again["cluster"]["status"]) == (False, "CREATING")
    assert run("eks_cluster", **wanted)["cluster"]["status"] == "ACTIVE"


def test_a_cluster_that_fails_says_why(run, wanted):  # noqa: F811
    run("eks_cluster", wait=False, **wanted)
    eks.clusters.report({"name": NAME, "was": "CREATING", "status": "FAILED"})
    answer = run("eks_cluster", **wanted)
    assert answer["failed"] and f"The cluster {NAME} is FAILED." in answer["msg"]
    assert run("eks_cluster", name=NAME, state="absent")["changed"] is True
    assert names() == []


def test_a_cluster_that_takes_too_long_says_how_to_go_on(run, wanted, account, monkeypatch):  # noqa: F811
    run("eks_cluster", wait=False, **wanted)
    monkeypatch.setattr(account, "step", lambda: None)
    answer = run("eks_cluster", wait_timeout_seconds=60, **wanted)
    assert answer["failed"] and "is still CREATING after 60 s. Run again to go on waiting." in answer["msg"]


CHANGES = {
    "endpoint": {"endpoint_public_access": False},
    "networks": {"public_access_cidr_blocks": ["192.0.2.0/24"]},
    "logs": {"log_types": ["api", "scheduler"]},
    "support": {"support_type": "EXTENDED"},
    "protection": {"deletion_protection": True},
    "version": {"version": "1.35"},
    "tags": {"tags": {"Project": "django", "Team": "shop"}},
    "all of it": {"log_types": ["api"], "support_type": "EXTENDED", "version": "1.35", "endpoint_public_access": False},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_setting_is_changed_once(run, wanted, change):  # noqa: F811
    run("eks_cluster", **wanted)
    before = client("eks").describe_cluster(name=NAME)["cluster"]
    options = {**wanted, **change}
    assert run("eks_cluster", check_mode=True, **options)["changed"] is True
    assert client("eks").describe_cluster(name=NAME)["cluster"] == before
    answer = run("eks_cluster", **options)
    assert answer["changed"] is True, answer
    assert answer["diff"]["before"] != answer["diff"]["after"]
    assert run("eks_cluster", **options)["changed"] is False


def test_a_key_can_be_added_and_never_changed(run, wanted):  # noqa: F811
    run("eks_cluster", **wanted)
    one, other = (client("kms").create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    assert run("eks_cluster", encryption_key_arn=one, **wanted)["changed"] is True
    assert run("eks_cluster", encryption_key_arn=one, **wanted)["changed"] is False
    for key in (other, ""):
        answer = run("eks_cluster", encryption_key_arn=key, **wanted)
        assert answer["failed"] and "neither change nor end" in answer["msg"]


REFUSALS = {
    "a key's tags do not count yet": ("InvalidRequestException", "User not authorized to perform kms:CreateGrant operation", 300, True),
    "a key is out of reach": ("InvalidRequestException", "User not authorized to perform kms:CreateGrant operation", 400, False),
    "EKS does not know a role yet": ("InvalidParameterException", "Role with arn: x, could not be assumed", 50, True),
    "there is no role": ("InvalidParameterException", "Role with arn: x, could not be assumed", 70, False),
    "something else": ("InvalidParameterException", "unsupported Kubernetes version", 1, False),
}


@pytest.mark.parametrize(("code", "message", "seconds", "made"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_new_is_waited_for(monkeypatch, code, message, seconds, made):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=lambda s: setattr(clock, "now", clock.now + s)))

    def create(**_arguments):
        if clock.now < 1000 + seconds:
            raise ClientError({"Error": {"Code": code, "Message": message}}, "CreateCluster")
        return {"cluster": {}}

    if made:
        assert waiting.with_new(create, name=NAME) == {"cluster": {}}
    else:
        with pytest.raises(ClientError):
            waiting.with_new(create, name=NAME)
    assert clock.now == 1000 if message.startswith("unsupported") else clock.now > 1000


def test_a_version_is_a_floor(run, wanted):  # noqa: F811
    run("eks_cluster", **wanted)
    answer = run("eks_cluster", **{**wanted, "version": "1.33"})
    assert (answer["changed"], answer["cluster"]["version"]) == (False, "1.34")


def test_two_versions_at_a_time_are_refused_before_anything_is_changed(run, wanted):  # noqa: F811
    run("eks_cluster", **{**wanted, "version": "1.33"})
    before = client("eks").describe_cluster(name=NAME)["cluster"]
    answer = run("eks_cluster", **{**wanted, "version": "1.35", "log_types": ["api"]})
    assert answer["failed"] and "first to 1.34" in answer["msg"]
    assert client("eks").describe_cluster(name=NAME)["cluster"] == before


@pytest.mark.parametrize(
    ("option", "value"), [("role_arn", "arn:aws:iam::123456789012:role/another"), ("service_cidr_block", "172.31.0.0/16")]
)
def test_what_eks_cannot_change_is_said(run, wanted, option, value):  # noqa: F811
    run("eks_cluster", **wanted)
    answer = run("eks_cluster", **{**wanted, option: value})
    assert answer["failed"] and "EKS cannot" in answer["msg"]


def test_a_protected_cluster_stays(run, wanted):  # noqa: F811
    run("eks_cluster", deletion_protection=True, **wanted)
    assert run("eks_cluster", name=NAME, state="absent")["failed"]
    assert names() == [NAME]


# --- nodes


@pytest.fixture
def nodes(run, wanted, account):  # noqa: F811
    """Options of a node group, in a cluster that is there."""
    run("eks_cluster", **wanted)
    client("ec2").create_launch_template(LaunchTemplateName="nodes", LaunchTemplateData={"UserData": ""})
    return {
        "cluster": NAME,
        "name": "workers",
        "role_arn": account.role,
        "subnet_ids": account.subnets,
        "launch_template": "nodes",
        "launch_template_version": "1",
        "tags": TAGS,
    }


def group() -> dict:
    return client("eks").describe_nodegroup(clusterName=NAME, nodegroupName="workers")["nodegroup"]


def test_a_node_group_is_made_once_and_removed_once(run, nodes):  # noqa: F811
    made = cycle(run, "eks_node_group", lambda: client("eks").list_nodegroups(clusterName=NAME)["nodegroups"], **nodes)["node_group"]
    assert {key: made[key] for key in ("name", "status", "version", "min_size", "max_size", "desired_size")} == {
        "name": "workers",
        "status": "ACTIVE",
        "version": "1.34",
        "min_size": 1,
        "max_size": 2,
        "desired_size": 2,
    }


def test_without_a_name_every_group_of_the_cluster_goes(run, nodes, account):  # noqa: F811
    assert run("eks_node_group", cluster="another", state="absent")["changed"] is False, "a cluster that there is not has none"
    for name in ("workers", "workers-2"):
        run("eks_node_group", **{**nodes, "name": name})
    client("eks").create_nodegroup(clusterName=NAME, nodegroupName="by-hand", nodeRole=account.role, subnets=account.subnets)
    account.step()
    everything = {"cluster": NAME, "state": "absent"}
    assert run("eks_node_group", check_mode=True, **everything)["changed"] is True
    assert len(client("eks").list_nodegroups(clusterName=NAME)["nodegroups"]) == 3
    assert run("eks_node_group", wait=False, **everything)["changed"] is True
    left = [client("eks").describe_nodegroup(clusterName=NAME, nodegroupName=name)["nodegroup"] for name in ("workers", "by-hand")]
    assert [one["status"] for one in left] == ["DELETING", "DELETING"], "one waited for the other"
    assert run("eks_node_group", **everything)["node_group"] is None
    assert client("eks").list_nodegroups(clusterName=NAME)["nodegroups"] == []
    assert run("eks_node_group", **everything)["changed"] is False
    refused = run("eks_node_group", **{key: value for key, value in nodes.items() if key != "name"})
    assert refused["failed"] and "name" in refused["msg"]


def test_what_scaling_did_is_not_undone(run, nodes):  # noqa: F811
    run("eks_node_group", **nodes, max_size=5)
    client("eks").update_nodegroup_config(
        clusterName=NAME, nodegroupName="workers", scalingConfig={"minSize": 1, "maxSize": 5, "desiredSize": 4}
    )
    assert run("eks_node_group", **nodes, max_size=5)["changed"] is False
    assert group()["scalingConfig"]["desiredSize"] == 4
    # Except beyond the limits.
    assert run("eks_node_group", **nodes, max_size=3)["node_group"]["desired_size"] == 3
    assert run("eks_node_group", **nodes, min_size=3, max_size=3)["node_group"]["desired_size"] == 3


NODE_CHANGES = {
    "labels": {"labels": {"team": "shop"}},
    "unavailable": {"max_unavailable": 2},
    "tags": {"tags": {"Team": "shop"}},
    "limits": {"max_size": 6},
}


@pytest.mark.parametrize("change", NODE_CHANGES.values(), ids=NODE_CHANGES)
def test_a_setting_of_nodes_is_changed_once_and_taken_back_once(run, nodes, change):  # noqa: F811
    run("eks_node_group", **nodes)
    for options in ({**nodes, **change}, nodes):
        before = group()
        assert run("eks_node_group", check_mode=True, **options)["changed"] is True
        assert group() == before
        assert run("eks_node_group", **options)["changed"] is True
        assert run("eks_node_group", **options)["changed"] is False


def test_new_versions_are_rolled_out(run, nodes, wanted):  # noqa: F811
    run("eks_node_group", **nodes)
    client("ec2").create_launch_template_version(LaunchTemplateName="nodes", LaunchTemplateData={"UserData": "eA=="})
    assert run("eks_node_group", **{**nodes, "launch_template_version": "2"})["changed"] is True
    assert group()["launchTemplate"]["version"] == "2"
    run("eks_cluster", **{**wanted, "version": "1.35"})
    options = {**nodes, "launch_template_version": "2", "version": "1.35"}
    assert run("eks_node_group", **options)["node_group"]["version"] == "1.35"
    assert run("eks_node_group", **options)["changed"] is False
    assert run("eks_node_group", **{**options, "version": "1.34"})["changed"] is False, "a version is a floor"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("instance_types", ["t3.large"]),
        ("capacity_type", "SPOT"),
        ("ami_type", "BOTTLEROCKET_x86_64"),
        ("subnet_ids", ["subnet-1"]),
        ("launch_template", "another"),
    ],
)
def test_what_eks_cannot_change_of_nodes_is_said(run, nodes, option, value):  # noqa: F811
    run("eks_node_group", **nodes)
    answer = run("eks_node_group", **{**nodes, option: value})
    reason = "takes no other" if option == "launch_template" else f"{option} of workers is"
    assert answer["failed"] and reason in answer["msg"]


# --- add-ons


def addons() -> dict[str, dict]:
    eks = client("eks")
    return {name: eks.describe_addon(clusterName=NAME, addonName=name)["addon"] for name in eks.list_addons(clusterName=NAME)["addons"]}


@pytest.fixture
def cluster(run, wanted):  # noqa: F811
    return run("eks_cluster", **wanted)["cluster"]


def test_addons_come_and_go_together(run, cluster):  # noqa: F811
    options = {
        "cluster": NAME,
        "addons": [{"name": "vpc-cni", "configuration": {"enableNetworkPolicy": "true"}}, {"name": "kube-proxy"}],
        "tags": TAGS,
    }
    made = cycle(run, "eks_addons", addons, **options)["addons"]
    assert set(made) == {"vpc-cni", "kube-proxy"} and made["vpc-cni"]["status"] == "ACTIVE"


def test_an_addon_keeps_its_version_while_it_serves(run, cluster, wanted):  # noqa: F811
    options = {"cluster": NAME, "addons": [{"name": "coredns"}, {"name": "kube-proxy"}]}
    run("eks_addons", **options)
    before = {name: addon["addonVersion"] for name, addon in addons().items()}
    run("eks_cluster", **{**wanted, "version": "1.35"})
    run("eks_addons", **options)
    after = {name: addon["addonVersion"] for name, addon in addons().items()}
    served = client("eks").describe_addon_versions(addonName="kube-proxy", kubernetesVersion="1.35")["addons"][0]["addonVersions"]
    assert after["kube-proxy"] in [one["addonVersion"] for one in served]
    assert run("eks_addons", **options)["changed"] is False, (before, after)


def test_configuration_and_identity_of_an_addon_are_changed_once(run, cluster, account):  # noqa: F811
    role = account.make_role("storage", "pods.eks.amazonaws.com", "sts:TagSession")
    other = account.make_role("storage2", "pods.eks.amazonaws.com", "sts:TagSession")
    first = {"name": "aws-ebs-csi-driver", "service_account": "ebs-csi-controller-sa", "role_arn": role}
    for addon in (first, {**first, "role_arn": other}, {**first, "role_arn": other, "configuration": {"node": {"x": 1}}}):
        assert run("eks_addons", cluster=NAME, addons=[addon])["changed"] is True
        assert run("eks_addons", cluster=NAME, addons=[addon])["changed"] is False
    found = addons()["aws-ebs-csi-driver"]
    assert json.loads(found["configurationValues"]) == {"node": {"x": 1}}
    (association,) = client("eks").list_pod_identity_associations(clusterName=NAME)["associations"]
    described = client("eks").describe_pod_identity_association(clusterName=NAME, associationId=association["associationId"])["association"]
    assert described["roleArn"] == other


def test_an_addon_that_nobody_has_is_an_error(run, cluster):  # noqa: F811
    answer = run("eks_addons", cluster=NAME, addons=[{"name": "coffee"}])
    assert answer["failed"] and "coffee" in answer["msg"]


def test_addons_of_a_cluster_that_is_not_there(run):  # noqa: F811
    addon = [{"name": "coredns"}]
    assert run("eks_addons", cluster="none", addons=addon, check_mode=True)["changed"] is True
    assert run("eks_addons", cluster="none", addons=addon)["failed"]
    assert run("eks_addons", cluster="none", addons=addon, state="absent")["changed"] is False


# --- who may enter


def entries() -> dict[str, dict]:
    eks = client("eks")
    found = eks.list_access_entries(clusterName=NAME)["accessEntries"]
    return {
        arn: {
            "entry": eks.describe_access_entry(clusterName=NAME, principalArn=arn)["accessEntry"],
            "policies": eks.list_associated_access_policies(clusterName=NAME, principalArn=arn)["associatedAccessPolicies"],
        }
        for arn in found
    }


def test_an_access_entry_comes_and_goes(run, cluster):  # noqa: F811
    options = {
        "cluster": NAME,
        "principal_arn": "arn:aws:iam::123456789012:role/developers",
        "kubernetes_groups": ["readers"],
        "tags": TAGS,
    }
    policies = [{"policy": "AmazonEKSViewPolicy", "namespaces": ["shop"]}]
    made = cycle(run, "eks_access_entry", entries, policies=policies, **options)["entry"]
    assert made == {
        "kubernetes_groups": ["readers"],
        "policies": {"arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy": ["shop"]},
        "tags": TAGS,
    }


def test_policies_and_groups_of_an_entry_are_changed_once(run, cluster):  # noqa: F811
    options = {"cluster": NAME, "principal_arn": "arn:aws:iam::123456789012:role/developers"}
    for more in (
        {},
        {"kubernetes_groups": ["readers"]},
        {"policies": [{"policy": "AmazonEKSViewPolicy", "namespaces": ["shop"]}]},
        {"policies": [{"policy": "AmazonEKSViewPolicy"}]},
        {"policies": [{"policy": "AmazonEKSAdminPolicy"}], "tags": {"Team": "shop"}},
    ):
        assert run("eks_access_entry", check_mode=True, **options, **more)["changed"] is True
        assert run("eks_access_entry", **options, **more)["changed"] is True
        assert run("eks_access_entry", **options, **more)["changed"] is False
    (policy,) = entries()[options["principal_arn"]]["policies"]
    assert policy["policyArn"].endswith("/AmazonEKSAdminPolicy") and policy["accessScope"]["type"] == "cluster"


# --- pods and IAM


def associations() -> list[dict]:
    eks = client("eks")
    found = eks.list_pod_identity_associations(clusterName=NAME)["associations"] if NAME in names() else []
    return [eks.describe_pod_identity_association(clusterName=NAME, associationId=one["associationId"])["association"] for one in found]


def test_a_pod_identity_comes_changes_and_goes(run, cluster, account):  # noqa: F811
    roles = [account.make_role(name, "pods.eks.amazonaws.com", "sts:TagSession") for name in ("one", "other")]
    options = {"cluster": NAME, "namespace": "shop", "service_account": "cart"}
    cycle(run, "eks_pod_identity", associations, role_arn=roles[0], tags=TAGS, **options)
    run("eks_pod_identity", role_arn=roles[0], tags=TAGS, **options)
    for more in ({"role_arn": roles[1], "tags": TAGS}, {"role_arn": roles[1], "tags": {"Team": "shop"}}):
        assert run("eks_pod_identity", **options, **more)["changed"] is True
        assert run("eks_pod_identity", **options, **more)["changed"] is False
    assert [(one["roleArn"], one["tags"]) for one in associations()] == [(roles[1], {"Team": "shop"})]


def test_a_pod_identity_has_gone_with_its_cluster(run):  # noqa: F811
    options = {"cluster": "none", "namespace": "shop", "service_account": "cart"}
    assert run("eks_pod_identity", state="absent", **options)["changed"] is False


def providers() -> dict[str, dict]:
    iam = client("iam")
    arns = [one["Arn"] for one in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]
    found = {arn: iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn) for arn in arns}
    return {arn: {key: one[key] for key in ("ClientIDList", "ThumbprintList", "Tags")} for arn, one in found.items()}


def test_an_issuer_is_trusted_changed_and_forgotten(run):  # noqa: F811
    options = {"url": "https://oidc.eks.us-east-1.amazonaws.com/id/0A1B2C"}
    arn = cycle(run, "iam_oidc_provider", providers, tags=TAGS, **options)["arn"]
    assert arn == "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/0A1B2C"
    run("iam_oidc_provider", **options)
    for more in ({"tags": TAGS}, {"tags": {"Team": "shop"}, "thumbprints": ["0" * 40]}):
        assert run("iam_oidc_provider", **options, **more)["changed"] is True
        assert run("iam_oidc_provider", **options, **more)["changed"] is False
    found = {"ClientIDList": ["sts.amazonaws.com"], "ThumbprintList": ["0" * 40], "Tags": [{"Key": "Team", "Value": "shop"}]}
    assert providers()[arn] == found


def test_what_others_made_of_an_issuer_stays(run):  # noqa: F811
    url, tags = "https://token.actions.githubusercontent.com", [{"Key": "Team", "Value": "shop"}]
    client("iam").create_open_id_connect_provider(Url=url, ClientIDList=["https://github.com/shop", "sts.amazonaws.com"], Tags=tags)
    assert run("iam_oidc_provider", url=url, purge=False)["changed"] is False
    assert run("iam_oidc_provider", url=url, purge=False, tags={"Project": "django"})["changed"] is True
    (found,) = providers().values()
    assert set(found["ClientIDList"]) == {"https://github.com/shop", "sts.amazonaws.com"}
    assert found["Tags"] == [*tags, {"Key": "Project", "Value": "django"}]


def test_audiences_are_added_and_removed():
    """Which moto cannot."""
    asked, before = Mock(), {"client_ids": ["one", "two"], "thumbprints": [], "tags": {}}
    iam_oidc_provider.apply(asked, "https://issuer", "arn", before, {**before, "client_ids": ["three", "two"]})
    assert asked.mock_calls == [
        call.add_client_id_to_open_id_connect_provider(ClientID="three", OpenIDConnectProviderArn="arn", aws_retry=True),
        call.remove_client_id_from_open_id_connect_provider(ClientID="one", OpenIDConnectProviderArn="arn", aws_retry=True),
    ]
