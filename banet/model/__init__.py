"""The network of the paper, Sec. 3, its configuration, and models on disk."""

from banet.model.config import BANetConfig
from banet.model.network import BANet, BlurAwareModule
from banet.model.weights import load_weights, save_weights, weights_digest

__all__ = ["BANet", "BANetConfig", "BlurAwareModule", "load_weights", "save_weights", "weights_digest"]
