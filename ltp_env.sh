# Sets up the Python environment .venv in the checkout and puts the path of its interpreter into LTP_PYTHON.
# run_tests.sh and demo.sh source this file from the checkout.
#
# PYTHON=python3.12 before the command chooses the interpreter that makes .venv (default: python3). Packages are
# installed again only after a requirements file has changed: .venv/installed-requirements.txt is a copy of both files.
# It is written last, so that an interrupted setup is repeated.

LTP_PYTHON=$PWD/.venv/bin/python

ltp_fail() {
    echo "error: $*" >&2
    exit 2
}

ltp_is_set_up() {
    "$LTP_PYTHON" -c '' 2>/dev/null &&
        cat requirements.txt requirements-dev.txt | cmp -s - .venv/installed-requirements.txt
}

ltp_check_python() {
    command -v "$1" >/dev/null || ltp_fail "there is no $1: install Python 3.10 to 3.13, or name one with PYTHON=..."
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' ||
        ltp_fail "Python 3.10 to 3.13 is needed, and $1 is $("$1" -V 2>&1): name another with PYTHON=..."
    "$1" -c 'import venv, ensurepip' 2>/dev/null ||
        ltp_fail "$1 has no venv module: install it (Debian, Ubuntu: apt install python3-venv)"
}

ltp_set_up() {
    if ! "$LTP_PYTHON" -m pip --version >/dev/null 2>&1; then
        local python=${PYTHON:-python3}
        ltp_check_python "$python"
        echo "making .venv with $("$python" -V)"
        "$python" -m venv --clear .venv || ltp_fail "could not make .venv"
    fi
    echo "installing the packages of requirements.txt and requirements-dev.txt into .venv"
    local quiet=--quiet
    [ -t 1 ] && quiet=
    "$LTP_PYTHON" -m pip install $quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt ||
        ltp_fail "the packages could not be installed (see above): fix that, then run the command again"
    cat requirements.txt requirements-dev.txt >.venv/installed-requirements.txt.part
    mv .venv/installed-requirements.txt.part .venv/installed-requirements.txt
}

if ! ltp_is_set_up; then
    exec 9>.venv.lock # one setup at a time; the lock ends with the process
    if command -v flock >/dev/null; then
        flock -n 9 || { echo "waiting for another setup of .venv"; flock 9; }
    fi
    ltp_is_set_up || ltp_set_up
    exec 9>&-
fi
