"""The model type "ltp": configuration, layers, heads and outputs. A module is imported when it is first used."""

from typing import TYPE_CHECKING

from transformers.utils import _LazyModule
from transformers.utils.import_utils import define_import_structure

if TYPE_CHECKING:
    from .configuration_ltp import *
    from .ltp_model_output import *
    from .modeling_ltp import *
    from .modeling_ltp_heads import *
else:
    import sys

    _file = globals()["__file__"]
    sys.modules[__name__] = _LazyModule(__name__, _file, define_import_structure(_file), module_spec=__spec__)
