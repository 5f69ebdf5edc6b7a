"""An AWS account of a scenario: the lab's API on a free port, with nothing behind it.

    python -m tests.molecule.account open FOLDER [for-machines]
    python -m tests.molecule.account close FOLDER

Machines, databases and load balancers exist on paper: what the lab's controllers would find out is known by the next request. FOLDER
holds the server's port, process id and log; the account is gone with its process. It answers on loopback, and on the machines' bridge
where machines read from it.
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
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from lab.processes import Process, stop
from tests.tree import ROOT

START_SECONDS = 180
# Of a run that was killed before it could close its account.
LIFE_SECONDS = 3600
# A NAT gateway's minute is 0.6 s.
TIME_SCALE = 100
# Of clusters that are nowhere: in the form of one, and nobody's.
AUTHORITY = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nbm9ib2R5\n-----END CERTIFICATE-----\n").decode()


class Account:
    """WSGI: the API, in front of which everything that was on its way has arrived. So no client ever polls."""

    def __init__(self, application: Callable, lock: threading.RLock) -> None:
        self.application, self.lock = application, lock

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        with self.lock:
            try:
                report()
            except Exception:
                logging.exception("report")
        return self.application(environ, start_response)


def serve(folder: str, *options: str) -> None:
    """Answer until the life is over."""
    os.environ["ESPALIER_TIME_SCALE"] = str(TIME_SCALE)
    from werkzeug.serving import make_server

    from lab.api import server
    from lab.network import listen
    from tests.molecule import machines

    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.INFO)
    routes = server.load_additions()
    moto = server.DomainDispatcherApplication(server.create_backend_app)
    application = server.Application(moto, routes, logging.getLogger("api"), control=True)
    account = Account(application, application.lock)
    listener = make_server("127.0.0.1", 0, account, threaded=True, request_handler=server.QuietHandler)
    if options:
        address = machines.gateway()
        door = listen(address, listener.port)
        closed = Account(server.Application(moto, routes, application.log, control=False), application.lock)
        other = make_server(address, listener.port, closed, threaded=True, request_handler=server.QuietHandler, fd=door.fileno())
        threading.Thread(target=other.serve_forever, daemon=True).start()
    threading.Timer(LIFE_SECONDS, os._exit, (1,)).start()
    process, file = Process.of(os.getpid()), Path(folder) / "account.json"
    file.with_suffix(".tmp").write_text(json.dumps({"port": listener.port, "pid": process.pid, "started": process.started}))
    file.with_suffix(".tmp").rename(file)
    listener.serve_forever()


def report() -> None:
    """Everything that is on its way has arrived."""
    from lab.api import ec2, eks, elbv2, images, rds, scaling

    scaling.step({})
    arrived = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
    for machine in ec2.list_machines({})["machines"]:
        if machine["state"] in arrived:
            ec2.machine_state({"id": machine["id"], "state": arrived[machine["state"]]})
    for image in images.list_images({})["wanted"]:
        images.image_state({"id": image["id"], "state": "available"})
    for snapshot in rds.instances({})["snapshots"]:
        rds.snapshot_report({"archive": snapshot["archive"], "status": "available"})
    for database in rds.instances({})["instances"]:
        status = "deleted" if database["status"] == "deleting" else "available"
        rds.report({"resource_id": database["resource_id"], "was": database["status"], "status": status})
        if database["keeps_log"]:
            rds.archived({"resource_id": database["resource_id"], "at": datetime.now(UTC).isoformat()})
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


def open_account(folder: str, *options: str) -> None:
    """Start the server and wait until it listens."""
    close_account(folder)
    file, log = Path(folder) / "account.json", Path(folder) / "account.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        command = [sys.executable, "-m", "tests.molecule.account", "serve", folder, *options]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while not file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the AWS API does not start:\n{log.read_text()}")
        time.sleep(0.1)


def close_account(folder: str) -> None:
    file = Path(folder) / "account.json"
    if file.exists():
        found = json.loads(file.read_text())
        stop([Process(found["pid"], found["started"])])
        file.unlink()


if __name__ == "__main__":
    {"serve": serve, "open": open_account, "close": close_account}[sys.argv[1]](*sys.argv[2:])
