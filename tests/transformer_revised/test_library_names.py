"""Names of other libraries that this project overrides, calls or reads although they are private or may change.

Public names in common use are not here. An upgrade that removes a name or changes its parameters fails here, with the
name, and not in a training run.
"""

import importlib
import inspect
import pkgutil

import pytest
import torch
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments

import ltp_pipeline
import transformer_revised
from transformer_revised import LTPConfig
from transformer_revised.models.auto.ltp_names import MODEL_CLASSES
from transformer_revised.models.auto.plug_in import TABLES
from transformer_revised.models.ltp import product_choice

from .models.ltp.tiny import tiny_model

TRAINER = "transformers.trainer:Trainer"
MODEL = "transformers.modeling_utils:PreTrainedModel"
CONFIG = "transformers.configuration_utils:PreTrainedConfig"
LONGFORMER = "transformers.models.longformer.modeling_longformer:"
CALLBACK = "transformers.trainer_callback:TrainerCallback"
PIPELINES = "transformers.pipelines."
STEP = ["args", "state", "control"]
# Module and name of a function or a method -> its first parameters (without `self`).
FUNCTIONS = {
    f"{TRAINER}.__init__": ["model", "args", "data_collator", "train_dataset", "eval_dataset"],
    f"{TRAINER}._get_collator_with_removed_columns": ["data_collator", "description"],
    f"{TRAINER}._get_grad_norm": ["model", "grad_norm"],
    f"{TRAINER}._load_best_model": [],
    f"{TRAINER}._load_from_checkpoint": ["resume_from_checkpoint", "model"],
    f"{TRAINER}._prepare_inputs": ["inputs"],
    f"{TRAINER}._save": ["output_dir", "state_dict"],
    f"{TRAINER}._set_signature_columns_if_needed": [],
    f"{TRAINER}._run_epoch": ["model", "epoch", "train_dataloader"],
    f"{TRAINER}.compute_loss": ["model", "inputs", "return_outputs", "num_items_in_batch"],
    f"{TRAINER}.create_optimizer": [],
    f"{TRAINER}.evaluation_loop": [
        "dataloader", "description", "prediction_loss_only", "ignore_keys", "metric_key_prefix",
    ],
    f"{TRAINER}.get_batch_samples": ["epoch_iterator", "num_batches", "device"],
    f"{TRAINER}.get_eval_dataloader": ["eval_dataset"],
    f"{TRAINER}.get_test_dataloader": ["test_dataset"],
    f"{TRAINER}.get_train_dataloader": [],
    f"{TRAINER}.log": ["logs", "start_time"],
    f"{TRAINER}.prediction_step": ["model", "inputs", "prediction_loss_only", "ignore_keys"],
    f"{TRAINER}.save_model": ["output_dir", "_internal_call"],
    f"{TRAINER}.set_initial_training_values": ["args", "dataloader"],
    f"{TRAINER}.train": ["resume_from_checkpoint"],
    f"{TRAINER}.training_step": ["model", "inputs", "num_items_in_batch"],
    "transformers.trainer_pt_utils:LabelSmoother.__call__": ["model_output", "labels"],
    "transformers.trainer_pt_utils:safe_globals": [],
    **{f"{CALLBACK}.{event}": STEP for event in (
        "on_train_begin", "on_train_end", "on_log", "on_epoch_begin", "on_epoch_end", "on_step_begin", "on_step_end",
    )},
    "transformers.trainer_callback:ExportableState.state": [],
    "transformers.integrations:TensorBoardCallback.on_log": [*STEP, "logs"],
    "accelerate.data_loader:DataLoaderShard.__init__": ["dataset"],
    "accelerate.utils:find_batch_size": ["data"],
    "accelerate.utils:recursively_apply": ["func", "data"],
    f"{MODEL}._adjust_missing_and_unexpected_keys": ["loading_info"],
    f"{MODEL}._can_set_attn_implementation": [],
    f"{MODEL}._init_weights": ["module"],
    f"{MODEL}.get_correct_attn_implementation": ["requested_attention", "is_init_check"],
    f"{MODEL}.get_input_embeddings": [],
    f"{MODEL}.set_input_embeddings": ["value"],
    f"{MODEL}.get_output_embeddings": [],
    f"{MODEL}.save_pretrained": ["save_directory", "is_main_process"],
    "transformers.dynamic_module_utils:get_relative_import_files": ["module_file"],
    f"{MODEL}.set_output_embeddings": ["new_embeddings"],
    f"{CONFIG}.__post_init__": [],
    f"{CONFIG}.from_dict": ["config_dict"],
    f"{CONFIG}.get_config_dict": ["pretrained_model_name_or_path"],
    f"{CONFIG}.validate": [],
    f"{LONGFORMER}create_position_ids_from_input_ids": ["input_ids", "padding_idx"],
    f"{LONGFORMER}LongformerEmbeddings.create_position_ids_from_inputs_embeds": ["inputs_embeds"],
    f"{LONGFORMER}LongformerEmbeddings.forward": ["input_ids", "token_type_ids", "position_ids", "inputs_embeds"],
    f"{LONGFORMER}LongformerSelfAttention.__init__": ["config", "layer_id"],
    f"{LONGFORMER}LongformerSelfOutput.forward": ["hidden_states", "input_tensor"],
    f"{LONGFORMER}LongformerIntermediate.forward": ["hidden_states"],
    f"{LONGFORMER}LongformerOutput.forward": ["hidden_states", "input_tensor"],
    f"{LONGFORMER}LongformerPooler.forward": ["hidden_states"],
    f"{LONGFORMER}LongformerClassificationHead.forward": ["hidden_states"],
    f"{LONGFORMER}LongformerLMHead.forward": ["features"],
    "transformers.utils:_LazyModule.__init__": ["name", "module_file", "import_structure", "module_spec"],
    "transformers.utils.import_utils:define_import_structure": ["module_path"],
    "transformers.utils:can_return_tuple": ["func"],
    "transformers.initialization:zeros_": ["tensor"],
    f"{PIPELINES}text_classification:TextClassificationPipeline._sanitize_parameters": ["function_to_apply", "top_k"],
    f"{PIPELINES}text_classification:TextClassificationPipeline._forward": ["model_inputs"],
    f"{PIPELINES}text_classification:TextClassificationPipeline.postprocess": ["model_outputs", "function_to_apply"],
    f"{PIPELINES}base:ChunkPipeline.preprocess": ["input_"],
    f"{PIPELINES}base:PipelineRegistry.register_pipeline": ["task", "pipeline_class", "pt_model", "default", "type"],
    "huggingface_hub.dataclasses:strict": [],
    "peft:inject_adapter_in_model": ["peft_config", "model"],
    "peft.tuners.lora.layer:Linear.get_delta_weight": ["adapter"],
    "peft.tuners.lora.layer:Linear.merge": ["safe_merge"],
    "torch:_softmax_backward_data": None,  # built in: without a signature, as the next ones
    "torch:nonzero_static": None,
    "torch.compiler:is_compiling": [],
    "torch.compiler:is_exporting": [],
    "torch.jit:is_tracing": [],
    "torch.compiler:disable": ["fn"],
}  # fmt: skip
# Names that are not called
ATTRIBUTES = {
    MODEL: [
        "_keys_to_ignore_on_load_missing", "_keys_to_ignore_on_load_unexpected", "_keep_in_fp32_modules_strict",
        "_no_split_modules", "_supports_sdpa", "_tied_weights_keys", "base_model_prefix", "config_class",
        "supports_gradient_checkpointing",
    ],
    CONFIG: ["_attn_implementation", "model_type", "name_or_path", "num_labels"],
    "huggingface_hub.errors:StrictDataclassError": ["__cause__"],
    "transformers.modeling_layers:GradientCheckpointingLayer": ["gradient_checkpointing"],
}  # fmt: skip
OF_EVERY_CLASS = {"__init__", "forward", "_abc_impl"}


def find(path):
    module, _, name = path.partition(":")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("path", FUNCTIONS)
def test_a_function_still_has_its_parameters(path):
    function, expected = find(path), FUNCTIONS[path]
    assert callable(function)
    if expected is not None:
        parameters = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
        assert parameters[: len(expected)] == expected


@pytest.mark.parametrize("path, name", [(path, name) for path, names in ATTRIBUTES.items() for name in names])
def test_a_class_still_has_its_attribute(path, name):
    assert hasattr(find(path), name)


@pytest.mark.parametrize("module, table", [(module, table) for module in TABLES for table, _ in TABLES[module]])
def test_a_table_of_auto_classes_is_as_the_plug_in_expects(module, table):
    """Otherwise the plug-in warns and registers the classes in another way."""
    names = find(f"{module}:{table}")
    assert names["ltp"] and names._model_mapping._reverse_config_mapping["LTPConfig"] == "ltp"


@pytest.mark.parametrize("name", MODEL_CLASSES)
def test_an_auto_class_still_reads_the_table(name):
    table, _ = MODEL_CLASSES[name]
    auto_class = find(f"transformers:{name}")
    assert auto_class._model_mapping._model_mapping is find(f"transformers.models.auto.modeling_auto:{table}")


def test_the_products_of_onednn_are_there():
    """Otherwise the model computes with the slower nn.Linear."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("a PyTorch without oneDNN")
    x, weight, bias = torch.ones(2, 3), torch.ones(4, 3), torch.ones(4)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, 2)
    for form in (weight, packed):
        y = torch.ops.mkldnn._linear_pointwise(x, form, bias, "none", [], "none")
        assert torch.equal(y, torch.full((2, 4), 4.0))
        y = torch.ops.mkldnn._linear_pointwise.binary(x, torch.ones(2, 4), form, bias, "add")
        assert torch.equal(y, torch.full((2, 4), 5.0))
    assert isinstance(torch.ops.mkldnn._is_mkldnn_bf16_supported(), bool)
    assert torch.float32 in product_choice.ONEDNN_DTYPES


@pytest.mark.skipif(
    getattr(torch.cpu, "get_capabilities", dict)().get("architecture") != "x86_64", reason="int8 is for x86 CPUs"
)
def test_the_product_in_int8_is_there():
    """Otherwise `--dtype int8` is refused."""
    packed = torch.ops.onednn.qlinear_prepack(torch.full((16, 32), 3, dtype=torch.int8), None)
    x, scale, zeros = (
        torch.full((8, 32), 66, dtype=torch.uint8),
        torch.full((16,), 0.5),
        torch.zeros(16, dtype=torch.int64),
    )
    y = torch.ops.onednn.qlinear_pointwise(
        x, 1.0, 64, packed, scale, zeros, None, 1.0, 0, torch.float32, "none", [], ""
    )
    assert torch.equal(y, torch.full((8, 16), 2 * 3 * 32 * 0.5))


def own_classes_of_libraries():
    """Our classes that derive from one of a Hugging Face library."""
    for package in (ltp_pipeline, transformer_revised):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for cls in vars(importlib.import_module(module.name)).values():
                if inspect.isclass(cls) and cls.__module__ == module.name:
                    bases = [b for b in cls.__mro__ if b.__module__.startswith(("transformers.", "accelerate."))]
                    if bases:
                        yield cls, bases


def test_every_override_is_in_the_tables():
    listed = {path.rpartition(".")[2] for path in FUNCTIONS}.union(*ATTRIBUTES.values())
    checked = set()
    for cls, bases in own_classes_of_libraries():
        overrides = {name for name, value in vars(cls).items() if any(name in vars(base) for base in bases)}
        dunder = {name for name in overrides if name.startswith("__")} - {"__call__", "__post_init__"}
        fields = {*getattr(cls, "__dataclass_fields__", ())}
        missing = overrides - dunder - fields - OF_EVERY_CLASS - listed
        assert not missing, (cls, missing)
        checked.add(cls.__name__)
    assert {"LTPTrainer", "ClassifierTrainer", "LTPModel", "LTPConfig", "ComputeBudget", "LTPOutput"} <= checked


def test_the_trainer_still_has_the_attributes_that_ours_read(tmp_path):
    args = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", label_smoothing_factor=0.1)
    trainer = Trainer(tiny_model(), args)
    assert {"model_accepts_loss_kwargs", "label_smoother", "callback_handler", "optimizer"} <= {*vars(trainer)}
    assert trainer.label_smoother.epsilon == 0.1
    state = trainer.accelerator.gradient_state
    assert hasattr(state, "end_of_dataloader") and hasattr(state, "remainder")
    assert EarlyStoppingCallback(2).early_stopping_patience_counter == 0
    source = inspect.getsource(Trainer)
    assert "self.current_gradient_accumulation_steps" in source and "ddp_find_unused_parameters" in source


def test_a_configuration_is_checked_by_the_library_where_ours_relies_on_it():
    validators = {validator.__name__ for validator in LTPConfig.__class_validators__}
    assert {"validate_numbers", "validate_pruning", "validate_token_ids"} <= validators
