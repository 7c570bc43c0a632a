"""The network of the paper, Sec. 3, its configuration, and models on disk."""

from banet.model.checkpoint import export_checkpoint, import_checkpoint
from banet.model.config import BANetConfig
from banet.model.network import BANet, BlurAwareModule, with_local_strips
from banet.model.weights import load_weights, save_weights, weights_digest
from banet.model.winograd import with_winograd

__all__ = [
    "BANet",
    "BANetConfig",
    "BlurAwareModule",
    "export_checkpoint",
    "import_checkpoint",
    "load_weights",
    "save_weights",
    "weights_digest",
    "with_local_strips",
    "with_winograd",
]
