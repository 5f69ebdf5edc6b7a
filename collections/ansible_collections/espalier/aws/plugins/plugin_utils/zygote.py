# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A warm Python that runs Ansible modules by forking itself.

A module call on the controller spends most of its time before its first AWS request: starting an interpreter, importing boto3 and the
module utilities, parsing botocore's service models. This process does that once, for one ansible-playbook run, and forks for each call.

Run as `python zygote.py SOCKET PARENT_PID`. It ends when the process PARENT_PID ends. One request on a connection of the Unix socket:
the file descriptors of stdout and stderr (SCM_RIGHTS) with 8 bytes (big-endian length of what follows), then a JSON object
{"environment": {name: value}, "directory": path, "code": source of the module}. The answer is the exit code, one byte;
a connection that closes without it means that the module's process was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import traceback

HEADER = struct.Struct(">Q")

# Models that the suite's plays use, largest first; parsed while nothing else is to do.
SERVICES = ("ec2", "rds", "autoscaling", "elbv2", "s3", "iam", "ssm", "secretsmanager", "sns", "cloudwatch", "logs", "sts")


def preload() -> None:
    """Import what nearly every AWS module imports, and let all botocore sessions share one loader of service models."""
    import ansible.module_utils.basic  # noqa: F401
    import ansible_collections.amazon.aws.plugins.module_utils.modules
    import ansible_collections.amazon.aws.plugins.module_utils.tagging
    import ansible_collections.amazon.aws.plugins.module_utils.transformation
    import ansible_collections.amazon.aws.plugins.module_utils.waiters  # noqa: F401
    import boto3  # noqa: F401
    import botocore.loaders
    import botocore.session

    shared = botocore.loaders.create_loader()
    botocore.session.create_loader = lambda *_arguments: shared


def warm(service: str) -> None:
    """Parse the model of one service. Nothing is sent: the client is thrown away."""
    import boto3

    session = boto3.session.Session(aws_access_key_id="-", aws_secret_access_key="-", region_name="us-east-1")
    session.client(service, endpoint_url="http://127.0.0.1:9")


def receive(connection: socket.socket) -> tuple[dict, list[int]]:
    """Read one request. Raises ConnectionError when the other side goes away in the middle."""
    head, descriptors, _flags, _address = socket.recv_fds(connection, HEADER.size, 2)
    while len(head) < HEADER.size:
        more = connection.recv(HEADER.size - len(head))
        if not more:
            raise ConnectionError("request ended early")
        head += more
    missing = HEADER.unpack(head)[0]
    body = bytearray()
    while missing:
        more = connection.recv(min(missing, 1 << 20))
        if not more:
            raise ConnectionError("request ended early")
        body += more
        missing -= len(more)
    return json.loads(bytes(body)), descriptors


def execute(request: dict, descriptors: list[int], shell: dict[str, str]) -> int:
    """Run a module's source as an interpreter would that reads it from a pipe. Returns its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (descriptors[0], 1), (descriptors[1], 2)):
        os.dup2(source, target)
    os.environ.update(shell)
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    sys.argv = ["-"]
    code = 0
    try:
        exec(compile(request["code"], "<stdin>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        if isinstance(ending.code, str):
            print(ending.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return code & 0xFF


def serve(listener: socket.socket, parent: int, shell: dict[str, str]) -> None:
    """Fork a child for each connection until the parent ends. `shell` is what children find in their environment again."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    # ctrl-c reaches the whole terminal's group: the run ends, and this process after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cold = list(reversed(SERVICES))
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(parent, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _events in selector.select(0 if cold else None)]
            if parent in ready:
                return
            if not ready:
                warm(cold.pop())
                continue
            connection, _address = listener.accept()
            if os.fork() == 0:
                listener.close()
                code = 1
                with contextlib.suppress(ConnectionError):
                    code = execute(*receive(connection), shell)
                    connection.sendall(bytes([code]))
                os._exit(code)
            connection.close()


def main() -> None:
    path, parent_id = sys.argv[1], int(sys.argv[2])
    parent = os.pidfd_open(parent_id)
    # The folder of this script holds Ansible plugins whose names could hide standard modules.
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path = [entry for entry in sys.path if entry != here]
    # Once ansible_collections is imported, a module's own archive cannot add this collection to it.
    sys.path.append(os.path.normpath(os.path.join(here, *[os.pardir] * 5)))
    # A profile that does not exist, which the playbook's own variables put right, would keep this process from warming up.
    shell = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        os.umask(0o077)
        listener.bind(path)
        listener.listen(64)
        preload()
        serve(listener, parent, shell)


if __name__ == "__main__":
    main()
