"""What a shell needs to complete the flags of a command (`--print_completion bash`), by the package shtab."""

from __future__ import annotations

from argparse import SUPPRESS
from typing import TYPE_CHECKING

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.suggestions import spellings

if TYPE_CHECKING:
    from ltp_pipeline.base.parser import CommandParser

SHELLS = ("bash", "zsh", "tcsh")
# Bash looks up what to complete by the first word, which is `python` for scripts and modules. This function passes the
# words after it on to the function of the script or module, if there is one.
PYTHON_IN_BASH = """
_ltp_python() {
  local skip=1
  [[ ${COMP_WORDS[1]} == -m ]] && skip=2
  local name=${COMP_WORDS[skip]##*/}
  local complete=_shtab_${name//[^[:alnum:]]/_}
  if ((COMP_CWORD > skip)) && declare -F "$complete" >/dev/null; then
    COMP_WORDS=("${COMP_WORDS[@]:skip}")
    ((COMP_CWORD -= skip))
    "$complete"
  fi
}
complete -o bashdefault -o default -F _ltp_python python python3
"""


def completion(parser: CommandParser, shell: str) -> str:
    """The text to store and to load in `shell`, one of SHELLS. Changes the parser.

    Raises UserError if shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise UserError(f"--print_completion {shell}: needs shtab: python -m pip install shtab") from error
    from ltp_pipeline.base.parser import metavar  # late: it imports this module

    name = parser.prog.removeprefix("python ").removeprefix("-m ")
    parser.prog = name.rsplit("/", 1)[-1]
    for action in parser._actions:
        kind = metavar(action).strip("[]. ")
        if kind.startswith(("FILE", "PATH")):
            action.complete = shtab.FILE
        elif kind.startswith(("DIR", "FOLDER", "CHECKPOINT")):
            action.complete = shtab.DIRECTORY
        if action.help is not SUPPRESS:
            action.help = (action.help or "").replace("\n", " ")
        action.option_strings = spellings(action)
    text = shtab.complete(parser, shell)
    return f"{text}\n{PYTHON_IN_BASH}" if shell == "bash" else text
