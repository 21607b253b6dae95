#!/usr/bin/env bash
# Adds the model type "ltp" to the installed Transformers package and tries it out; --restore removes it again.
# bash revise_local_transformer_package.sh [--status | --restore] [--dry-run] [--python PATH] [--force] [--help]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$here/.venv/bin/python
[ -x "$python" ] || python=python3
exec "$python" -B -c '
import sys
sys.path.insert(0, sys.argv.pop(1))
from ltp_pipeline.base.errors import run_main
from ltp_pipeline.overlay.command import main
run_main(main)' "$here" "$@"
