#!/usr/bin/env bash
# Sets up .venv where needed, then lints and tests. Arguments go to pytest: bash run_tests.sh tests/overlay -x
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./ltp_env.sh

status=0
"$LTP_PYTHON" -m ruff check . || status=1
"$LTP_PYTHON" -m pytest "$@" || status=$?
exit "$status"
