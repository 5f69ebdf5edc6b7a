"""An AWS account of a scenario: the lab's API on a free port, with nothing behind it.

    python -m tests.molecule.account open FOLDER
    python -m tests.molecule.account close FOLDER

Machines, databases and load balancers exist on paper: what the lab's controllers would find out is reported at once. FOLDER holds
the server's port, process id and log; the account is gone with its process.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from lab.processes import Process, stop
from tests.tree import ROOT

START_SECONDS = 180
# Of a run that was killed before it could close its account.
LIFE_SECONDS = 1800
STEP_SECONDS = 0.2
# A NAT gateway's minute is 0.6 s.
TIME_SCALE = 100
# Of clusters that are nowhere: in the form of one, and nobody's.
AUTHORITY = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nbm9ib2R5\n-----END CERTIFICATE-----\n").decode()


def serve(folder: Path) -> None:
    """Answer until the life is over."""
    os.environ["ESPALIER_TIME_SCALE"] = str(TIME_SCALE)
    from werkzeug.serving import make_server

    from lab.api import server

    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.INFO)
    routes = server.load_additions()
    moto = server.DomainDispatcherApplication(server.create_backend_app)
    application = server.Application(moto, routes, logging.getLogger("api"), control=False)
    listener = make_server("127.0.0.1", 0, application, threaded=True, request_handler=server.QuietHandler)
    threading.Thread(target=report_for_ever, args=(application,), daemon=True).start()
    threading.Timer(LIFE_SECONDS, os._exit, (1,)).start()
    process = Process.of(os.getpid())
    (folder / "account.tmp").write_text(json.dumps({"port": listener.port, "pid": process.pid, "started": process.started}))
    (folder / "account.tmp").rename(folder / "account.json")
    listener.serve_forever()


def report_for_ever(application) -> None:
    while True:
        with application.lock:
            try:
                report()
            except Exception:
                logging.exception("report")
        time.sleep(STEP_SECONDS)


def report() -> None:
    """Everything that is on its way has arrived."""
    from lab.api import ec2, eks, elbv2, rds, scaling

    scaling.step({})
    arrived = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
    for machine in ec2.list_machines({})["machines"]:
        if machine["state"] in arrived:
            ec2.machine_state({"id": machine["id"], "state": arrived[machine["state"]]})
    for snapshot in rds.instances({})["snapshots"]:
        rds.snapshot_report({"archive": snapshot["archive"], "status": "available"})
    for database in rds.instances({})["instances"]:
        status = "deleted" if database["status"] == "deleting" else "available"
        rds.report({"resource_id": database["resource_id"], "was": database["status"], "status": status})
    model = elbv2.model({})
    elbv2.report({"states": {found["arn"]: "active" for found in model["load_balancers"]}, "removed": model["leaving"]})
    for cluster in eks.clusters.model({})["clusters"]:
        report_cluster(cluster, eks.clusters.report)


def report_cluster(cluster: dict, tell) -> None:
    """An API server that answers, nodes that are Ready, add-ons that run."""
    name, was = cluster["name"], cluster["status"]
    if was == "CREATING":
        tell(
            {"name": name, "was": was, "status": "ACTIVE", "endpoint": f"https://{cluster['address']}", "certificate_authority": AUTHORITY}
        )
    elif was == "DELETING":
        tell({"name": name, "was": was, "status": "deleted"})
        return
    ready = [node["id"] for node in cluster["nodes"] if node["state"] == "running"]
    addons = {found["name"]: {"status": "deleted" if found["status"] == "DELETING" else "ACTIVE"} for found in cluster["addons"]}
    drained = [node["id"] for node in cluster["nodes"] if node["leaving"]]
    tell({"name": name, "ready_nodes": ready, "drained": drained, "addons": addons})


def open_account(folder: Path) -> None:
    """Start the server and wait until it listens."""
    close_account(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "account.log").open("wb") as log:
        command = [sys.executable, "-m", "tests.molecule.account", "serve", folder]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while not (folder / "account.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the AWS API does not start:\n{(folder / 'account.log').read_text()}")
        time.sleep(0.1)


def close_account(folder: Path) -> None:
    file = folder / "account.json"
    if file.exists():
        found = json.loads(file.read_text())
        stop([Process(found["pid"], found["started"])])
        file.unlink()


if __name__ == "__main__":
    {"serve": serve, "open": open_account, "close": close_account}[sys.argv[1]](Path(sys.argv[2]))
