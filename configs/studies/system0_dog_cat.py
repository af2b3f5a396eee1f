"""Dog or cat, eight breeds of Oxford-IIIT Pet at 64x64: does adding 100 synthetic dogs help a classifier?

python -m ddpm_jax.main --config=configs/studies/system0_dog_cat.py

Time: not measured; made for GPUs. Result: not measured; results/classify.json would hold it. The original:
73.60 % with real images, 79.44 % with 100 synthetic dogs added, one seed each. It fixes what
system0_car_truck.py fixes, and test images in the generator's training, which the original's loader seems to
have let in.
"""

from ml_collections import ConfigDict

from configs.studies import system0_car_truck


def get_config():
    config = system0_car_truck.get_config()
    config.data.source = "tfds:oxford_iiit_pet"
    config.data.classes = ()
    config.data.groups = ConfigDict(
        {
            "cat": ("Bengal", "Birman", "Bombay", "British_Shorthair"),
            "dog": ("american_pit_bull_terrier", "basset_hound", "beagle", "great_pyrenees"),
        }
    )
    config.export.class_counts = (0, 100)
    config.classifier.learning_rate = 1e-3
    config.classifier.augment.rotation = 10.0
    return config
