#!/usr/bin/env bash
# Sets up .venv where needed. Then checks style (ruff), the direction of imports (lint-imports), and runs the tests.
# Arguments go to pytest: bash run_tests.sh tests/ltp_pipeline/overlay -x
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./ltp_env.sh

status=0
"$LTP_PYTHON" -m ruff check . || status=1
"${LTP_PYTHON%/*}/lint-imports" --no-cache --no-logo || status=1
"$LTP_PYTHON" -m pytest "$@" || status=$?
exit "$status"
