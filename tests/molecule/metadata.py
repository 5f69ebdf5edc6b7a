"""Instance metadata of a scenario's machine, on the machine itself: what EC2 answers to IMDSv2, with credentials that are nobody's.

Run by a scenario's prepare.sh as root on the machine's own Python, with the instance's id where that matters; its AWS account believes
any key.
"""

import datetime
import http.server
import json
import socket
import subprocess
import sys

ADDRESS = "169.254.169.254"
TOKEN = "of-this-machine"
CREDENTIALS = {"Code": "Success", "AccessKeyId": "machine", "SecretAccessKey": "machine", "Token": "machine"}
# boto3 takes none that do not say how long they are good.
CREDENTIALS["Expiration"] = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Nothing is sent: the kernel only chooses.
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


ANSWERS = {
    "meta-data/instance-id": "i-0123456789abcdef0",
    "meta-data/placement/region": "us-east-1",
    "meta-data/iam/security-credentials/": "machine",
    "meta-data/iam/security-credentials/machine": json.dumps(CREDENTIALS),
}


class Metadata(http.server.BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        self.answer(200 if self.path == "/latest/api/token" else 404, TOKEN)

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
            return self.answer(401, "")
        text = ANSWERS.get(self.path.removeprefix("/latest/"))
        return self.answer(404 if text is None else 200, text or "")

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


def main() -> None:
    ANSWERS["meta-data/local-ipv4"] = own_address()
    if len(sys.argv) > 1:
        ANSWERS["meta-data/instance-id"] = sys.argv[1]
    subprocess.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    http.server.ThreadingHTTPServer((ADDRESS, 80), Metadata).serve_forever()


if __name__ == "__main__":
    main()
