"""A cluster that is given to the lab: what of a kubeconfig is taken and what refused, and whose addresses are let in."""

from __future__ import annotations

import base64
import json
import stat
import subprocess

import pytest
import yaml

from lab import network, status
from lab.api import eks, firewall
from lab.kubernetes import foreign, kernel, pki, programs, progress
from lab.kubernetes.api_client import ApiClient
from lab.processes import Process
from lab.settings import SETTINGS, Settings
from lab.supervisor import LabError, Supervisor
from tests.unit.moto_patches import client
from tests.unit.test_lab_eks import NAME, account  # noqa: F401 (a fixture)
from tests.unit.test_lab_kubernetes import cluster_with

SERVER = "https://127.0.0.1:6443"


@pytest.fixture
def authority(tmp_path) -> pki.Authority:
    return pki.Authority(tmp_path / "pki", "ca")


@pytest.fixture
def write(tmp_path, authority):
    """A kubeconfig with a second context; of its cluster and user, what a test wants."""

    def written(user: dict | None = None, **cluster) -> str:
        config = json.loads(pki.kubeconfig(SERVER, authority, authority.issue("admin")))
        config["contexts"].insert(0, {"name": "other", "context": {"cluster": "none", "user": "none"}})
        place = config["clusters"][0]["cluster"]
        place.update(cluster)
        config["clusters"][0]["cluster"] = {key: value for key, value in place.items() if value is not None}
        if user is not None:
            config["users"][0]["user"] = user
        path = tmp_path / "given.yml"
        path.write_text(yaml.safe_dump(config))
        return path

    return written


def settings(tmp_path, **more) -> Settings:
    return Settings(root=tmp_path, state=tmp_path / ".lab", cache=tmp_path / "cache", kubernetes=True, **more)


# --- what is given


def test_the_current_context_counts_alone(write, authority):
    found = foreign.read(write())
    assert [context["name"] for context in found["contexts"]] == [found["current-context"]] == ["lab"]
    assert found["clusters"][0]["cluster"] == {"server": SERVER, "certificate-authority-data": authority.encoded}
    assert set(found["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


def test_files_that_it_names_are_taken_along(write, tmp_path, authority):
    pki.write(authority.issue("admin"), tmp_path, "me")
    user = {"client-certificate": "me.crt", "client-key": str(tmp_path / "me.key")}
    path = write(user, **{"certificate-authority-data": None, "certificate-authority": "pki/ca.crt"})
    found = foreign.read(path)
    assert found["clusters"][0]["cluster"]["certificate-authority-data"] == authority.encoded
    assert base64.b64decode(found["users"][0]["user"]["client-key-data"]) == (tmp_path / "me.key").read_bytes()


@pytest.mark.parametrize(
    ("user", "cluster", "why"),
    [
        ({"exec": {"command": "aws"}}, {}, "runs a program for credentials"),
        ({"username": "me", "password": "x"}, {}, "neither a client certificate nor a token"),
        ({"client-certificate": "none.crt", "client-key": "none.key"}, {}, "none.crt: No such file"),
        (None, {"server": "http://127.0.0.1:8080"}, "must be https"),
        (None, {"server": "https://rancher.example/k8s/clusters/c-1"}, "must be https"),
        (None, {"certificate-authority-data": None}, "no certificate-authority-data"),
        (None, {"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify cannot be used"),
        (None, {"proxy-url": "http://127.0.0.1:3128"}, "proxy-url cannot be used"),
    ],
)
def test_what_the_lab_cannot_use_is_refused(write, user, cluster, why):
    path = write(user, **cluster)
    with pytest.raises(foreign.ForeignError, match=why) as caught:
        foreign.read(path)
    assert f"ESPALIER_KUBECONFIG={path}, context lab" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "a: [", "{current-context: x, contexts: []}", "{kind: Config}"])
def test_what_is_no_kubeconfig_is_refused(tmp_path, text):
    (tmp_path / "file").write_text(text)
    with pytest.raises(foreign.ForeignError, match="no kubeconfig with a current context"):
        foreign.read(tmp_path / "file")
    with pytest.raises(foreign.ForeignError, match="No such file"):
        foreign.read(tmp_path / "nowhere")


def test_a_token_is_what_the_api_server_sees(write, tmp_path, monkeypatch):
    seen = {}

    def exchange(self, method, target, data, headers):
        seen.update(headers, address=(self.address, self.port))
        return 200, "{}"

    monkeypatch.setattr(ApiClient, "_exchange", exchange)
    place = settings(tmp_path)
    foreign.adopt(foreign.read(write({"token": "word"})), place)
    assert seen["Authorization"] == "Bearer word" and seen["address"] == ("127.0.0.1", 6443)
    assert foreign.known(place)["users"][0]["user"] == {"token": "word"}


def test_what_is_kept_is_secret(write, tmp_path, monkeypatch):
    monkeypatch.setattr(ApiClient, "_exchange", lambda *_: (200, "{}"))
    place = settings(tmp_path)
    foreign.adopt(foreign.read(write()), place)
    assert stat.S_IMODE(foreign.folder(place).stat().st_mode) == 0o700
    for name in ("kubeconfig", "client-certificate", "client-key"):
        assert stat.S_IMODE((foreign.folder(place) / name).stat().st_mode) == 0o600, name


def test_a_cluster_that_does_not_answer_is_not_kept(write, tmp_path, monkeypatch):
    monkeypatch.setattr(ApiClient, "_exchange", lambda *_: (403, '{"message": "nodes is forbidden"}'))
    place = settings(tmp_path)
    with pytest.raises(foreign.ForeignError, match="nodes is forbidden"):
        foreign.adopt(foreign.read(write()), place)
    assert not foreign.folder(place).exists()


# --- lab up


def test_the_lab_that_runs_keeps_its_cluster(write, tmp_path, monkeypatch):
    monkeypatch.setattr(ApiClient, "_exchange", lambda *_: (200, "{}"))
    place = settings(tmp_path, kubeconfig=str(write()))
    (place.state / "kubernetes").mkdir(parents=True)
    up, running = Supervisor(place), {"api": Process(1, 0)}
    with pytest.raises(LabError, match="make lab-down"):
        up.given_cluster(running)
    assert up.given_cluster({})["current-context"] == "lab"
    up.adopt(up.given_cluster({}))
    assert up.given_cluster(running) is None, "it is the one that serves"
    write({"token": "another"})
    with pytest.raises(LabError, match="make lab-down"):
        up.given_cluster(running)


def test_the_lab_refuses_what_it_cannot_use(write, tmp_path):
    with pytest.raises(LabError, match="runs a program"):
        Supervisor(settings(tmp_path, kubeconfig=str(write({"exec": {}})))).given_cluster({})


def test_without_kubernetes_nobody_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ESPALIER_KUBECONFIG", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SKIP", "cluster,monitoring")
    assert Settings().kubeconfig.endswith("nowhere")
    assert Supervisor(Settings()).given_cluster({}) is None


def test_everybody_hears_of_it_and_nothing_is_built(write, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ApiClient, "_exchange", lambda *_: (200, "{}"))
    monkeypatch.setattr(programs, "missing", lambda *_: pytest.fail("looks for programs"))
    monkeypatch.setattr(kernel, "trouble", lambda: pytest.fail("looks at the kernel"))
    place = settings(tmp_path)
    foreign.adopt(foreign.read(write()), place)
    Supervisor(place).tell_of_kubernetes()
    up = capsys.readouterr().out
    status.show(place)
    for told in (up, capsys.readouterr().out):
        assert f"GIVEN CLUSTER: Kubernetes is context lab at {SERVER}" in told and "Not shown with it: EKS's tokens" in told
    assert progress.follow(place) == 0


@pytest.mark.parametrize("guests", ["", "kind-control-plane\nkind-worker\n"])
def test_lab_down_leaves_the_network_to_others_in_it(monkeypatch, capsys, guests):
    asked = []

    def podman(*arguments, **_):
        asked.append(arguments[:2])
        return subprocess.CompletedProcess(arguments, 0, guests.encode() if arguments[0] == "ps" else b"", b"")

    monkeypatch.setattr(network, "podman", podman)
    monkeypatch.setattr(network, "iptables", lambda *_: subprocess.CompletedProcess((), 0, b"", b""))
    removed = network.remove(SETTINGS)
    assert (("network", "rm") in asked) is (guests == "") is (f"network {SETTINGS.network}" in removed)
    assert ("kind-worker" in capsys.readouterr().out) is (guests != "")


# --- addresses


def node(address: str, ready: str = "True", kind: str = "InternalIP") -> dict:
    conditions = [{"type": "Ready", "status": ready}]
    return {"status": {"conditions": conditions, "addresses": [{"type": "Hostname", "address": "x"}, {"type": kind, "address": address}]}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([node("10.0.0.9"), node("10.0.0.8"), node("fd00::1")], ["10.0.0.8", "10.0.0.9"]),
        ([node("192.168.1.7")], ["192.168.1.7", "10.0.0.1"]),
        ([node("198.51.100.1", kind="ExternalIP")], []),
    ],
)
def test_connections_come_from_nodes_or_through_this_machine(found, expected):
    assert foreign.admitted(found, SETTINGS) == expected


def test_only_nodes_that_are_ready_are_targets():
    class Api:
        def items(self, path):
            return [node("10.0.0.8"), node("10.0.0.9", "False")]

    assert foreign.node_targets(Api(), 30080) == {"10.0.0.8": 30080}


def test_what_the_cluster_s_group_may_its_nodes_may(account):  # noqa: F811
    group = account.active()["resourcesVpcConfig"]["clusterSecurityGroupId"]
    ec2 = client("ec2")
    database = ec2.create_security_group(GroupName="database", Description="database", VpcId=account.vpc)["GroupId"]
    made = ec2.create_network_interface(SubnetId=account.subnets[0], Groups=[database])["NetworkInterface"]["PrivateIpAddress"]
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=database, IpPermissions=[rule])

    def ranges() -> list[str]:
        ((*_, found),) = firewall.interfaces({})["interfaces"][made]["ingress"]
        return found

    assert SETTINGS.pod_cidr in ranges()
    eks.clusters.report({"name": NAME, "addresses": ["10.0.0.9"]})
    assert "10.0.0.9/32" in ranges() and SETTINGS.pod_cidr not in ranges()


# --- add-ons


class Api:
    """Answers what it has of metrics and of the name service; what is applied and deleted is written down."""

    def __init__(self, metrics: str | None, replicas: int = 0) -> None:
        self.metrics, self.replicas, self.applied = metrics, replicas, []

    def get(self, path: str) -> dict | None:
        assert path == foreign.METRICS
        return self.metrics and {"status": {"conditions": [{"type": "Available", "status": self.metrics}]}}

    def items(self, path: str, **query: str) -> list[dict]:
        return [{"status": {"availableReplicas": self.replicas}}]

    def apply(self, wanted: dict) -> None:
        self.applied.append(wanted)

    def delete(self, path: str) -> None:
        pytest.fail(f"deletes {path}")


@pytest.mark.parametrize(
    ("name", "known", "api", "expected"),
    [
        ("vpc-cni", "CREATING", Api(None), "ACTIVE"),
        ("coredns", "CREATING", Api(None, 1), "ACTIVE"),
        ("coredns", "CREATING", Api(None), None),
        ("coredns", "ACTIVE", Api(None), "DEGRADED"),
        ("coredns", "DELETING", Api(None), "deleted"),
        ("metrics-server", "CREATING", Api("True"), "ACTIVE"),
        ("metrics-server", "CREATING", Api("False"), None),
        ("metrics-server", "CREATING", Api(None), None),
        ("metrics-server", "DELETING", Api("True"), "deleted"),
        ("aws-ebs-csi-driver", "CREATING", Api(None), "CREATE_FAILED"),
    ],
)
def test_an_addon_is_what_the_cluster_has(name, known, api, expected):
    news = foreign.ForeignAddons(Settings(time_scale=1)).converge(cluster_with(known, name), api)
    assert news.get(name, {}).get("status") == expected
    missing = name == "metrics-server" and api.metrics is None
    assert bool(api.applied) is missing, "nothing is installed that is there"


def test_metrics_server_is_its_publisher_s():
    (deployment,) = [one for one in foreign.metrics_server(cluster_with("CREATING"), {"replicas": 1}) if one["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.k8s.io/metrics-server/metrics-server:v0.9.0"
    assert "--kubelet-insecure-tls" in container["args"] and not [one for one in container["args"] if "authority" in one]
