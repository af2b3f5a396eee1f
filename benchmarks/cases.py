"""What is measured: networks, batches, and the recipe that both contenders follow."""

import argparse
import json

from configs import cifar10, default, digits
from configs.studies import fashion_mnist_hour

WHATS = ("train", "forward", "sampler", "classifier", "data", "loop", "launch")
# Side and channels of the images that `classifier` trains on.
CLASSIFIERS = {"classifier_8": (8, 1), "classifier_28": (28, 1), "classifier_32": (32, 3)}
# Training images of the networks whose data is at hand, `fashion` only with --data-dir.
NUM_IMAGES = {"tiny": 1257, "digits": 1257, "fashion": 54_000}
# What a GPU is asked for, and what is said to be missing where there is none.
ON_A_GPU = [
    {"what": "train", "network": "cifar10", "batch": batch, "dtype": "bfloat16"}
    for batch in (128, 512, 2048)
]


def gray64():
    config = default.get_config()
    config.data.image_size = 32
    config.net.multipliers = (1, 2, 2, 2)
    config.net.unet.attention_resolutions = (16,)
    config.net.class_conditional = False
    return config


def paper():
    config = cifar10.get_config()
    config.net.class_conditional = False
    return config


def fashion():
    config = fashion_mnist_hour.with_adamw()
    config.training.batch_size = 128
    return config


def tiny():
    config = digits.get_config()
    config.net.multipliers = (1,)
    config.net.unet.num_res_blocks = 1
    config.training.batch_size = 8
    return config


NETWORKS = {
    "gray64": gray64,
    "cifar10": paper,
    "digits": digits.get_config,
    "fashion": fashion,
    "tiny": tiny,
}


def cases(what: str, arguments: argparse.Namespace) -> list[dict]:
    """One for each row of the table."""
    if what == "classifier":
        return [classifier_case(network) for network in arguments.classifiers]
    found = []
    for network in arguments.networks:
        config = config_of(network, arguments)
        case = {"what": what, "network": network, "config": config}
        if what == "sampler":
            # Without labels: the peer's pipeline has none.
            config["net"]["class_conditional"] = False
            found.append({**case, "batch": arguments.samples})
        elif what in ("train", "forward"):
            found += [{**case, "batch": batch} for batch in arguments.batches]
        elif what in ("data", "loop") and at_hand(network, arguments):
            num = {"batch": config["training"]["batch_size"], "num_images": NUM_IMAGES[network]}
            found.append({**case, **num})
    return found


def classifier_case(network: str) -> dict:
    """The default classifier, conv4, on images of that size."""
    config = default.get_config()
    config.data.image_size, config.data.channels = CLASSIFIERS[network]
    config.net.class_conditional = True
    config.benchmark = {"num_classes": 10}
    plain = json.loads(config.to_json_best_effort())
    batch = config.classifier.batch_size
    return {"what": "classifier", "network": network, "batch": batch, "config": plain}


def at_hand(network: str, arguments: argparse.Namespace) -> bool:
    return network in NUM_IMAGES and (network != "fashion" or bool(arguments.data_dir))


def config_of(network: str, arguments: argparse.Namespace) -> dict:
    """The same recipe for both: linear schedule, noise predicted, plain MSE, DDIM."""
    config = NETWORKS[network]()
    config.data.data_dir = arguments.data_dir
    config.schedule.name = "linear"
    config.loss.prediction = "eps"
    config.loss.label_dropout = 0.0
    config.augment.flip = False
    config.optim.name = "adamw"
    config.optim.weight_decay = 0.0
    config.net.dtype = arguments.dtype
    config.sampling.solver = "ddim"
    config.sampling.eta = 0.0
    config.sampling.guidance_scale = 1.0
    config.sampling.num_steps = arguments.sampling_steps
    config.benchmark = {"num_classes": 10}
    return json.loads(config.to_json_best_effort())
