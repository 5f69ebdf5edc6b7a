"""A new instance configures itself: fetch bundle and release, run the roles, complete the launch hook.

usage: espalier_birth.py configure | prepare | abandon LOG

`configure` needs nobody else. Without a current release it completes the hook all the same: the first deploy configures the instance.
`prepare` only fetches what `configure` would, for an image. `abandon` keeps the log and gives this instance up.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from espalier_aws import Aws, AwsError, metadata

HOME = Path(__file__).parent
ORDERS = json.loads((HOME / "birth.json").read_text())


def say(text):
    print(f"{time.strftime('%H:%M:%S', time.gmtime())} birth: {text}", flush=True)


def current_release(aws):
    try:
        return aws.parameter(ORDERS["parameter"])
    except AwsError as error:
        if error.code == "ParameterNotFound":
            return None
        raise


def fetch(aws, part):
    """Folder of an archive of the bundle, which an image may have already."""
    folder = HOME / Path(part["key"]).name.split(".")[0]
    if not folder.exists():
        archive, unpacked = folder.with_suffix(".tar.gz"), folder.with_suffix(".new")
        aws.get_object(ORDERS["bucket"], part["key"], archive)
        if hashlib.sha256(archive.read_bytes()).hexdigest() != part["digest"]:
            raise AwsError(f"{part['key']} is not what its digest says: {part['digest']}")
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked)
        unpacked.rename(folder)
        archive.unlink()
    return folder


def bundle(aws):
    """The command that configures this machine, without the release's name."""
    current = json.loads(aws.get_object(ORDERS["bucket"], "bundles/current.json"))
    roles, wheels = fetch(aws, current["roles"]), fetch(aws, current["wheels"])
    (HOME / "variables.json").write_text(json.dumps(current["variables"]))
    say(f"bundle {roles.name}, {wheels.name}")
    return [sys.executable, str(roles / "playbooks/bundle/configure.py"), str(wheels), str(HOME / "variables.json")]


def configure(aws):
    done = None
    # A deploy or a rollback may have moved it meanwhile.
    while (version := current_release(aws)) != done:
        say(f"release {version}")
        subprocess.run([*bundle(aws), version], check=True)
        done = version
    if done is None:
        say(f"no release yet ({ORDERS['parameter']}): in service without an application, until the first deploy")
    complete(aws, "CONTINUE")


def complete(aws, result):
    names = {"AutoScalingGroupName": ORDERS["group"], "LifecycleHookName": ORDERS["hook"], "InstanceId": metadata("meta-data/instance-id")}
    try:
        aws.query("autoscaling", "2011-01-01", "CompleteLifecycleAction", LifecycleActionResult=result, **names)
        say(f"launch hook completed: {result}")
    except AwsError as error:
        # Of the group's first instances, which are there before it.
        if "No active Lifecycle Action" not in str(error):
            raise
        say("no launch hook waits for this instance")


def abandon(aws, log):
    key = f"births/{metadata('meta-data/instance-id')}.log"
    try:
        aws.put_object(ORDERS["bucket"], key, Path(log).read_bytes())
        say(f"failed; log kept as s3://{ORDERS['bucket']}/{key}")
    finally:
        complete(aws, "ABANDON")


def main():
    what, aws = sys.argv[1], Aws()
    if what == "prepare":
        subprocess.run([*bundle(aws), ""], check=True)
    elif what == "abandon":
        abandon(aws, sys.argv[2])
    else:
        configure(aws)


if __name__ == "__main__":
    main()
