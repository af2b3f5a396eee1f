"""Datasets of TFDS that are not there: their real features, splits and class names, random images."""

import contextlib
import os
from unittest import mock

import numpy as np
import tensorflow_datasets

CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck".split()


@contextlib.contextmanager
def mocked(name, data_dir, splits, num_examples=20):
    """The dataset with its real features and these splits, as if prepared, with random images."""
    builder = tensorflow_datasets.builder(name, data_dir=data_dir, file_format="array_record")
    os.makedirs(builder.data_dir)
    infos = [
        tensorflow_datasets.core.SplitInfo(
            name=split,
            shard_lengths=[num_examples],
            num_bytes=0,
            filename_template=tensorflow_datasets.core.ShardedFileTemplate(
                data_dir=builder.data_dir,
                dataset_name=builder.name,
                split=split,
                filetype_suffix="array_record",
            ),
        )
        for split in splits
    ]
    builder.info.set_splits(tensorflow_datasets.core.splits.SplitDict(infos))
    if name == "cifar10":  # TFDS finds the names in the archive
        builder.info.features["label"].names = CIFAR10
    builder.info.write_to_directory(builder.data_dir)
    # The mock draws four random numbers for a bounding box, which then need not be one.
    box = tensorflow_datasets.features.BBoxFeature
    any_box = mock.patch.object(
        box, "encode_example", lambda self, numbers: np.asarray(numbers, "f4")
    )
    # The mock of reading several records wants a `self` that it is not given (TFDS 4.9.10).
    several = mock.patch(
        "tensorflow_datasets.testing.mocking._getitems",
        lambda keys, generator: [generator[key] for key in keys],
    )
    with (
        any_box,
        several,
        tensorflow_datasets.testing.mock_data(num_examples=num_examples, data_dir=data_dir),
    ):
        yield
