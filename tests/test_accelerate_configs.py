"""configs/accelerate_*.yaml: how many processes accelerate starts with them, and through what."""

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser

from benchmarks.common import ROOT

CONFIGS = sorted((ROOT / "configs").glob("accelerate_*.yaml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_two_processes_of_torch_distributed(config):
    """Not by `simple_launcher`, which starts one process whatever num_processes says."""
    words = ["--config_file", str(config), "run_code_metrics.py", "--use_cpu"]
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert args.multi_gpu and not args.cpu and not args.use_fsdp and not args.use_deepspeed
    assert (args.num_processes, args.num_machines, args.mixed_precision) == (2, 1, "no")
    assert args.training_script_args == ["--use_cpu"]


def test_there_is_one_for_cpus_and_one_for_gpus():
    assert [config.name for config in CONFIGS] == ["accelerate_cpu.yaml", "accelerate_gpus.yaml"]
