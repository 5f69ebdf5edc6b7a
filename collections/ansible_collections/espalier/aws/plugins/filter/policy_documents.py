# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Statements of IAM as managed policies that AWS accepts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: policy_documents
short_description: Spread IAM statements over as many policy documents as AWS's limit of their length asks for
version_added: 0.2.0
description:
  - A managed policy may have 6,144 characters, white space not counted. Statements stay whole and in their order.
options:
  _input:
    description: The statements.
    type: list
    elements: dict
    required: true
  limit:
    description: Characters of a document.
    type: int
    default: 6144
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ statements | espalier.aws.policy_documents | length }}"
"""

RETURN = r"""
_value:
  description: The documents.
  type: list
  elements: dict
"""

import json

from ansible.errors import AnsibleFilterError

VERSION = "2012-10-17"


def length(document: dict) -> int:
    """As AWS counts."""
    return len("".join(json.dumps(document).split()))


def policy_documents(statements: list[dict], limit: int = 6144) -> list[dict]:
    documents: list[dict] = []
    for statement in statements:
        alone = {"Version": VERSION, "Statement": [statement]}
        if length(alone) > limit:
            raise AnsibleFilterError(
                f"The statement {statement.get('Sid', '')} alone has {length(alone)} characters; AWS takes {limit}. Split it."
            )
        together = {"Version": VERSION, "Statement": [*documents[-1]["Statement"], statement]} if documents else alone
        if documents and length(together) <= limit:
            documents[-1] = together
        else:
            documents.append(alone)
    return documents


class FilterModule:
    def filters(self):
        return {"policy_documents": policy_documents}
