"""The measurements alone, of any synthetic set, or the classifier on real images if there is none.

python -m ddpm_jax.classify --real=digits --synthetic=runs/digits/synthetic.npz
"""

from ml_collections import ConfigDict

from configs import default


def get_config():
    config = ConfigDict()
    config.seed = 0
    whole = default.get_config()
    config.data, config.augment, config.evaluation = whole.data, whole.augment, whole.evaluation
    config.evaluation.likelihood_images = 0  # there is no model
    config.classifier = default.classifier()
    return config
