"""What the clusters ask of AWS: who the bearer of a token is, which pods have an identity, and the credentials of one.

Two servers on the lab network's gateway. The API servers of clusters ask over TLS; pods ask the pod identity agent's address, which their
node leads here.
"""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from lab import control
from lab.controller import Controller
from lab.kubernetes import pki
from lab.kubernetes.api_client import ApiClient, ApiError
from lab.network import listen

AUDIENCE = "pods.eks.amazonaws.com"
MOUNT = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
TOKEN = "eks-pod-identity-token"
AGENT = "http://169.254.170.23/v1/credentials"
TOKEN_SECONDS = 86400
MAXIMUM_BODY = 4 << 20


class ClusterGateway(Controller):
    name = "cluster_gateway"

    def run(self) -> None:
        """Serve for ever."""
        plain = self.server(self.settings.pod_identity_port, AgentHandler)
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        secure = self.server(self.settings.cluster_port, WebhookHandler)
        secure.socket = self.context().wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
        self.log.info("serving on %s:%s and %s", self.settings.gateway, self.settings.cluster_port, self.settings.pod_identity_port)
        secure.serve_forever()

    def server(self, port: int, handler: type[Handler]) -> Server:
        part = self

        class Bound(handler):  # type: ignore[misc,valid-type]
            server_part = part

        listener = listen(self.settings.gateway, port)
        server = Server(listener.getsockname(), Bound, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        return server

    def context(self) -> ssl.SSLContext:
        folder = self.settings.state / "kubernetes"
        authority = pki.Authority(folder, "gateway")
        pki.write(authority.issue("espalier-lab", names=(self.settings.gateway,)), folder, "gateway-server")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(folder / "gateway-server.crt", folder / "gateway-server.key")
        return context

    # --- answers

    def call(self, name: str, /, **body: Any) -> dict:
        return control.call(name, settings=self.settings, **body)

    def review_token(self, cluster: str, review: dict) -> dict:
        """Answer a TokenReview of the cluster's API server."""
        found = self.call("eks_authenticate", name=cluster, token=review["spec"]["token"])
        if "refused" in found:
            self.log.info("%s: token refused: %s", cluster, found["refused"])
            status: dict = {"authenticated": False, "error": found["refused"]}
        else:
            status = {"authenticated": True, "user": {name: found[name] for name in ("username", "uid", "groups")}}
        return {"apiVersion": review["apiVersion"], "kind": "TokenReview", "status": status}

    def admit_pod(self, cluster: str, review: dict) -> dict:
        """Answer an AdmissionReview of a new pod: one with an identity is told where its credentials are."""
        request = review["request"]
        pod = request["object"]
        wanted = [request["namespace"], pod["spec"].get("serviceAccountName") or "default"]
        model = next((found for found in self.call("eks_model")["clusters"] if found["name"] == cluster), None)
        if model is None or wanted not in model["pod_identities"]:
            return admission(review, [])
        return admission(review, identity_patch(pod, self.settings.region, f"http://{self.settings.gateway}:{self.settings.api_port}"))

    def admit_target(self, cluster: str, review: dict) -> dict:
        """Answer an AdmissionReview of a new pod: one behind an ingress is not Ready before the load balancer says so."""
        request = review["request"]
        return admission(review, gate_patch(request["namespace"], request["object"], self.gates(cluster)))

    def gates(self, cluster: str) -> list[dict]:
        """What lab.kubernetes.ingresses has written down."""
        try:
            return json.loads((self.settings.state / "kubernetes" / cluster / "gates.json").read_text())
        except FileNotFoundError:
            return []

    def credentials(self, token: str) -> tuple[int, dict]:
        """What the agent answers the pod that shows this token of its service account."""
        issuer = issuer_of(token)
        cluster = next((found for found in self.call("eks_model")["clusters"] if found["issuer"] == issuer), None)
        if cluster is None:
            return 400, {"message": "the token is no cluster's"}
        etc = self.settings.state / "kubernetes" / cluster["name"] / "etc"
        client = ApiClient(cluster["address"], etc / "ca.crt", etc / "admin.crt", etc / "admin.key")
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": [AUDIENCE]}}
        status = client.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
        user = status.get("user", {})
        account = user.get("username", "").split(":")
        if not status.get("authenticated") or AUDIENCE not in status.get("audiences", []) or account[:2] != ["system", "serviceaccount"]:
            return 400, {"message": f"the token is not valid: {status.get('error', 'not a service account')}"}
        pod = (user.get("extra", {}).get("authentication.kubernetes.io/pod-name") or ["-"])[0]
        found = self.call("eks_pod_credentials", name=cluster["name"], namespace=account[2], service_account=account[3], pod=pod)
        return (404, {"message": found["refused"]}) if "refused" in found else (200, found)


def admission(review: dict, patch: list[dict]) -> dict:
    response: dict = {"uid": review["request"]["uid"], "allowed": True}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    return {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response}


def issuer_of(token: str) -> str:
    """Who a token says it is from; empty for what is no token. Nothing is checked."""
    try:
        payload = token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""


def identity_patch(pod: dict, region: str, endpoint: str) -> list[dict]:
    """What EKS's webhook puts into a pod that has an identity; and, of the lab's own, where AWS's API is."""
    environment = {
        "AWS_STS_REGIONAL_ENDPOINTS": "regional",
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": AGENT,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{MOUNT}/{TOKEN}",
        "AWS_ENDPOINT_URL": endpoint,
    }
    source = {"serviceAccountToken": {"audience": AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": TOKEN}}
    patch = [added(pod["spec"], "/spec", "volumes", {"name": TOKEN, "projected": {"sources": [source]}})]
    for kind in ("initContainers", "containers"):
        for number, container in enumerate(pod["spec"].get(kind, [])):
            place = f"/spec/{kind}/{number}"
            known = {entry["name"] for entry in container.get("env", [])}
            values = [{"name": name, "value": value} for name, value in environment.items() if name not in known]
            patch.append({"op": "add", "path": f"{place}/env", "value": [*container.get("env", []), *values]})
            patch.append(added(container, place, "volumeMounts", {"name": TOKEN, "mountPath": MOUNT, "readOnly": True}))
    return patch


def gate_patch(namespace: str, pod: dict, gates: list[dict]) -> list[dict]:
    """Readiness gates of the target groups that the pod will belong to."""
    labels, spec = pod["metadata"].get("labels") or {}, pod["spec"]
    known = spec.get("readinessGates") or []
    mine = [gate for gate in gates if gate["namespace"] == namespace and gate["selector"].items() <= labels.items()]
    new = [entry for entry in ({"conditionType": gate["condition"]} for gate in mine) if entry not in known]
    return [{"op": "add", "path": "/spec/readinessGates", "value": [*known, *new]}] if new else []


def added(owner: dict, place: str, name: str, value: dict) -> dict:
    """The operation that adds a value to a list that may not be there."""
    if owner.get(name):
        return {"op": "add", "path": f"{place}/{name}/-", "value": value}
    return {"op": "add", "path": f"{place}/{name}", "value": [value]}


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    server_part: ClusterGateway
    protocol_version = "HTTP/1.1"
    # A client that says nothing must not hold a thread for ever.
    timeout = 30

    def respond(self, answer: Callable[[], tuple[int, dict]]) -> None:
        try:
            status, body = answer()
        except (ApiError, OSError, RuntimeError, KeyError, ValueError) as error:
            self.server_part.log.exception("%s %s", self.command, self.path)
            status, body = 500, {"message": str(error)}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments) -> None:
        """Silent: every first request of a user asks."""


class WebhookHandler(Handler):
    def do_POST(self) -> None:
        self.respond(self.review)

    def review(self) -> tuple[int, dict]:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAXIMUM_BODY:
            return 413, {"message": "too large"}
        body = json.loads(self.rfile.read(length))
        steps = self.path.partition("?")[0].strip("/").split("/")
        part = self.server_part
        answers = {"token": part.review_token, "pods": part.admit_pod, "targets": part.admit_target}
        if len(steps) != 3 or steps[0] != "clusters" or steps[2] not in answers:
            return 404, {"message": "no such place"}
        return 200, answers[steps[2]](steps[1], body)


class AgentHandler(Handler):
    def do_GET(self) -> None:
        self.respond(self.credentials)

    def credentials(self) -> tuple[int, dict]:
        if self.path != "/v1/credentials":
            return 404, {"message": "no such place"}
        return self.server_part.credentials(self.headers.get("Authorization") or "")
