"""Instance metadata: what answers an instance at 169.254.169.254. IMDSv2 only: a request without a session token is refused with 401."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socketserver
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from lab import control
from lab.controller import Controller
from lab.network import listen

MAXIMUM_TOKEN_SECONDS = 21600
# AWS: new credentials are there at least five minutes before the old ones expire.
REFRESH_BEFORE = timedelta(minutes=15)
CREDENTIAL_SECONDS = 3600


class Metadata(Controller):
    name = "metadata"

    def run(self) -> None:
        """Serve for ever. An instance is known by its source address, which the bridge leaves as it is."""
        self.key = self._key()
        self.credentials: dict[tuple[str, str], dict] = {}
        metadata = self

        class Handler(MetadataHandler):
            server_part = metadata

        with listen(self.settings.gateway, self.settings.metadata_port) as listener:
            server = Server(listener.getsockname(), Handler, bind_and_activate=False)
            server.socket.close()
            server.socket = listener
            self.log.info("serving on %s:%s", *listener.getsockname())
            server.serve_forever()

    def _key(self) -> bytes:
        """The key of the session tokens outlives this process, so that a restart invalidates none."""
        path = self.settings.state / "metadata.key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                file.write(os.urandom(32))
        return path.read_bytes()

    def instance(self, address: str) -> dict:
        return control.call("machine_metadata", settings=self.settings, address=address)

    def token(self, instance_id: str, seconds: int) -> str:
        return sign(self.key, instance_id, int(time.time()) + seconds)

    def token_is_valid(self, token: str, instance_id: str) -> bool:
        return verify(self.key, token, instance_id, time.time())

    def role_credentials(self, instance: dict) -> dict:
        """What `iam/security-credentials/<role>` answers: temporary credentials of the instance profile's role."""
        now = datetime.now(UTC)
        if not instance["role_trusts_ec2"]:
            return {
                "Code": "AssumeRoleUnauthorizedAccess",
                "Message": f"EC2 cannot assume the role {instance['role']}.",
                "LastUpdated": iso(now),
            }
        key = (instance["instance_id"], instance["role_arn"])
        known = self.credentials.get(key)
        if known is None or known["expires"] - now < REFRESH_BEFORE:
            found = self.client("sts").assume_role(
                RoleArn=instance["role_arn"], RoleSessionName=instance["instance_id"], DurationSeconds=CREDENTIAL_SECONDS
            )["Credentials"]
            known = {
                "expires": found["Expiration"],
                "answer": {
                    "Code": "Success",
                    "LastUpdated": iso(now),
                    "Type": "AWS-HMAC",
                    "AccessKeyId": found["AccessKeyId"],
                    "SecretAccessKey": found["SecretAccessKey"],
                    "Token": found["SessionToken"],
                    "Expiration": iso(found["Expiration"]),
                },
            }
            self.credentials[key] = known
        return known["answer"]

    def tree(self, instance: dict) -> dict:
        """Everything below /latest as nested dictionaries. A leaf is text; a callable is asked only when it is read."""
        zone = instance["availability_zone"]
        metadata: dict = {
            "ami-id": instance["image_id"],
            "ami-launch-index": str(instance["launch_index"]),
            "hostname": instance["private_dns_name"],
            "instance-action": "none",
            "instance-id": instance["instance_id"],
            "instance-life-cycle": "on-demand",
            "instance-type": instance["instance_type"],
            "local-hostname": instance["private_dns_name"],
            "local-ipv4": instance["private_ip"],
            "mac": instance["mac"],
            "placement": {"availability-zone": zone, "region": instance["region"]},
            "security-groups": "\n".join(instance["security_groups"]),
            "services": {"domain": "amazonaws.com", "partition": "aws"},
            "network": {
                "interfaces": {
                    "macs": {
                        instance["mac"]: {
                            "device-number": "0",
                            "local-ipv4s": instance["private_ip"],
                            "mac": instance["mac"],
                            "owner-id": instance["account_id"],
                            "subnet-id": instance["subnet_id"],
                            "vpc-id": instance["vpc_id"],
                        }
                    }
                }
            },
        }
        if instance["public_ip"]:
            metadata.update({"public-ipv4": instance["public_ip"], "public-hostname": instance["public_dns_name"]})
        if instance["role"]:
            metadata["iam"] = {
                "info": json.dumps(
                    {
                        "Code": "Success",
                        "LastUpdated": iso(datetime.now(UTC)),
                        "InstanceProfileArn": instance["instance_profile_arn"],
                        "InstanceProfileId": instance["instance_profile_id"],
                    },
                    indent=2,
                ),
                "security-credentials": {instance["role"]: lambda: json.dumps(self.role_credentials(instance), indent=2)},
            }
        if instance["instance_metadata_tags"] == "enabled":
            metadata["tags"] = {"instance": instance["tags"]}
        document = {
            "accountId": instance["account_id"],
            "architecture": instance["architecture"],
            "availabilityZone": zone,
            "imageId": instance["image_id"],
            "instanceId": instance["instance_id"],
            "instanceType": instance["instance_type"],
            "pendingTime": instance["launch_time"],
            "privateIp": instance["private_ip"],
            "region": instance["region"],
            "version": "2017-09-30",
        }
        tree: dict = {"meta-data": metadata, "dynamic": {"instance-identity": {"document": json.dumps(document, indent=2)}}}
        if instance["user_data"]:
            tree["user-data"] = base64.b64decode(instance["user_data"])
        return tree


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def sign(key: bytes, instance_id: str, expires: int) -> str:
    """A session token: who may use it and until when, in a form that only the key's owner can make."""
    claim = f"{instance_id}|{expires}".encode()
    return base64.urlsafe_b64encode(hmac.digest(key, claim, hashlib.sha256) + claim).decode()


def verify(key: bytes, token: str, instance_id: str, now: float) -> bool:
    """Whether the token is this instance's and has not expired at `now` (Unix time)."""
    try:
        data = base64.urlsafe_b64decode(token)
    except ValueError:
        return False
    signature, claim = data[:32], data[32:]
    if not hmac.compare_digest(signature, hmac.digest(key, claim, hashlib.sha256)):
        return False
    owner, _, expires = claim.decode().rpartition("|")
    return owner == instance_id and now < int(expires)


def look_up(tree: dict, path: str) -> bytes | None:
    """The answer at a path below /latest: a leaf's text, a folder's listing (folders end in /), None where there is nothing."""
    node = tree
    for step in [step for step in path.split("/") if step]:
        if not isinstance(node, dict) or step not in node:
            return None
        node = node[step]
    if isinstance(node, dict):
        return "\n".join(f"{name}/" if isinstance(child, dict) else name for name, child in sorted(node.items())).encode()
    if callable(node):
        node = node()
    return node if isinstance(node, bytes) else str(node).encode()


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


class MetadataHandler(BaseHTTPRequestHandler):
    server_part: Metadata
    server_version = "EC2ws"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    # A client that says nothing must not hold a thread for ever.
    timeout = 30

    def do_PUT(self) -> None:
        self.answer(self.put)

    def do_GET(self) -> None:
        self.answer(self.get)

    do_HEAD = do_GET

    def answer(self, respond) -> None:
        try:
            instance = self.server_part.instance(self.client_address[0])
            if not instance:
                status, body, headers = 404, b"", {}
            elif instance["http_endpoint"] == "disabled":
                status, body, headers = 403, b"", {}
            else:
                status, body, headers = respond(instance)
        except Exception:
            self.server_part.log.exception("%s %s", self.command, self.path)
            status, body, headers = 500, b"", {}
        self.send_response(status)
        for name, value in {"Content-Type": "text/plain", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def put(self, instance: dict) -> tuple[int, bytes, dict]:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        # AWS: a request that went through a proxy gets no token.
        if self.headers.get("X-Forwarded-For"):
            return 403, b"", {}
        if urlsplit(self.path).path != "/latest/api/token":
            return 404, b"", {}
        seconds = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not seconds.isdigit() or not 1 <= int(seconds) <= MAXIMUM_TOKEN_SECONDS:
            return 400, b"", {}
        token = self.server_part.token(instance["instance_id"], int(seconds))
        return 200, token.encode(), {"X-aws-ec2-metadata-token-ttl-seconds": seconds}

    def get(self, instance: dict) -> tuple[int, bytes, dict]:
        token = self.headers.get("X-aws-ec2-metadata-token", "")
        if not self.server_part.token_is_valid(token, instance["instance_id"]):
            return 401, b"", {}
        version, _, path = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        # Every dated version answers like the latest.
        if not version:
            return 200, b"latest", {}
        body = look_up(self.server_part.tree(instance), path)
        return (404, b"", {}) if body is None else (200, body, {})

    def log_message(self, *arguments) -> None:
        """Silent: every boto3 call on an instance may ask several times."""
