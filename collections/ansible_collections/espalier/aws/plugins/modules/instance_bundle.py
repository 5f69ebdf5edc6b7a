#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: instance_bundle
version_added: 0.2.0
short_description: Keep in S3 what a new instance configures itself with
description:
  - Packs roles and files into one archive, and wheels for the instances' Pythons into another, uploads each where it is new, and writes
    a record that names both beside the roles' variables.
  - Archives are named after their content, so what an instance has fetched is never changed under it.
author:
  - The Espalier authors
options:
  root:
    description:
      - Folder that O(files) and O(folders) are relative to, and keep their places below in the archive.
    type: path
    required: true
  folders:
    description:
      - Folders that are packed whole, roles for example.
    type: list
    elements: str
    required: true
  files:
    description:
      - Files that are packed.
    type: list
    elements: str
    default: []
  requirements:
    description:
      - Requirements with hashes, as pip reads them, of what has to run on an instance.
    type: path
    required: true
  pythons:
    description:
      - Pythons of the instances, such as V(3.10).
    type: list
    elements: str
    required: true
  machine:
    description:
      - Their processors.
    type: str
    choices: [x86_64, aarch64]
    default: x86_64
  variables:
    description:
      - Variables of the roles. They are stored as they are and every instance can read them, so no secrets.
    type: dict
    required: true
  bucket:
    description:
      - Bucket that instances may read below O(prefix).
    type: str
    required: true
  prefix:
    description:
      - Folder in the bucket.
    type: str
    default: bundles
  cache:
    description:
      - Folder of this machine that keeps the wheels.
    type: path
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Says whether something would be uploaded. Wheels are not fetched.
"""

EXAMPLES = r"""
- name: Keep what new instances configure themselves with
  espalier.aws.instance_bundle:
    root: "{{ playbook_dir | dirname }}"
    folders: [roles/python, roles/django]
    files: [playbooks/bundle/instance.yml]
    requirements: requirements-instance.txt
    pythons: ["3.10", "3.11"]
    variables: {django_name: shop}
    bucket: staging-django-static-123456789012
    cache: ~/.cache/espalier
"""

RETURN = r"""
record:
  description: What C(current.json) holds.
  returned: success
  type: dict
  sample: {roles: {key: bundles/roles-0123456789abcdef.tar.gz, digest: "..."}, wheels: {key: "...", digest: "..."}, variables: {}}
uploaded:
  description: Keys of the objects that were new.
  returned: success
  type: list
  elements: str
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.espalier.aws.plugins.module_utils.source_archive import GENERATED, SourceError, files_of, pack
from ansible_collections.espalier.aws.plugins.module_utils.wheelhouse import Wheelhouse

DIGITS = 16


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class Bundle:
    def __init__(self, client, params, check_mode):
        self.client, self.params, self.check_mode = client, params, check_mode
        self.cache, self.uploaded = Path(params["cache"]).expanduser() / "bundles", []

    def key(self, name):
        return f"{self.params['prefix'].strip('/')}/{name}"

    def found(self, key):
        """Digest of the object's content that was noted when it was uploaded; None where there is none."""
        try:
            return self.client.head_object(Bucket=self.params["bucket"], Key=key, aws_retry=True)["Metadata"].get("sha256")
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NoSuchBucket"):
                return None
            raise

    def upload(self, key, path, digest):
        self.uploaded.append(key)
        if not self.check_mode:
            with open(path, "rb") as body:
                self.client.put_object(Bucket=self.params["bucket"], Key=key, Body=body, Metadata={"sha256": digest}, aws_retry=True)

    def roles(self):
        """Named after its content: packing is quick."""
        root = Path(self.params["root"])
        wanted = [Path(name) for name in self.params["files"]]
        for folder in self.params["folders"]:
            wanted += [Path(folder) / path for path in files_of(root / folder, GENERATED)]
        tops = {path.parts[0] for path in wanted}
        trees = {top: (root / top, sorted(path.relative_to(top) for path in wanted if path.parts[0] == top)) for top in tops}
        archive, digest = pack(trees, self.cache)
        key = self.key(f"roles-{digest[:DIGITS]}.tar.gz")
        if self.found(key) is None:
            self.upload(key, archive, digest)
        return {"key": key, "digest": digest}

    def wheels(self):
        """Named after what was asked for: another controller need not fetch the same wheels to learn their name."""
        asked = json.dumps([Path(self.params["requirements"]).read_text(), sorted(self.params["pythons"]), self.params["machine"]])
        key = self.key(f"wheels-{hashlib.sha256(asked.encode()).hexdigest()[:DIGITS]}.tar.gz")
        digest = self.found(key)
        if digest is None and self.check_mode:
            self.upload(key, None, "")
        elif digest is None:
            archive = self.cached(key)
            digest = sha256(archive)
            self.upload(key, archive, digest)
        return {"key": key, "digest": digest or ""}

    def cached(self, key):
        archive = self.cache / Path(key).name
        if not archive.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.cache) as scratch:
                folder = Path(scratch) / "wheels"
                folder.mkdir()
                for python in self.params["pythons"]:
                    self.fetch(Path(scratch) / python, folder, python)
                packed, _ = pack({"wheels": (folder, files_of(folder, []))}, Path(scratch))
                shutil.move(packed, archive)
        return archive

    def fetch(self, own, folder, python):
        """Wheels for one Python into the folder of all, with a list of them: two Pythons may need two versions of a package."""
        house = Wheelhouse(own, Path(self.params["root"]), python, self.params["machine"])
        house.add(["--require-hashes", "-r", str(Path(self.params["requirements"]).resolve())])
        names = sorted(path.name for path in own.glob("*.whl"))
        for name in names:
            (own / name).replace(folder / name)
        (folder / f"{python}.txt").write_text("".join(f"{name}\n" for name in names))

    def record(self, content):
        """Written last: it never names what is not there."""
        key, body = self.key("current.json"), (json.dumps(content, indent=2, sort_keys=True) + "\n").encode()
        try:
            before = self.client.get_object(Bucket=self.params["bucket"], Key=key, aws_retry=True)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchBucket"):
                raise
            before = b""
        if body != before:
            self.uploaded.append(key)
            if not self.check_mode:
                self.client.put_object(Bucket=self.params["bucket"], Key=key, Body=body, ContentType="application/json", aws_retry=True)


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "folders": {"type": "list", "elements": "str", "required": True},
            "files": {"type": "list", "elements": "str", "default": []},
            "requirements": {"type": "path", "required": True},
            "pythons": {"type": "list", "elements": "str", "required": True},
            "machine": {"type": "str", "choices": ["x86_64", "aarch64"], "default": "x86_64"},
            "variables": {"type": "dict", "required": True},
            "bucket": {"type": "str", "required": True},
            "prefix": {"type": "str", "default": "bundles"},
            "cache": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    bundle = Bundle(module.client("s3", retry_decorator=AWSRetry.jittered_backoff()), module.params, module.check_mode)
    try:
        content = {"roles": bundle.roles(), "wheels": bundle.wheels(), "variables": module.params["variables"]}
        bundle.record(content)
    except SourceError as error:
        module.fail_json(msg=f"What instances run cannot be had: {error}")
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to keep the bundle in {module.params['bucket']}")
    module.exit_json(changed=bool(bundle.uploaded), record=content, uploaded=bundle.uploaded)


if __name__ == "__main__":
    main()
