"""Taggers: one architecture a file, made by name."""

from jetforge.taggers._memory import keep_freed_memory
from jetforge.taggers._registry import create_tagger, list_taggers, register_tagger, tagger_arguments, tagger_summary
from jetforge.taggers.base import Tagger
from jetforge.taggers.boosted_trees import BoostedTrees, boosted_trees
from jetforge.taggers.cnn_rnn import CNNRNN, cnn_rnn
from jetforge.taggers.dense import DenseNetwork, dense, dense_student
from jetforge.taggers.energy_flow import EnergyFlowNetwork, ParticleFlowNetwork, efn, pfn
from jetforge.taggers.hldnn import HighLevelDNN, hldnn
from jetforge.taggers.image_cnn import ImageCNN, image_cnn
from jetforge.taggers.lgatr import LGATr, lgatr
from jetforge.taggers.lgatr_slim import LGATrSlim, lgatr_slim
from jetforge.taggers.lloca import LLoCa, lloca
from jetforge.taggers.lorentznet import LorentzNet, lorentznet
from jetforge.taggers.lundnet import LundNet, lundnet2, lundnet3, lundnet4, lundnet5
from jetforge.taggers.particle_transformer import ParticleTransformer, part
from jetforge.taggers.particlenet import ParticleNet, particlenet, particlenet_lite
from jetforge.taggers.pcnn import ParticleCNN, pcnn
from jetforge.taggers.pelican import Pelican, pelican
from jetforge.taggers.recurrent import RecurrentNetwork, gru, lstm, lund_lstm
from jetforge.taggers.resnext import ResNeXt, resnext50
from jetforge.taggers.store import describe_tagger, load_tagger, save_tagger, weights_sha256
from jetforge.taggers.topodnn import topodnn
from jetforge.taggers.transformer import Transformer, transformer

__all__ = [
    "CNNRNN",
    "BoostedTrees",
    "DenseNetwork",
    "EnergyFlowNetwork",
    "HighLevelDNN",
    "ImageCNN",
    "LGATr",
    "LGATrSlim",
    "LLoCa",
    "LorentzNet",
    "LundNet",
    "ParticleCNN",
    "ParticleFlowNetwork",
    "ParticleNet",
    "ParticleTransformer",
    "Pelican",
    "RecurrentNetwork",
    "ResNeXt",
    "Tagger",
    "Transformer",
    "boosted_trees",
    "cnn_rnn",
    "create_tagger",
    "dense",
    "dense_student",
    "describe_tagger",
    "efn",
    "gru",
    "hldnn",
    "image_cnn",
    "keep_freed_memory",
    "lgatr",
    "lgatr_slim",
    "list_taggers",
    "lloca",
    "load_tagger",
    "lorentznet",
    "lstm",
    "lund_lstm",
    "lundnet2",
    "lundnet3",
    "lundnet4",
    "lundnet5",
    "part",
    "particlenet",
    "particlenet_lite",
    "pcnn",
    "pelican",
    "pfn",
    "register_tagger",
    "resnext50",
    "save_tagger",
    "tagger_arguments",
    "tagger_summary",
    "topodnn",
    "transformer",
    "weights_sha256",
]
