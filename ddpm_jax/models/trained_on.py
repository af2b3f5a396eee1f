"""Whether a synthetic set and the real images that it is measured on go together."""

import pathlib

from ml_collections import ConfigDict

from ddpm_jax.data import npz, source


def require(path: pathlib.Path, config: ConfigDict, train: source.Source) -> None:
    """Raises ValueError if the generator of the set at `path` was trained on other images than `train`.

    The source is then divided in another way, and some of its test images may be among those. A set is not
    refused that does not say what its generator was trained on, or whose generator had another source or
    other classes; nor is any if `train` is a part (`per_class`): the test images are then the whole's.

    config: the data section that `train` is of.
    """
    meta = npz.load_meta(path) if npz.has_meta(path) and not config.per_class else {}
    about = (source.without_folders(config.source), list(train.class_names))
    if meta.get("data_sha256") is None or (meta["real"], meta["classes"]) != about:
        return
    found = source.fingerprint(train)
    if found != meta["data_sha256"]:
        raise ValueError(
            f"the training images are not those of the generator of {path}, so it may have seen some of the "
            f"test images: SHA-256 was {meta['data_sha256']}, is {found}; give the seed and the fields of "
            "`data` of that training, and bring its images back"
        )
