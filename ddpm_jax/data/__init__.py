"""Files on disk to batches of uint8 images and int32 labels. Knows no network and no device."""
