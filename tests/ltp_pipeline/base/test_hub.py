import socket

import pytest
from huggingface_hub import constants

from ltp_pipeline.base import hub


@pytest.fixture
def no_address(monkeypatch):
    """A machine on which the hub's name has no address, with no proxy and no setting of the user's."""
    for name in ("HF_HUB_OFFLINE", *hub._PROXIES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    look_ups = []

    def look_up(name, port):
        look_ups.append(name)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    hub._hub_has_address.cache_clear()
    yield look_ups
    hub._hub_has_address.cache_clear()


def test_without_an_address_of_the_hub_only_its_cache_is_searched(no_address, tmp_path):
    assert hub.hub_options("org/model") == hub.hub_options("model") == {"local_files_only": True}
    assert no_address == ["hub.invalid"]  # looked up once
    assert hub.hub_options(tmp_path) == {}
    assert "hub.invalid has no address" in hub.offline_note()


def test_a_proxy_looks_the_address_up(no_address, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert (hub.hub_options("org/model"), hub.offline_note(), no_address) == ({}, "", [])


@pytest.mark.parametrize("value, offline", [("0", False), ("1", True)])
def test_the_users_setting_decides(no_address, monkeypatch, value, offline):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)  # the library reads the variable when it is imported
    assert (hub.is_offline(), no_address) == (offline, [])
    assert ("HF_HUB_OFFLINE is set" in hub.offline_note()) == offline
