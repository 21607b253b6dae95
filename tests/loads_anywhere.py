"""Run with `python -I` in a folder of self-contained checkpoints: loads each as a program without this project does.

Any import of this project's packages fails. The outputs for `INPUTS` are compared with those in `<checkpoint>.pt`.
Prints one JSON object: checkpoint -> what was loaded.
"""

import json
import sys
from pathlib import Path

PACKAGES = ("transformer_revised", "ltp_pipeline", "Data", "benchmarks", "tests")


class NoProject:
    """Refuses to import this project."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in PACKAGES:
            raise AssertionError(f"{name} is imported")


def inputs(head: str):
    """Token ids `[2, 60]` of the tests' tokenizer, with a separator; `[2, 2, 60]` for multiple choice."""
    import torch

    ids = torch.arange(60).repeat(2, 1) % 40 + 5
    ids[:, 0], ids[:, 20:22] = 0, 2
    return ids[:, None].repeat(1, 2, 1) if "MultipleChoice" in head else ids


def main() -> None:
    """See the top of this file."""
    sys.meta_path.insert(0, NoProject())
    import torch
    import transformers

    found = {}
    for folder in sorted(path for path in Path.cwd().iterdir() if path.is_dir()):
        head = folder.name.partition("-")[0]
        auto = getattr(transformers, head)
        model, info = auto.from_pretrained(folder, trust_remote_code=True, output_loading_info=True)
        with torch.no_grad():
            output = model(inputs(head), output_pruning=True)
        wanted = torch.load(f"{folder}.pt")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
        text = "int f(int a) { return a; }"
        again = Path.cwd().parent / "again" / folder.name
        model.save_pretrained(again)
        reloaded = auto.from_pretrained(again, trust_remote_code=True)
        found[folder.name] = {
            "missing": sorted(info["missing_keys"]),
            "equal": {name: torch.equal(value, output[name]) for name, value in wanted.items()},
            "class": type(model).__name__,
            "one_config": type(model.config) is model.config_class,
            "module": type(model).__module__.partition(".")[0],
            "tokens": tokenizer(text)["input_ids"],
            "saved_again": all(torch.equal(a, b) for a, b in zip(model.parameters(), reloaded.parameters())),
            "scale": getattr(sys.modules[type(model).__module__], "SCALE", None),
        }
        if head == "AutoModelForSequenceClassification":
            pipe = transformers.pipeline("text-classification", str(folder), trust_remote_code=True)
            found[folder.name]["label"] = pipe(text)[0]["label"]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
