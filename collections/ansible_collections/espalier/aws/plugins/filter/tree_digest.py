# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A digest of folders."""

from __future__ import annotations

DOCUMENTATION = r"""
name: tree_digest
short_description: SHA-256 of the names and contents of all files of some folders
version_added: 0.2.0
description:
  - Says whether a role, for example, has changed. What tools leave behind (C(__pycache__), hidden files) does not count.
options:
  _input:
    description: The folders.
    type: list
    elements: path
    required: true
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ ['roles/nginx', 'roles/gunicorn'] | espalier.aws.tree_digest }}"
"""

RETURN = r"""
_value:
  description: The digest, in hexadecimal digits.
  type: str
"""

from pathlib import Path

from ansible.errors import AnsibleFilterError
from ansible_collections.espalier.aws.plugins.module_utils.source_archive import digest_of


def tree_digest(folders: list[str]) -> str:
    missing = [folder for folder in folders if not Path(folder).is_dir()]
    if missing:
        raise AnsibleFilterError(f"tree_digest: no such folder: {', '.join(missing)}")
    return digest_of(Path(folder) for folder in folders)


class FilterModule:
    def filters(self):
        return {"tree_digest": tree_digest}
