"""A training in which one process computes a loss that is NaN, or runs out of memory, in its third step.

    python -m torch.distributed.run --nproc_per_node 2 spoilt_run.py nan|memory RANK FLAGS

Expected in the working directory: what FLAGS, those of run_code_metrics.py, name.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import run_code_metrics  # noqa: E402
from ltp_pipeline.base.errors import run_main  # noqa: E402
from ltp_pipeline.base.processes import process_index  # noqa: E402
from ltp_pipeline.training import non_finite  # noqa: E402
from ltp_pipeline.training.trainer import ClassifierTrainer  # noqa: E402

original = ClassifierTrainer.compute_loss


def compute_loss(self, model, inputs, *args, **kwargs):
    loss = original(self, model, inputs, *args, **kwargs)
    if self.model.training and self.state.global_step == 2 and process_index() == int(sys.argv[2]):
        if sys.argv[1] == "memory":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 137438953472 bytes.")
        print("rows", non_finite.rows_of(inputs, self.train_dataset), file=sys.stderr, flush=True)
        return loss * float("nan")
    return loss


if __name__ == "__main__":
    ClassifierTrainer.compute_loss = compute_loss
    run_main(lambda: run_code_metrics.main(sys.argv[3:]), parallel=True)
