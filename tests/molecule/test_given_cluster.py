"""A cluster that is given to the lab, a real API server: what the account answers, what is told to it, and that nothing of it is lost."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime

import pytest

from lab import control
from lab.api import ec2, eks, scaling
from lab.kubernetes import clusters, foreign, programs
from lab.kubernetes.ingresses import Ingresses
from lab.settings import Settings
from tests.molecule import cluster
from tests.tree import ROOT, VENV_BIN
from tests.unit.moto_patches import client
from tests.unit.test_lab_eks import GROUP, NAME, account  # noqa: F401 (a fixture)

NODE, ADDRESS = "theirs-1", "10.0.0.9"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Its administrator's kubeconfig. One node says that it is Ready."""
    folder = tmp_path_factory.mktemp("given")
    cluster.open_cluster(folder)
    yield folder / "kubeconfig"
    cluster.close_cluster(folder)


@pytest.fixture
def settings(given, tmp_path, monkeypatch) -> Settings:
    """Of a lab that has taken it over, and whose parts talk to the account of the test."""
    made = Settings(root=ROOT, state=tmp_path / ".lab", cache=tmp_path / "cache", network="nowhere", prefix="nowhere", kubernetes=True)
    foreign.adopt(foreign.read(given), made)
    routes = {"eks_model": eks.clusters.model, "eks_report": eks.clusters.report, "machine_state": ec2.machine_state}
    monkeypatch.setattr(control, "call", lambda route, /, settings, **body: routes[route](body))
    monkeypatch.setattr(clusters, "podman", lambda *_, **__: pytest.fail("starts or removes a container"))
    monkeypatch.setattr(clusters, "containers", lambda *_: pytest.fail("looks for containers"))
    monkeypatch.setattr(programs, "build", lambda *_, **__: pytest.fail("builds programs"))
    return made


@pytest.fixture
def api(settings):
    found = foreign.client(settings)
    if found.get(f"/api/v1/nodes/{NODE}") is None:
        found.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    # Kubernetes believes a node for less than a minute.
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": moment}
    status = {
        "conditions": [ready],
        "addresses": [{"type": "InternalIP", "address": ADDRESS}],
    }
    found.request("PATCH", f"/api/v1/nodes/{NODE}/status", {"status": status}, "application/merge-patch+json")
    return found


class Lab:
    """The part `clusters`, pass by pass."""

    def __init__(self, settings: Settings) -> None:
        self.part = clusters.Clusters(settings)

    def step(self) -> None:
        scaling.step({})
        self.part.foreign.looked.clear()
        self.part.reconcile()


@pytest.fixture
def lab(settings, api, account) -> Lab:  # noqa: F811
    """With a cluster in the account that is ACTIVE."""
    made = Lab(settings)
    account.create()
    made.step()
    return made


def kubectl(kubeconfig, *arguments: str) -> str:
    command = [VENV_BIN / "kubectl", "--kubeconfig", kubeconfig, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_the_account_answers_its_endpoint_and_authority(lab, account, settings):  # noqa: F811
    found, config = account.cluster(), foreign.known(settings)["clusters"][0]["cluster"]
    assert found["status"] == "ACTIVE"
    assert found["endpoint"] == config["server"] and found["endpoint"].startswith("https://127.0.0.1:")
    assert found["certificateAuthority"]["data"] == config["certificate-authority-data"]


def test_the_roles_kubeconfig_leads_there(api, settings, tmp_path):
    target = tmp_path / "kubeconfig"
    variables = {
        "eks_existing": {"name": NAME, "endpoint": "https://192.0.2.1", "certificate_authority": ""},
        "eks_kubeconfig_source": str(foreign.kubeconfig(settings)),
        "eks_kubeconfig_path": str(target),
    }
    command = [VENV_BIN / "ansible", "localhost", "--inventory", ROOT / "inventories" / "lab" / "hosts.yml", "--diff"]
    command += ["--module-name", "ansible.builtin.include_role", "--args", "name=eks tasks_from=kubeconfig"]
    done = subprocess.run(
        [*command, "--extra-vars", json.dumps(variables)],
        cwd=ROOT, env={**os.environ, "PATH": f"{VENV_BIN}:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "client-key-data" not in done.stdout
    assert NODE in kubectl(target, "get", "nodes")


def test_a_token_does_as_well(api, given, tmp_path):
    caller = {"kind": "ServiceAccount", "namespace": "default", "name": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    metadata = {"name": "given-to-the-lab"}
    bound = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata}
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.request("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", request)["status"]["token"]
    place, config = Settings(state=tmp_path / ".lab"), foreign.read(given)
    config["users"][0]["user"] = {"token": token}
    with pytest.raises(foreign.ForeignError, match=r"403: nodes is forbidden: .*serviceaccount:default:default"):
        foreign.adopt(config, place)
    api.apply({**bound, "roleRef": role, "subjects": [caller]})
    foreign.adopt(config, place)
    assert [node["metadata"]["name"] for node in foreign.client(place).items("/api/v1/nodes")] == [NODE]


def test_node_groups_are_records_and_its_nodes_are_let_in(lab, account):  # noqa: F811
    account.create_nodes()
    for _ in range(3):
        lab.step()
    assert account.nodes()["status"] == "ACTIVE"
    assert {found["State"]["Name"] for found in account.instances()} == {"running"}
    assert eks.common.backend().clusters[NAME].lab_addresses == [ADDRESS]
    client("eks").update_nodegroup_config(clusterName=NAME, nodegroupName=GROUP, scalingConfig={"desiredSize": 1})
    for _ in range(3):
        lab.step()
    assert len(account.instances()) == 1


def test_metrics_server_comes_where_there_is_none(lab, api):
    client("eks").create_addon(clusterName=NAME, addonName="metrics-server")
    lab.step()
    deployment = api.get("/apis/apps/v1/namespaces/kube-system/deployments/metrics-server")
    assert "--kubelet-insecure-tls" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    lab.step()
    status = client("eks").describe_addon(clusterName=NAME, addonName="metrics-server")["addon"]["status"]
    assert status == "CREATING", "nothing answers for metrics: there is no pod"


def test_nothing_of_it_is_deleted_with_the_cluster(lab, account, api):  # noqa: F811
    eks_client = client("eks")
    eks_client.create_addon(clusterName=NAME, addonName="metrics-server")
    account.create_nodes()
    for _ in range(3):
        lab.step()
    before = everything(api)
    eks_client.delete_addon(clusterName=NAME, addonName="metrics-server")
    eks_client.delete_nodegroup(clusterName=NAME, nodegroupName=GROUP)
    for _ in range(4):
        lab.step()
    eks_client.delete_cluster(name=NAME)
    lab.step()
    assert eks_client.list_clusters()["clusters"] == [] and account.instances() == []
    assert everything(api) >= before


def everything(api) -> set[str]:
    """Ids of what a removal could take."""
    kinds = (
        "/api/v1/nodes",
        "/api/v1/namespaces",
        "/api/v1/services",
        "/apis/apps/v1/deployments",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    )
    return {item["metadata"]["uid"] for kind in kinds for item in api.items(kind)}


# --- ingresses


def ingress(target_type: str) -> dict:
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
    annotations = {"scheme": "internet-facing", "target-type": target_type}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "annotations": {f"alb.ingress.kubernetes.io/{key}": value for key, value in annotations.items()},
        },
        "spec": {"ingressClassName": "alb", "rules": [{"http": {"paths": [path]}}]},
    }


@pytest.fixture
def controller(lab, account, settings, monkeypatch) -> Ingresses:  # noqa: F811
    for subnet in account.subnets:
        client("ec2").create_tags(Resources=[subnet], Tags=[{"Key": "kubernetes.io/role/elb", "Value": "1"}])
    monkeypatch.setattr(Ingresses, "client", lambda self, service: client(service))
    return Ingresses(settings)


def test_an_ingress_leads_to_ports_of_its_nodes(controller, api):
    ports = [{"name": "http", "port": 80, "targetPort": 8000}]
    metadata = {"name": "web", "namespace": "default"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": "NodePort", "ports": ports}}
    node_port = api.apply(service)["spec"]["ports"][0]["nodePort"]
    api.apply(ingress("instance"))
    (model,) = eks.clusters.model({})["clusters"]
    controller.converge(model)
    elb = client("elbv2")
    (group,) = elb.describe_target_groups()["TargetGroups"]
    assert group["TargetType"] == "ip"
    targets = [found["Target"] for found in elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]]
    assert [(target["Id"], target["Port"]) for target in targets] == [(ADDRESS, node_port)]
    api.apply(ingress("ip"))
    controller.converge(model)
    (event,) = [found for found in api.items("/api/v1/namespaces/default/events") if found["reason"] == "FailedDeployModel"]
    assert "target-type must be instance" in event["message"]
    place = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/web"
    api.delete(place)
    controller.converge(model)
    controller.converge(model)
    assert api.get(place) is None and elb.describe_load_balancers()["LoadBalancers"] == []
