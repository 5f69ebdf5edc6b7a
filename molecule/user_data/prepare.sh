#!/bin/sh
# A machine that cannot be reached yet.
set -eu
systemctl disable --quiet --now amazon-ssm-agent.service
