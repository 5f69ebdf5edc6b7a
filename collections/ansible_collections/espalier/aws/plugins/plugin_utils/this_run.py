# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run of Ansible that a plugin works for."""

from __future__ import annotations

import multiprocessing
import os


def process_id() -> int:
    """Process id of ansible-playbook, in its workers, too.

    Not getppid: in a worker that outlives a killed run, that is somebody who never ends, and so would what is to end with the run.
    """
    parent = multiprocessing.parent_process()
    return parent.pid if parent else os.getpid()
