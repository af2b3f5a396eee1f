r"""The classifier alone, on any real source, with or without a synthetic set.

python -m ddpm_jax.classify --config=configs/classifier.py --real=digits --synthetic=runs/digits/synthetic.npz
"""

from ml_collections import ConfigDict

from configs import default


def get_config():
    config = ConfigDict()
    config.seed = 0
    config.data = default.get_config().data
    config.classifier = default.classifier()
    return config
