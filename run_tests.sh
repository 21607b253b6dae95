#!/usr/bin/env bash
# Sets up .venv where needed. Then checks style (ruff), the direction of imports (lint-imports), and runs the tests.
# Without arguments two processes share the test files. Arguments go to pytest, in one process:
# bash run_tests.sh tests/ltp_pipeline/overlay -x
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./ltp_env.sh

# The tests of HTML pages need Chromium. They are skipped without it, and the summary at the end says so.
if ! command -v chromium chromium-browser google-chrome >/dev/null &&
    [ "$(id -u)" = 0 ] && grep -qsx ID=debian /etc/os-release; then
    echo "installing Debian's package chromium for the tests of HTML pages (113 MB and libraries)"
    apt=(timeout 300 apt-get -qq -o Acquire::Retries=1 -o Acquire::http::Timeout=20)
    { "${apt[@]}" update && DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends chromium; } \
        >/dev/null 2>&1 || echo "Chromium could not be installed: the tests of HTML pages are skipped"
fi

status=0
"$LTP_PYTHON" -m ruff check . || status=1
"${LTP_PYTHON%/*}/lint-imports" --no-cache --no-logo || status=1
if [ $# = 0 ]; then
    set -- --numprocesses 2 --dist loadfile
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # threads that wait for each other crawl if there are more than cores
fi
"$LTP_PYTHON" -m pytest "$@" || status=$?
exit "$status"
