"""Files on disk -> batches of uint8 images with int32 labels.

A loader (`digits`, `npz`, `folder`, `tfds`) makes a `source.Source`; functions from Source to
Source filter, split and resize it; `order` reads it in batches; `augment` works on the device,
inside the step. No other file here knows a device, and none knows a network.
"""
