"""Models on the hub whose own weights are a pickle are read from the safetensors of the hub's converter."""

from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from ltp_pipeline.base import hub_safetensors
from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.hub_safetensors import CONVERTER, CONVERTER_TITLE, safetensors_revision

NAME = "allenai/longformer-base-4096"
PICKLE = ["config.json", "pytorch_model.bin", "vocab.json"]


class Hub:
    """Answers as the hub's interface does."""

    def __init__(self, files, discussions=(), changed=False):
        self.files, self.discussions, self.changed = files, discussions, changed

    def list_repo_files(self, name):
        return self.files

    def get_repo_discussions(self, name, *, author, discussion_type, discussion_status):
        assert (author, discussion_type, discussion_status) == (CONVERTER, "pull_request", "open")
        return iter(self.discussions)

    def get_paths_info(self, name, paths, revision=None):
        return [SimpleNamespace(path=path, blob_id=f"{path} {self.changed and revision}") for path in paths]


def pull_request(number, title=CONVERTER_TITLE, author=CONVERTER):
    return SimpleNamespace(git_reference=f"refs/pr/{number}", title=title, author=author)


@pytest.fixture
def online(monkeypatch):
    def set_up(*args, **options):
        monkeypatch.setattr(hub_safetensors, "is_offline", lambda: False)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: Hub(*args, **options))

    return set_up


def test_safetensors_on_the_main_branch(online, tmp_path):
    for name in ("model.safetensors", "model.safetensors.index.json"):
        online([*PICKLE, name])
        assert safetensors_revision(NAME, "--restore") == {}
    assert safetensors_revision(tmp_path, "--restore") == {}


def test_safetensors_of_the_converter(online, capsys):
    online(PICKLE, [pull_request(1, title="Update README"), pull_request(9)])
    assert safetensors_revision(NAME, "--restore") == {"revision": "refs/pr/9"}
    assert f"note: {NAME} is published as a pickle" in capsys.readouterr().out


@pytest.mark.parametrize(
    "discussions, changed", [([], False), ([pull_request(9)], True), ([pull_request(9, author="somebody")], False)]
)
def test_a_pickle_only_is_refused_with_the_command_that_converts_it(online, discussions, changed):
    online(PICKLE, discussions, changed)
    with pytest.raises(UserError, match=f"--restore {NAME}: .*to_safetensors --model_name_or_path {NAME} "):
        safetensors_revision(NAME, "--restore")


def test_an_adapter_on_the_hub(online):
    online(["adapter_config.json", "adapter_model.safetensors"])
    with pytest.raises(UserError, match=f"--restore {NAME}: is a PEFT adapter"):
        safetensors_revision(NAME, "--restore")


def test_a_name_that_the_hub_does_not_have_is_left_to_the_library(online, monkeypatch):
    online(None)
    assert safetensors_revision("none", "--restore") == {}


@pytest.fixture
def cached(monkeypatch):
    """Files of each revision in the cache of a machine without network."""

    def set_up(**revisions):
        root = Path("/cache")
        found = [
            SimpleNamespace(
                refs={ref.replace("pr_", "refs/pr/")},
                snapshot_path=root,
                files=[SimpleNamespace(file_path=root / name) for name in names],
            )
            for ref, names in revisions.items()
        ]
        repository = SimpleNamespace(repo_id=NAME, repo_type="model", revisions=found)
        monkeypatch.setattr(hub_safetensors, "is_offline", lambda: True)
        monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: SimpleNamespace(repos=[repository]))

    return set_up


def test_without_network_the_cache_is_searched_in_the_same_way(cached):
    cached(main=["config.json", "model.safetensors"])
    assert safetensors_revision(NAME, "--restore") == {}
    cached(main=PICKLE, pr_9=["model.safetensors"])
    assert safetensors_revision(NAME, "--restore") == {"revision": "refs/pr/9"}
    cached(main=PICKLE)
    with pytest.raises(UserError, match="to_safetensors"):
        safetensors_revision(NAME, "--restore")
    cached()
    assert safetensors_revision(NAME, "--restore") == {}
