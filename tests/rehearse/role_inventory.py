"""An inventory of the lab whose runs act as one of the account's roles instead of its owner."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.acceptance.system import System
from tests.tree import ROOT

SESSION_SECONDS = 7200
# The lab's inventory finds the project two folders up from its own.
FOLDER = ROOT / ".test" / "role-inventory"


def inventory_of(system: System, role: str, **variables: str) -> Path:
    """Take the role and write an inventory with the session's credentials; `variables` are added to it."""
    arn = f"arn:aws:iam::{system.account_id}:role/{role}"
    given = system.client("sts").assume_role(RoleArn=arn, RoleSessionName="rehearsal", DurationSeconds=SESSION_SECONDS)["Credentials"]
    shutil.rmtree(FOLDER, ignore_errors=True)
    shutil.copytree(ROOT / "inventories" / "lab", FOLDER)
    FOLDER.chmod(0o700)
    # Beside the folder, in which every file is an inventory.
    credentials = FOLDER.parent / "role-credentials"
    credentials.write_text(
        f"[espalier-lab]\naws_access_key_id = {given['AccessKeyId']}\naws_secret_access_key = {given['SecretAccessKey']}\n"
        f"aws_session_token = {given['SessionToken']}\n",
        "utf-8",
    )
    credentials.chmod(0o600)
    settings = FOLDER / "group_vars" / "all" / "10_lab.yml"
    replace(settings, '"{{ inventory_dir | dirname | dirname }}/lab/aws/credentials"', f'"{credentials}"')
    settings.write_text(settings.read_text("utf-8") + "".join(f'{name}: "{value}"\n' for name, value in variables.items()), "utf-8")
    for path, token in ((FOLDER / "aws_ec2.yml", "session_token"), (FOLDER / "group_vars" / "app" / "20_connection.yml", "session_token")):
        replace(path, "access_key: espalier-lab", f"access_key: {given['AccessKeyId']}", optional=True)
        replace(path, "access_key_id: espalier-lab", f"access_key_id: {given['AccessKeyId']}", optional=True)
        replace(path, "secret_key: espalier-lab", f"secret_key: {given['SecretAccessKey']}", optional=True)
        replace(path, "secret_access_key: espalier-lab", f"secret_access_key: {given['SecretAccessKey']}", optional=True)
        replace(path, f'{token}: ""', f'{token}: "{given["SessionToken"]}"')
    bastion = FOLDER / "group_vars" / "bastion" / "20_connection.yml"
    bastion.write_text((FOLDER / "group_vars" / "app" / "20_connection.yml").read_text("utf-8"), "utf-8")
    return FOLDER


def replace(path: Path, old: str, new: str, optional: bool = False) -> None:
    text = path.read_text("utf-8")
    assert optional or old in text, f"{path.name} has no {old!r} any more"
    path.write_text(text.replace(old, new), "utf-8")
