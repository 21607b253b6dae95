"""Downloads pinned source distributions from a package index and checks their hashes. No build code runs."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import requests
from packaging.utils import canonicalize_version
from pypi_simple import (
    PYPI_SIMPLE_ENDPOINT,
    DistributionPackage,
    NoSuchProjectError,
    PyPISimple,
    UnsupportedRepoVersionError,
    tqdm_progress_factory,
)

from Data.sources.source_list import PinnedSource
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.progress import progress_bar

ENDINGS = (".tar.gz", ".zip")  # of the file names of source distributions
ATTEMPTS = 4
TIMEOUT = (10, 120)  # seconds to connect, and between two received chunks


def fetch(sources: Iterable[PinnedSource], cache_dir: str | Path) -> list[Path]:
    """Download the archives that are not in the cache, and return the path of each source's archive, in order.

    The cache holds only complete archives with the right hash.
    Raises UserError if no index can be reached, has no such source distribution, or has another hash for it.
    """
    sources, cache = list(sources), Path(cache_dir)
    clients: list[PyPISimple] = []
    archives = []
    for source in progress_bar(sources, desc="fetch", unit="package"):
        archive = _cached(source, cache)
        if archive is None:
            clients = clients or _clients(_pip_settings())
            archive = _download(source, cache, clients)
        archives.append(archive)
    return archives


def _cached(source: PinnedSource, cache: Path) -> Path | None:
    paths = [cache / f"{source.name}-{source.version}{ending}" for ending in ENDINGS]
    return next((path for path in paths if path.is_file() and file_sha256(path) == source.sha256), None)


def _download(source: PinnedSource, cache: Path, clients: list[PyPISimple]) -> Path:
    """Try every index, and repeat after a pause. The index that answers moves to the front of `clients`."""
    problem: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(2**attempt)
        for client in list(clients):
            try:
                archive = _download_from(client, source, cache)
            except (OSError, ValueError, UnsupportedRepoVersionError) as error:
                problem = error
                continue
            clients.remove(client)
            clients.insert(0, client)
            return archive
    reason = re.sub(r"//[^/@\s]+@", "//", str(problem))  # an index address may hold a password
    raise UserError(
        f"{source.place}: could not download {source.name} {source.version} in {ATTEMPTS} attempts: {reason}; check "
        "the network (proxy variables and pip's index-url and cert settings are used) and run again"
    )


def _download_from(client: PyPISimple, source: PinnedSource, cache: Path) -> Path:
    package = _find_package(client, source)
    ending = next(ending for ending in ENDINGS if package.filename.endswith(ending))
    target, partial = cache / f"{source.name}-{source.version}{ending}", cache / f".{os.getpid()}.part"
    bar = tqdm_progress_factory(desc=package.filename, leave=False, disable=None)
    cache.mkdir(parents=True, exist_ok=True)
    try:
        client.download_package(package, partial, verify=False, timeout=TIMEOUT, progress=bar)
        sha256 = file_sha256(partial)
        if sha256 != source.sha256:
            raise OSError(f"hash mismatch: the download has sha256:{sha256}, the list says sha256:{source.sha256}")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _find_package(client: PyPISimple, source: PinnedSource) -> DistributionPackage:
    """The source distribution of this version. The hash that the index announces is checked before the download."""
    try:
        packages = client.get_project_page(source.name, timeout=TIMEOUT).packages
    except NoSuchProjectError:
        packages = []
    version = canonicalize_version(source.version)
    found = [
        package
        for package in packages
        if package.filename.endswith(ENDINGS) and canonicalize_version(package.version or "") == version
    ]
    if not found:
        raise UserError(
            f"{source.place}: the package index has no source distribution of {source.name} {source.version}"
        )
    announced = [package.digests.get("sha256", source.sha256) for package in found]
    if source.sha256 not in announced:
        raise UserError(
            f"{source.place}: hash mismatch for {source.name} {source.version}: the list says sha256:{source.sha256}, "
            f"the package index has sha256:{announced[0]}"
        )
    return found[announced.index(source.sha256)]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _clients(settings: Mapping[str, str]) -> list[PyPISimple]:
    """Clients, with pip's certificates, of the public index and of the index in pip's settings if it is another."""
    session = requests.Session()  # uses the proxy variables and REQUESTS_CA_BUNDLE
    certificates = settings.get("cert") or os.environ.get("SSL_CERT_FILE")
    if certificates and Path(certificates).exists():
        session.verify = certificates
    endpoints = [PYPI_SIMPLE_ENDPOINT, settings.get("index-url", "").rstrip("/") + "/"]
    usable = [endpoint for endpoint in dict.fromkeys(endpoints) if endpoint.startswith(("http://", "https://"))]
    return [PyPISimple(endpoint, session=session) for endpoint in usable]


def _pip_settings() -> dict[str, str]:
    """Pip's settings from its files and its PIP_ variables, such as `index-url` and `cert`; empty without pip."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    settings: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        settings.update(re.findall(rf"^{section}\.([\w-]+)='(.*)'$", listing, re.MULTILINE))
    return settings
