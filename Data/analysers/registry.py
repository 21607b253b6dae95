"""The static analysers by name: the package of each, the languages that it reads, and how it runs."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from Data.analysers.bandit import bandit_findings
from Data.analysers.clang import clang_findings, clang_settings
from Data.analysers.clang_headers import ClangTree
from Data.analysers.cppcheck import cppcheck_findings, cppcheck_settings
from Data.analysers.findings import FileFindings
from Data.analysers.flawfinder import flawfinder_findings
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.code.functions import SourceFile
from ltp_pipeline.code.languages import language_of


@dataclass(frozen=True)
class AnalyserOptions:
    """`min_level`: lowest risk level that flawfinder reports. `trees`: each project on disk, by name, for Clang."""

    min_level: int = 1
    trees: Mapping[str, ClangTree] = field(default_factory=dict)


@dataclass(frozen=True)
class Analyser:
    """One analyser."""

    package: str  # its name on PyPI
    languages: tuple[str, ...]  # names of the languages that it reads
    # analyses files and returns the findings of each; raises AnalyserFailed if it fails for all of them
    run: Callable[[list[SourceFile], AnalyserOptions], list[FileFindings]]
    # all inputs of the findings besides the file's text and the version of the package
    settings: Callable[[SourceFile, AnalyserOptions], str]

    def reads(self, file: SourceFile) -> bool:
        """Whether the analyser reads the file's language."""
        return language_of(file.path).name in self.languages


ANALYSERS = {
    "flawfinder": Analyser(
        package="flawfinder",
        languages=("c", "cpp"),
        run=lambda files, options: flawfinder_findings(files, options.min_level),
        settings=lambda file, options: str(options.min_level),
    ),
    "cppcheck": Analyser(
        package="cppcheck",
        languages=("c", "cpp"),
        run=lambda files, options: cppcheck_findings(files),
        settings=lambda file, options: cppcheck_settings(file),
    ),
    "clang": Analyser(
        package="clang-tidy",
        languages=("c", "cpp"),
        run=lambda files, options: [clang_findings(file, options.trees[file.project]) for file in files],
        settings=lambda file, options: clang_settings(file, options.trees.get(file.project)),
    ),
    "bandit": Analyser(
        package="bandit",
        languages=("python",),
        run=lambda files, options: bandit_findings(files),
        settings=lambda file, options: sys.version,
    ),
}


def default_analysers(languages: Iterable[str]) -> list[str]:
    """Flawfinder and Cppcheck for C and C++, bandit for Python. Clang is too slow for a default build."""
    names = [name for language in languages for name, one in ANALYSERS.items() if language in one.languages]
    return [name for name in dict.fromkeys(names) if name != "clang"]


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """The version of each analyser's package. Raises UserError with the pip command for a package that is missing."""
    versions = {}
    for name in names:
        package = ANALYSERS[name].package
        try:
            versions[name] = version(package)
        except PackageNotFoundError:
            versions[name] = ""
        if not versions[name] or importlib.util.find_spec(package.replace("-", "_")) is None:
            raise UserError(f"--analyzers {name} needs the package {package}: pip install {package}")
    return versions
