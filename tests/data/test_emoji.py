import numpy as np
import pytest

from ddpm_jax.data import folder, source
from launch import emoji_folder

LIST = """
# group: Food & Drink
# subgroup: food-fruit
1F347                                      ; fully-qualified     # grapes E0.6 grapes
1F336 FE0F                                 ; fully-qualified     # pepper E0.7 hot pepper
1F336                                      ; unqualified         # pepper E0.7 hot pepper
# group: Flags
1F1E6 1F1E8                                ; fully-qualified     # two code points
1F3C1                                      ; fully-qualified     # chequered flag
"""


def test_emoji_of_one_code_point_are_found_with_their_group():
    assert emoji_folder.groups(LIST) == {
        "food_and_drink": ["\U0001f347", "\U0001f336"],
        "flags": ["\U0001f3c1"],
    }


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(emoji_folder, "FONT", tmp_path / "none.ttf")
    with pytest.raises(SystemExit, match=r"none\.ttf; got no such file: install"):
        emoji_folder.main(tmp_path / "emoji")
    assert not (tmp_path / "emoji").exists()


def test_the_folder_is_a_data_set_of_distinct_pictures(tmp_path):
    if not (emoji_folder.FONT.exists() and emoji_folder.LIST.exists()):
        pytest.skip("Debian's fonts-noto-color-emoji and unicode-data are not installed")
    emoji_folder.main(tmp_path / "emoji")
    read = source.in_memory(source.resize(folder.load(tmp_path / "emoji"), 32, 3))
    assert len(read.class_names) == 8 and "food_and_drink" in read.class_names
    assert min(np.bincount(read.labels)) >= emoji_folder.FEWEST
    assert len({image.tobytes() for image in read.images}) == len(read.labels) > 1000
    # White corners, and something coloured on them.
    assert np.median(read.images[:, 0, 0]) == 255 and read.images.std(axis=(1, 2, 3)).min() > 5
