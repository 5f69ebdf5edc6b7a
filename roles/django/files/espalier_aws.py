"""AWS for a machine that has nothing but Python: reads and writes with the instance profile's role.

No packages, so that an instance needs no index to begin with. Runs on Python 3.9 and newer. AWS_ENDPOINT_URL and AWS_REGION are
honoured. Credentials are never printed.
"""

import datetime
import errno
import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request

METADATA = "http://169.254.169.254/latest"
CHUNK = 1 << 20


class AwsError(Exception):
    """`code` is AWS's own word, such as ParameterNotFound; empty where nobody answered."""

    def __init__(self, message, code=""):
        super().__init__(message)
        self.code = code


def metadata(path, tries=5):
    """One value of the instance's metadata (IMDSv2). Raises AwsError."""
    for left in reversed(range(tries)):
        try:
            head = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
            with urllib.request.urlopen(urllib.request.Request(f"{METADATA}/api/token", headers=head, method="PUT"), timeout=3) as answer:
                head = {"X-aws-ec2-metadata-token": answer.read().decode()}
            with urllib.request.urlopen(urllib.request.Request(f"{METADATA}/{path}", headers=head), timeout=3) as answer:
                return answer.read().decode().strip()
        except OSError as error:
            if not left:
                raise AwsError(f"instance metadata does not answer for {path}: {error}") from None
            time.sleep(2)


def signed(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Aws:
    """`tries` of each request, 1, 2, 4 ... seconds apart."""

    def __init__(self, tries=6):
        self.tries = tries
        self.region = os.environ.get("AWS_REGION") or metadata("meta-data/placement/region")
        self.keys, self.until = None, 0

    def credentials(self):
        if time.time() > self.until:
            role = metadata("meta-data/iam/security-credentials/").split()[0]
            found = json.loads(metadata(f"meta-data/iam/security-credentials/{role}"))
            if found["Code"] != "Success":
                raise AwsError(f"the role {role} gives no credentials: {found.get('Message', found['Code'])}", found["Code"])
            # AWS renews them well before they end.
            self.keys, self.until = found, time.time() + 300
        return self.keys

    def address(self, service, bucket=""):
        """Where the service is, and the path's beginning."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        if endpoint:
            return endpoint.rstrip("/"), f"/{bucket}" if bucket else ""
        domain = metadata("meta-data/services/domain")
        return f"https://{bucket + '.' if bucket else ''}{service}.{self.region}.{domain}", ""

    def request(self, service, method="POST", path="/", body=b"", headers=None, bucket="", to=None):
        """The answer's body; written into the file `to` when given. Raises AwsError."""
        base, prefix = self.address(service, bucket)
        path = prefix + urllib.parse.quote(path)
        for left in reversed(range(self.tries)):
            try:
                head = self.sign(service, method, base, path, body, headers or {})
                ask = urllib.request.Request(base + path, data=body if method != "GET" else None, headers=head, method=method)
                with urllib.request.urlopen(ask, timeout=30) as answer:
                    if to is None:
                        return answer.read()
                    with open(to, "wb") as file:
                        while chunk := answer.read(CHUNK):
                            file.write(chunk)
                    return b""
            except urllib.error.HTTPError as error:
                words = error.read().decode(errors="replace")
                code, failure = code_of(words), AwsError(f"{service} {path}: {error.code} {words[:500]}", code_of(words))
                if error.code < 500 and error.code != 429 and "Throttl" not in code:
                    raise failure from None
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise
                failure = AwsError(f"{service} does not answer: {error}")
            if not left:
                raise failure
            time.sleep(2 ** (self.tries - 1 - left))

    def sign(self, service, method, base, path, body, extra):
        """Headers with AWS's signature, version 4."""
        keys, now = self.credentials(), datetime.datetime.now(datetime.timezone.utc)
        stamp, digest = now.strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(body).hexdigest()
        head = {**{name.lower(): value for name, value in extra.items()}, "host": urllib.parse.urlsplit(base).netloc}
        head.update({"x-amz-date": stamp, "x-amz-content-sha256": digest, "x-amz-security-token": keys["Token"]})
        names = ";".join(sorted(head))
        lines = "".join(f"{name}:{head[name].strip()}\n" for name in sorted(head))
        canonical = "\n".join((method, path, "", lines, names, digest))
        scope = f"{stamp[:8]}/{self.region}/{service}/aws4_request"
        text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        key = f"AWS4{keys['SecretAccessKey']}".encode()
        for part in scope.split("/"):
            key = signed(key, part)
        head["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys['AccessKeyId']}/{scope}, SignedHeaders={names}, Signature={signed(key, text).hex()}"
        )
        return head

    def json(self, service, target, **fields):
        """A request of the JSON protocol: target AmazonSSM.GetParameter."""
        head = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target}
        # Some operations answer nothing.
        return json.loads(self.request(service, body=json.dumps(fields).encode(), headers=head) or b"{}")

    def query(self, service, version, action, **fields):
        """A request of the query protocol."""
        body = urllib.parse.urlencode({"Action": action, "Version": version, **fields}).encode()
        return self.request(service, body=body, headers={"Content-Type": "application/x-www-form-urlencoded"})

    def parameter(self, name):
        return self.json("ssm", "AmazonSSM.GetParameter", Name=name, WithDecryption=True)["Parameter"]["Value"]

    def secret(self, name, stage="AWSCURRENT"):
        return self.json("secretsmanager", "secretsmanager.GetSecretValue", SecretId=name, VersionStage=stage)["SecretString"]

    def get_object(self, bucket, key, to=None):
        """An object's bytes, or the file `to` filled with them."""
        return self.request("s3", "GET", f"/{key}", bucket=bucket, to=to)

    def put_object(self, bucket, key, data, headers=None):
        self.request("s3", "PUT", f"/{key}", data, headers or {"Content-Type": "text/plain"}, bucket)


def code_of(words):
    """AWS's word for an error, out of JSON or XML."""
    try:
        return json.loads(words).get("__type", "").rpartition("#")[2]
    except ValueError:
        return words.partition("<Code>")[2].partition("</Code>")[0]
