#!/usr/bin/env bash
# Adds the model type "ltp" to the installed Transformers package and tries it out; --restore removes it again.
# bash revise_local_transformer_package.sh [--status | --restore] [--dry-run] [--python PATH] [--force] [--help]
set -euo pipefail

fail() {
  echo "error: $*" >&2
  exit 2
}

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
[ -d "$here/ltp_pipeline" ] || fail "$here has no ltp_pipeline: run this script inside its checkout"
python=$here/.venv/bin/python
if [ ! -x "$python" ]; then
  [ ! -L "$python" ] || fail "$python is a link to a file that does not exist: make that environment again, or remove $here/.venv"
  python=$(command -v python3 || command -v python || true)
  [ -n "$python" ] || fail "no Python found: neither $here/.venv/bin/python nor python3 on PATH. Install Python 3.10 or newer"
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null ||
  fail "$python is not a working Python 3.10 or newer: put one first on PATH, or make $here/.venv with it"
# Nothing is imported from the folder in which the user calls this: a json.py there would replace Python's.
exec "$python" -B -c '
import sys
sys.path[:] = [sys.argv.pop(1), *filter(None, sys.path)]
from ltp_pipeline.base.errors import run_main
from ltp_pipeline.overlay.command import main
run_main(main)' "$here" "$@"
