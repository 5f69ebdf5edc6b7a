#!/bin/sh
# What the role python makes.
set -eu
apt-get -qq update
apt-get -qq install --yes --no-install-recommends python3 python3-venv >/dev/null
