#!/usr/bin/env bash
# Create .venv with everything that kubeherd and its tests need, on a machine with nothing but a
# Python >= 3.11. Usage: scripts/make_venv.sh PYTHON VENV. May be repeated: it completes what is there.
set -euo pipefail
python=$1
venv=$2

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "kubeherd needs Python 3.11 or newer; \"$python\" is not (make PYTHON=/path/to/python3.11)" >&2
  exit 1
fi

# Debian leaves pip's bootstrap out of its Python; without it a virtual environment cannot be made.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing python$version-venv"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" >/dev/null
  else
    echo "Python's venv module is incomplete here: run  sudo apt-get install python$version-venv" >&2
    exit 1
  fi
fi

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  "$python" -m venv --clear "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  --constraint constraints-dev.txt --editable '.[test,dev,docs,etcd,png]'
