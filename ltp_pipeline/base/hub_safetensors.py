"""Finds the safetensors of a model on the Hugging Face hub, also if its own files are pickles."""

from pathlib import Path

from ltp_pipeline.base.errors import UserError
from ltp_pipeline.base.hub import is_offline

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
ADAPTER = "adapter_config.json"
# Models that are published as a pickle only: the hub's own converter opens a pull request with safetensors.
CONVERTER, CONVERTER_TITLE = "SFconvertbot", "Adding `safetensors` variant of this model"


def safetensors_revision(path: str | Path, flag: str) -> dict[str, str]:
    """The option `revision` of `from_pretrained` with which a model on the hub has safetensors; {}: its main branch.

    Many older models have a pickle only, such as pytorch_model.bin. For these the hub's converter has published the
    same weights as safetensors, in a pull request of the model's repository.
    Raises UserError if the model is published as a pickle only, or is an adapter.
    """
    if Path(path).exists():
        return {}
    name = str(path)
    try:
        files, revision = _cached(name) if is_offline() else _published(name)
    except Exception:  # no such model, or no network: the library's own message says so when it loads the model
        return {}
    if ADAPTER in files:
        raise UserError(f"{flag} {name}: is a PEFT adapter (LoRA); expected a whole model")
    if revision is not None:
        print(
            f"note: {name} is published as a pickle; the safetensors that {CONVERTER} made of it are used ({revision})"
        )
        return {"revision": revision}
    if not files.intersection(SAFETENSORS) and any(file.endswith(".bin") for file in files):
        raise UserError(
            f"{flag} {name}: is published as a pickle only, and a pickle is a program; run python -m "
            f"ltp_pipeline.to_safetensors --model_name_or_path {name} --output_dir NEW_FOLDER and give that folder"
        )
    return {}


def _published(name: str) -> tuple[set[str], str | None]:
    """Files of a model on the hub, and the converter's pull request; None if it is not needed, or there is none."""
    from huggingface_hub import HfApi

    api = HfApi()
    files = set(api.list_repo_files(name))
    pickles = [file for file in files if file.startswith("pytorch_model") and file.endswith(".bin")]
    if files.intersection(SAFETENSORS) or not pickles:
        return files, None
    options = {"author": CONVERTER, "discussion_type": "pull_request", "discussion_status": "open"}
    for discussion in api.get_repo_discussions(name, **options):
        revision = discussion.git_reference
        if discussion.title == CONVERTER_TITLE and discussion.author == CONVERTER and revision is not None:
            now, then = api.get_paths_info(name, pickles), api.get_paths_info(name, pickles, revision=revision)
            if {file.path: file.blob_id for file in now} == {file.path: file.blob_id for file in then}:
                return files, revision  # made from the weights that are published now
    return files, None


def _cached(name: str) -> tuple[set[str], str | None]:
    """As `_published`, for the files of a model in the cache on this machine."""
    from huggingface_hub import scan_cache_dir

    revisions = {
        ref: {str(file.file_path.relative_to(revision.snapshot_path)) for file in revision.files}
        for repository in scan_cache_dir().repos
        if repository.repo_id == name and repository.repo_type == "model"
        for revision in repository.revisions
        for ref in revision.refs
    }
    main = revisions.get("main", set())
    if not main.intersection(SAFETENSORS):
        for ref, files in sorted(revisions.items()):
            if ref.startswith("refs/pr/") and files.intersection(SAFETENSORS):
                return main | files, ref
    return main, None
