# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""amazon.aws.aws_ssm with one session a host and a run, and without S3 for what is small."""

from __future__ import annotations

DOCUMENTATION = r"""
name: aws_ssm
short_description: Reach Linux instances over AWS Systems Manager, quickly
description:
  - Behaves as P(amazon.aws.aws_ssm#connection) and shares its options, but keeps one session open for each host during a run of Ansible
    instead of starting one for each task, sends modules and small files through the session itself (pipelining) instead of through S3,
    and keeps a module's code on the instance, so that it travels once.
  - A command has a hard deadline. A session that misses it, or whose task is interrupted, is terminated, and so are all of a run's
    sessions when the run ends, however it ends.
  - A command is never run twice. Only starting a session is tried again.
author:
  - The Espalier authors
extends_documentation_fragment:
  - connection_pipelining
notes:
  - Set C(pipelining=true) (section C(connection) of ansible.cfg); without it every module goes through a temporary file on the instance.
  - Input for a command, and files up to O(in_band_bytes), are never written to S3.
  - Module code is kept under C(~/.cache/espalier-session) of the session's user on the instance, by its SHA-256, for seven days after
    its last arrival. The parameters of a task are not part of it.
requirements:
  - The options, rights and programs of P(amazon.aws.aws_ssm#connection).
  - Session Manager plugin 1.2.497.0 or newer on the controller, which runs Linux 5.3 or newer.
  - C(base64), C(sed) and C(sha256sum) on the instance, as every distribution of AWS has them.
options:
  in_band_bytes:
    description: Files up to this size (bytes) go through the session, larger ones through the bucket.
    type: int
    default: 262144
    vars:
      - name: ansible_aws_ssm_in_band_bytes
  start_seconds:
    description: Limit for a new session's shell to answer, in seconds.
    type: int
    default: 30
    vars:
      - name: ansible_aws_ssm_start_seconds
  ssm_timeout:
    description: Hard limit for one command, in seconds. What still runs then is cut off with its session.
    type: int
    default: 600
    vars:
      - name: ansible_aws_ssm_timeout
  reconnection_retries:
    description: How often the start of a session is tried again, after 1, 2, 4 ... seconds.
    type: int
    default: 3
    vars:
      - name: ansible_aws_ssm_retries
  instance_id:
    description: The instance; the host's name by default.
    type: str
    vars:
      - name: ansible_aws_ssm_instance_id
  region:
    description: The instance's region.
    type: str
    default: us-east-1
    vars:
      - name: ansible_aws_ssm_region
    env:
      - name: AWS_REGION
      - name: AWS_DEFAULT_REGION
  endpoint_url:
    description: Another endpoint than AWS's own.
    type: str
    aliases: [aws_endpoint_url]
    vars:
      - name: ansible_aws_ssm_endpoint_url
  access_key:
    description: Access key id. Given together with O(secret_key), the shell's C(AWS_PROFILE) is not read.
    type: str
    aliases: [access_key_id, aws_access_key_id]
    vars:
      - name: ansible_aws_ssm_access_key_id
    env:
      - name: AWS_ACCESS_KEY_ID
  secret_key:
    description: Secret access key.
    type: str
    aliases: [secret_access_key, aws_secret_access_key]
    vars:
      - name: ansible_aws_ssm_secret_access_key
    env:
      - name: AWS_SECRET_ACCESS_KEY
  session_token:
    description: Session token of temporary credentials.
    type: str
    aliases: [aws_session_token]
    vars:
      - name: ansible_aws_ssm_session_token
    env:
      - name: AWS_SESSION_TOKEN
  profile:
    description: Profile of the AWS configuration files.
    type: str
    aliases: [aws_profile]
    vars:
      - name: ansible_aws_ssm_profile
    env:
      - name: AWS_PROFILE
  plugin:
    description: Path of session-manager-plugin; otherwise it is looked for on the path.
    type: str
    vars:
      - name: ansible_aws_ssm_plugin
  ssm_document:
    description: Session document; AWS's default shell when not given.
    type: str
    vars:
      - name: ansible_aws_ssm_document
  bucket_name:
    description: Bucket for files above O(in_band_bytes).
    type: str
    vars:
      - name: ansible_aws_ssm_bucket_name
  bucket_endpoint_url:
    description: Endpoint of the bucket, reached from the controller and from the instance.
    type: str
    vars:
      - name: ansible_aws_ssm_bucket_endpoint_url
  bucket_sse_mode:
    description: Server-side encryption of the files in the bucket.
    type: str
    choices: ["AES256", "aws:kms"]
    vars:
      - name: ansible_aws_ssm_bucket_sse_mode
  bucket_sse_kms_key_id:
    description: Key for O(bucket_sse_mode=aws:kms).
    type: str
    vars:
      - name: ansible_aws_ssm_bucket_sse_kms_key_id
  s3_addressing_style:
    description: How the bucket is named in addresses.
    type: str
    choices: [path, virtual, auto]
    default: auto
    vars:
      - name: ansible_aws_ssm_s3_addressing_style
"""

import contextlib
import fcntl
import getpass
import hashlib
import json
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible_collections.amazon.aws.plugins.connection.aws_ssm import Connection as StockConnection
from ansible_collections.espalier.aws.plugins.plugin_utils import session_holder, this_run
from ansible_collections.espalier.aws.plugins.plugin_utils.aws_profile import shell_profile_hidden
from botocore.exceptions import BotoCoreError, ClientError

# Sessions of one host at a time: one, unless tasks of several hosts are delegated to it.
SLOTS = 16
# The environment variable that hands the session's token to Amazon's client, instead of an argument that every user can read.
RESPONSE = "AWS_SSM_START_SESSION_RESPONSE"


class Connection(StockConnection):
    """One host. Its session lives in a process of its own, plugin_utils/session_holder.py."""

    transport = "espalier.aws.aws_ssm"
    has_pipelining = True

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        if self.is_windows:
            raise AnsibleConnectionFailure("espalier.aws.aws_ssm is for Linux; use amazon.aws.aws_ssm for Windows")
        self._stream = None

    def client(self, service, *arguments, **options):
        with shell_profile_hidden(bool(self.get_option("access_key") and self.get_option("secret_key"))):
            return super().client(service, *arguments, **options)

    def _connect(self):
        self._play_context.remote_user = getpass.getuser()
        if self._stream is None:
            retries = self.get_option("reconnection_retries")
            for attempt in range(retries + 1):
                try:
                    self._stream = self._attach()
                    break
                except AnsibleConnectionFailure as failure:
                    if attempt == retries:
                        raise
                    self.verbosity_display(2, f"no session: {failure.message}; tried again in {2**attempt} s")
                    time.sleep(2**attempt)
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        for _attempt in range(2):
            # ConnectionBase connects here, and does no more.
            super(StockConnection, self).exec_command(cmd, in_data=in_data, sudoable=sudoable)
            self.verbosity_display(3, f"EXEC {cmd}")
            answer = self._ask({"command": cmd, "data": len(in_data or b""), "seconds": self.get_option("ssm_timeout")}, in_data or b"")
            if "lost" not in answer:
                return answer["code"], answer["output"], answer["errors"]
            self.close()
            if answer["started"]:
                break
        raise AnsibleConnectionFailure(f"the session to {self.instance_id} was lost: {answer['lost']}")

    def put_file(self, in_path, out_path):
        source = Path(in_path)
        if not source.exists():
            raise AnsibleFileNotFound(f"file or module does not exist: {in_path}")
        if source.stat().st_size > self.get_option("in_band_bytes"):
            self._init_clients()
            return super().put_file(in_path, out_path)
        code, output, errors = self.exec_command(f"umask 077; cat >{shlex.quote(out_path)}", source.read_bytes())
        self._expect(code, errors, f"failed to transfer file to {out_path}")
        return {"returncode": code, "stdout": output, "stderr": errors}

    def fetch_file(self, in_path, out_path):
        limit = self.get_option("in_band_bytes")
        code, output, errors = self.exec_command(f"head -c {limit + 1} <{shlex.quote(in_path)}")
        self._expect(code, errors, f"failed to transfer file from {in_path}")
        if len(output) > limit:
            self._init_clients()
            return super().fetch_file(in_path, out_path)
        Path(out_path).write_bytes(output)
        return {"returncode": code, "stdout": b"", "stderr": errors}

    def reset(self):
        """End the host's sessions; the next command starts a new one."""
        self.close()
        for slot in range(SLOTS):
            with contextlib.suppress(OSError), self._open(self._path(slot)) as stream:
                stream.write(b'{"end": true}\n')
                stream.flush()

    def close(self):
        if getattr(self, "_stream", None) is not None:
            # It fails when the holder is gone.
            with contextlib.suppress(OSError):
                self._stream.close()
            self._stream = None
        self._connected = False

    @staticmethod
    def _expect(code: int, errors: bytes, message: str) -> None:
        if code != 0:
            raise AnsibleConnectionFailure(f"{message}: {errors.decode(errors='replace').strip()}")

    def _ask(self, request: dict, data: bytes) -> dict:
        """One request to the holder. Its end before the answer is a lost session."""
        started = False
        try:
            self._stream.write(json.dumps(request).encode() + b"\n" + data)
            self._stream.flush()
            started = True
            # The holder keeps the deadline; this one is for a holder that hangs.
            answer = json.loads(self._stream.readline())
            if "code" in answer:
                answer["output"] = self._stream.read(answer["output"])
                answer["errors"] = self._stream.read(answer["errors"])
            return answer
        except (OSError, ValueError) as error:
            return {"lost": f"its holder does not answer: {error}", "started": started}

    def _path(self, slot: int) -> Path:
        names = ("region", "endpoint_url", "profile", "access_key", "ssm_document")
        key = hashlib.sha256(repr([self.instance_id, *(self.get_option(name) for name in names)]).encode()).hexdigest()[:12]
        # Ansible's own folder for this run: private, inherited by all workers, removed at the end.
        return Path(C.DEFAULT_LOCAL_TMP) / f"ssm-{key}-{slot}"

    def _attach(self):
        """A holder that is free, or a new one."""
        for slot in range(SLOTS):
            path = self._path(slot)
            with path.with_suffix(".lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    # Another worker starts this one, for itself.
                    continue
                with contextlib.suppress(BlockingIOError):
                    try:
                        return self._open(path)
                    except (FileNotFoundError, ConnectionRefusedError):
                        path.unlink(missing_ok=True)
                        self._start_holder(path)
                        return self._open(path)
        raise AnsibleConnectionFailure(f"{SLOTS} sessions to {self.instance_id} are in use")

    def _open(self, path: Path):
        """A stream to the holder at `path`. Raises BlockingIOError when it serves another worker, OSError when there is none."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.get_option("ssm_timeout") + 30)
            connection.connect(str(path))
            stream = connection.makefile("rwb")
        finally:
            # The stream keeps the descriptor.
            connection.close()
        greeting = stream.readline()
        if not greeting or json.loads(greeting)["busy"]:
            stream.close()
            raise BlockingIOError(f"{path} is busy")
        return stream

    def _start_holder(self, path: Path) -> None:
        request = {"Target": self.instance_id}
        if self.get_option("ssm_document"):
            request["DocumentName"] = self.get_option("ssm_document")
        executable = self.get_executable()
        try:
            response = self.ssm_client.start_session(**request)
        except (ClientError, BotoCoreError) as error:
            raise AnsibleConnectionFailure(f"Session Manager does not reach {self.instance_id}: {error}") from error
        response.pop("ResponseMetadata")
        region, profile, endpoint = self.get_option("region"), self.get_option("profile") or "", self.ssm_client.meta.endpoint_url
        keys = {"aws_access_key_id": "access_key", "aws_secret_access_key": "secret_key", "aws_session_token": "session_token"}
        credentials = {name: self.get_option(option) for name, option in keys.items() if self.get_option(option)}
        order = {
            "command": [executable, RESPONSE, region, "StartSession", profile, json.dumps(request), endpoint],
            "environment": {RESPONSE: json.dumps(response)},
            "start_seconds": self.get_option("start_seconds"),
            "session": {
                "id": response["SessionId"],
                "region": region,
                "endpoint_url": endpoint,
                "credentials": credentials or ({"profile_name": profile} if profile else {}),
            },
        }
        log = path.with_suffix(".log")
        with log.open("wb") as errors, shell_profile_hidden(bool(credentials)):
            process = subprocess.Popen(
                [sys.executable, session_holder.__file__, str(path), str(this_run.process_id())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        with process.stdin, process.stdout:
            process.stdin.write(json.dumps(order).encode())
            process.stdin.close()
            answer = process.stdout.readline().decode(errors="replace").strip()
        if answer != "ready":
            with contextlib.suppress(ClientError, BotoCoreError):
                self.ssm_client.terminate_session(SessionId=response["SessionId"])
            raise AnsibleConnectionFailure(f"no shell on {self.instance_id}: {answer or log.read_text(errors='replace')[-500:]}")
