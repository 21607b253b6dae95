"""Runs an analyser as a process with limits on its time, memory and output."""

from __future__ import annotations

import io
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from ltp_pipeline.code.functions import SourceFile

TIMEOUT = 120  # seconds for one file, whatever its length
CHARACTERS_PER_SECOND = 2_000  # of several files: the slowest analyser reads more, beside other work, too
MAX_OUTPUT_BYTES = 256 << 20
MAX_MEMORY_BYTES = 16 << 30  # of addresses


class AnalyserFailed(RuntimeError):
    """The analyser crashed, took too long or wrote what cannot be read."""


def time_limit(files: Sequence[SourceFile]) -> float:
    """The seconds that an analyser may take for these files."""
    return TIMEOUT + (sum(len(file.text) for file in files) / CHARACTERS_PER_SECOND if len(files) > 1 else 0)


def run_tool(
    command: Sequence[str], timeout: float, ok: Sequence[int] = (0,), env: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Run an analyser. Returns its standard output and standard error; bytes that are not UTF-8 become U+FFFD.

    `ok`: exit statuses that mean success.
    Raises AnalyserFailed for another status, after `timeout` seconds, and if a limit of this module is exceeded.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=env)
        try:
            _limit(process.pid)
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AnalyserFailed(f"took more than {timeout:.0f} s") from None
        finally:
            process.kill()
            process.wait()
        texts = []
        for stream in (output, errors):
            if stream.seek(0, io.SEEK_END) >= MAX_OUTPUT_BYTES:
                raise AnalyserFailed(f"wrote more than {MAX_OUTPUT_BYTES >> 20} MiB")
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", errors="replace"))
    if status not in ok:
        raise AnalyserFailed(_reason(status, texts[1]))
    return texts[0], texts[1]


def _limit(pid: int) -> None:
    """Limit the size of the files that a process writes, its output too, and its memory, where the system can."""
    try:
        import resource

        resource.prlimit(pid, resource.RLIMIT_FSIZE, (MAX_OUTPUT_BYTES, MAX_OUTPUT_BYTES))
        resource.prlimit(pid, resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    except (ImportError, AttributeError, OSError, ValueError):
        return


def _reason(status: int, errors: str) -> str:
    """Why a process failed: the signal that ended it, or its status and the last line of its standard error."""
    if status < 0:
        return f"was ended by signal {-status}"
    lines = errors.strip().splitlines() or [""]
    return f"ended with status {status}: {lines[-1][:300]}".rstrip(": ")
