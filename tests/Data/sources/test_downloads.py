"""Downloads from an index served on this machine."""

import hashlib
import http.server
import threading
from functools import partial

import pytest

from Data.sources import downloads
from Data.sources.downloads import fetch
from Data.sources.source_list import PinnedSource
from ltp_pipeline.base.errors import UserError

CONTENT = b"not really an archive" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Index(http.server.BaseHTTPRequestHandler):
    """A simple index with one project, `alpha` 1.0; `faults` are answered first, one a request for the file."""

    def __init__(self, state, *arguments):
        self.state = state
        super().__init__(*arguments)

    def do_GET(self):
        self.state["paths"].append(self.path)
        if self.path == "/simple/alpha/":
            body = f'<a href="/files/alpha-1.0.tar.gz{self.state["fragment"]}">alpha-1.0.tar.gz</a>'.encode()
            self.answer(200, body, "text/html")
        elif self.path == "/files/alpha-1.0.tar.gz":
            status, body = self.state["faults"].pop(0) if self.state["faults"] else (200, CONTENT)
            self.answer(status, body, "application/gzip")
        else:
            self.answer(404, b"", "text/plain")

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def index(monkeypatch):
    """A running index: its address and state. It stands in for the public one, and nothing waits."""
    state = {"faults": [], "paths": [], "fragment": f"#sha256={SHA256}"}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Index, state))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    state["address"] = f"http://127.0.0.1:{server.server_port}/simple/"
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(downloads, "PYPI_SIMPLE_ENDPOINT", state["address"])
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(downloads, "_pip_settings", dict)
    yield state
    server.shutdown()
    server.server_close()


def source(version="1.0", sha256=SHA256, name="alpha"):
    return PinnedSource("train", name, version, sha256, "list.txt:1")


def test_a_download_is_kept_and_a_damaged_one_replaced(index, tmp_path):
    archive = tmp_path / "cache" / "alpha-1.0.tar.gz"
    for _ in range(2):
        assert fetch([source()], tmp_path / "cache") == [archive]
        assert archive.read_bytes() == CONTENT
    assert index["paths"] == ["/simple/alpha/", "/files/alpha-1.0.tar.gz"]
    archive.write_bytes(CONTENT[:100])
    fetch([source()], tmp_path / "cache")
    assert archive.read_bytes() == CONTENT


def test_failures_are_tried_again(index, tmp_path):
    index["faults"] = [(503, b""), (200, CONTENT[:-1]), (200, b"")]
    fetch([source()], tmp_path)
    assert index["paths"].count("/files/alpha-1.0.tar.gz") == 4
    assert [path.name for path in tmp_path.iterdir()] == ["alpha-1.0.tar.gz"]


def test_network_failure_leaves_nothing_and_shows_no_password(index, tmp_path, monkeypatch):
    index["faults"] = [(503, b"")] * 4
    monkeypatch.setattr(downloads, "PYPI_SIMPLE_ENDPOINT", index["address"].replace("//", "//name:secret@"))
    with pytest.raises(UserError, match="list.txt:1: could not download alpha 1.0 in 4 attempts: 503 ") as error:
        fetch([source()], tmp_path)
    assert "secret" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_announced_hash_is_compared_before_the_download(index, tmp_path):
    with pytest.raises(UserError, match=f"hash mismatch for alpha 1.0: .* has sha256:{SHA256}"):
        fetch([source(sha256="0" * 64)], tmp_path)
    assert index["paths"] == ["/simple/alpha/"]


def test_received_hash_is_compared(index, tmp_path):
    index["fragment"] = ""
    with pytest.raises(UserError, match=f"hash mismatch: the download has sha256:{SHA256}"):
        fetch([source(sha256="0" * 64)], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", [source(version="1.1"), source(name="omega")])
def test_unknown_distribution(index, tmp_path, missing):
    with pytest.raises(UserError, match=f"no source distribution of {missing.name} {missing.version}"):
        fetch([missing], tmp_path)


def test_index_of_pip_is_used_when_the_public_one_is_out_of_reach(index, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PYPI_SIMPLE_ENDPOINT", "http://127.0.0.1:1/simple/")
    monkeypatch.setattr(downloads, "_pip_settings", lambda: {"index-url": index["address"].rstrip("/")})
    assert fetch([source()], tmp_path)[0].read_bytes() == CONTENT


def test_pip_settings_are_read(monkeypatch, tmp_path):
    configuration = tmp_path / "pip.conf"
    configuration.write_text("[global]\nindex-url = https://one.example/simple\ncert = /some/file.pem\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("PIP_INDEX_URL", "https://two.example/simple")
    monkeypatch.delenv("PIP_CERT", raising=False)
    settings = downloads._pip_settings()
    assert (settings["index-url"], settings["cert"]) == ("https://two.example/simple", "/some/file.pem")


def test_certificates_of_pip_are_used(tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("")
    clients = downloads._clients({"cert": str(bundle), "index-url": "https://one.example/simple"})
    endpoints = [downloads.PYPI_SIMPLE_ENDPOINT, "https://one.example/simple/"]
    assert [client.endpoint for client in clients] == endpoints
    assert {client.s.verify for client in clients} == {str(bundle)}
