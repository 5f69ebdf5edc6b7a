#!/usr/bin/python
# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: release_info
version_added: 0.2.0
short_description: Tell which releases there are, which one serves, and what was done
description:
  - Reads the manifests, the log and the lock of an application's releases in S3, and the pointer to the current one in Parameter Store.
author:
  - The Espalier authors
options:
  bucket:
    description:
      - Bucket of the releases.
    type: str
    required: true
  prefix:
    description:
      - Folder of this application's releases in the bucket.
    type: str
    required: true
  parameter:
    description:
      - SSM parameter that names the current release.
    type: str
    required: true
  log_limit:
    description:
      - How many records of the log are read, the newest.
    type: int
    default: 100
  details:
    description:
      - Read the store, too. Without, only the pointer is read, and RV(current) is all that is returned.
    type: bool
    default: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
attributes:
  check_mode:
    support: full
    description: Reads only.
"""

EXAMPLES = r"""
- name: Look up the releases
  espalier.aws.release_info:
    bucket: staging-django-static-123456789012
    prefix: releases/django-app
    parameter: /DjangoApp/release
  register: releases
"""

RETURN = r"""
releases:
  description: Manifests as RV(espalier.aws.release#module:release) has them, each with C(age_seconds), the newest first.
  returned: success
  type: list
  elements: dict
current:
  description: The release that the pointer names; empty where there is none.
  returned: success
  type: str
previous:
  description: The one that it named before, if it is still stored.
  returned: success
  type: str
last_good:
  description:
    - The release that served before the current one was deployed, if it is still stored. One that was rolled back from is passed over.
  returned: success
  type: str
log:
  description: What was done, the newest last.
  returned: success
  type: list
  elements: dict
lock:
  description: Who is deploying; empty where nobody is.
  returned: success
  type: dict
"""

import calendar
import contextlib
import time

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports the missing library
    from botocore.exceptions import BotoCoreError, ClientError

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.espalier.aws.plugins.module_utils.clients import make_clients
from ansible_collections.espalier.aws.plugins.module_utils.release_store import LOCK, TIME, Store, history, read_pointer, standing


def aged(manifest):
    return {**manifest, "age_seconds": int(time.time() - calendar.timegm(time.strptime(manifest["made_at"], TIME)))}


def look_up(clients, params):
    if not params["details"]:
        return {"current": read_pointer(clients["ssm"], params["parameter"])}
    store = Store(clients["s3"], params["bucket"], params["prefix"])
    releases = [aged(manifest) for manifest in store.releases()]
    log = store.log(params["log_limit"])
    current = read_pointer(clients["ssm"], params["parameter"])
    place = standing(current, history(clients["ssm"], params["parameter"]), log, [manifest["version"] for manifest in releases])
    return {"releases": releases, "log": log, "lock": store.read(LOCK)[0] or {}, **place}


def main():
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "prefix": {"type": "str", "required": True},
            "parameter": {"type": "str", "required": True},
            "log_limit": {"type": "int", "default": 100},
            "details": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        found = look_up(make_clients(module, ["s3", "ssm"], max_pool_connections=10), module.params)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg=f"Unable to read the releases in s3://{module.params['bucket']}/{module.params['prefix']}")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
