"""Pictures are checked pixel by pixel: where an image must be, and that it is there unchanged."""

import numpy as np
import pytest
from PIL import Image

from ddpm_jax.viz import pictures


def images(count, height=8, width=8, channels=1, seed=0):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def enlarged(image, scale):
    rgb = np.broadcast_to(image, (*image.shape[:2], 3))
    return rgb.repeat(scale, axis=0).repeat(scale, axis=1)


def contains(picture, tile):
    """Where `tile` stands in `picture`: a search by its first row, then the whole."""
    height, width, _ = tile.shape
    windows = np.lib.stride_tricks.sliding_window_view(picture, tile.shape)
    found = np.argwhere((windows[:, :, 0, 0] == tile[0]).all(axis=(2, 3)))
    return [
        (int(y), int(x)) for y, x in found if (picture[y : y + height, x : x + width] == tile).all()
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_holds_every_image_enlarged_by_a_whole_factor_in_reading_order(channels):
    batch = images(6, channels=channels)
    picture = pictures.grid(batch, columns=3)
    places = [contains(picture, enlarged(image, 8)) for image in batch]
    assert all(len(place) == 1 for place in places)
    places = [place[0] for place in places]
    assert places == sorted(places)
    assert len({y for y, _ in places}) == 2
    assert len({x for _, x in places}) == 3


def test_labels_and_titles_move_the_images_and_leave_them_unchanged():
    batch = images(4)
    picture = pictures.grid(
        batch,
        2,
        row_labels=["zero", "one"],
        column_labels=["left", "a much longer name than fits"],
        captions=["a", "b", "c", "d"],
        title="Four images under a title that needs more than a single line to be read in full",
    )
    for image in batch:
        assert len(contains(picture, enlarged(image, 8))) == 1


def test_an_unfinished_last_row_is_filled_with_paper():
    batch = images(3)
    picture = pictures.grid(batch, 2, captions=["a", "b", "c"])
    assert all(len(contains(picture, enlarged(image, 8))) == 1 for image in batch)
    assert contains(picture, np.full((64, 64, 3), 255, np.uint8))


def test_a_grid_is_near_square_by_default_and_large_images_are_not_enlarged():
    batch = images(9, 100, 80, 3)
    height, width, _ = pictures.grid(batch).shape
    assert 300 < height < 330
    assert 240 < width < 270


def test_a_wide_grid_is_enlarged_less_than_a_narrow_one():
    assert pictures.grid(images(200), 200).shape[1] == 200 * (8 + pictures.GAP) + 14
    assert pictures.grid(images(2), 2).shape[1] == 2 * (64 + pictures.GAP) + 14


def test_a_strip_follows_one_image_along_a_row():
    cells = images(6).reshape(2, 3, 8, 8, 1)
    picture = pictures.strip(
        cells, [f"t = {t}" for t in (0, 500, 1000)], row_labels=["cat", "dog"], title="Forward"
    )
    places = [contains(picture, enlarged(cell, 8))[0] for cell in cells.reshape(6, 8, 8, 1)]
    assert [y for y, _ in places] == [places[0][0]] * 3 + [places[3][0]] * 3


def test_side_by_side_puts_image_i_of_every_column_in_row_i():
    columns = {"original": images(2), "mask": images(2, seed=1), "inpainted": images(2, seed=2)}
    picture = pictures.side_by_side(columns, row_labels=["a", "b"], title="Inpainting")
    places = [[contains(picture, enlarged(c[i], 8))[0] for c in columns.values()] for i in (0, 1)]
    for row in places:
        assert len({y for y, _ in row}) == 1
        assert [x for _, x in row] == sorted(x for _, x in row)
    assert places[0][0][0] < places[1][0][0]


def test_a_saved_picture_reads_back_the_same(tmp_path):
    picture = pictures.grid(images(4, channels=3))
    pictures.save(tmp_path / "new" / "grid.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "grid.png")), picture)


def test_a_gif_plays_all_frames_in_order_and_holds_the_last(tmp_path):
    frames = [
        pictures.grid(np.full((1, 8, 8, 1), 25 * i, np.uint8), title=f"t = {i}") for i in range(5)
    ]
    pictures.gif(tmp_path / "reverse.gif", frames, seconds=1.0, hold=2.0)
    with Image.open(tmp_path / "reverse.gif") as movie:
        assert movie.n_frames == 5
        assert movie.info["loop"] == 0
        durations = []
        for i in range(5):
            movie.seek(i)
            durations.append(movie.info["duration"])
            shown = np.asarray(movie.convert("RGB")).astype(int)
            assert abs(shown[-12, 12] - 25 * i).max() <= 8  # a palette of 256 colors
    assert durations == [200] * 4 + [2200]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"row_labels": ["a"]}, "got 1 row labels, wanted 2"),
        ({"column_labels": ["a", "b", "c"]}, "got 3 column labels, wanted 2"),
        ({"captions": ["a"] * 5}, "got 5 captions, wanted 4"),
    ],
)
def test_labels_must_be_as_many_as_what_they_name(labels, message):
    with pytest.raises(ValueError, match=message):
        pictures.grid(images(4), 2, **labels)


def test_too_few_captions_are_not_filled_up_over_images():
    with pytest.raises(ValueError, match="got 2 captions, wanted 3"):
        pictures.grid(images(3), 2, captions=["a", "b"])


def test_images_that_are_not_pixels_are_refused():
    with pytest.raises(ValueError, match="at least one image"):
        pictures.grid(images(0))
    with pytest.raises(ValueError, match="4 channels, wanted 1 or 3"):
        pictures.grid(images(2, channels=4))
    # Shape checks are on in tests and catch this earlier; in use, the function itself must.
    with pytest.raises(ValueError, match="float32, wanted uint8"):
        pictures.grid.__wrapped__(images(2).astype(np.float32))


def test_frames_of_different_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="of one size"):
        pictures.gif(tmp_path / "x.gif", [pictures.grid(images(1)), pictures.grid(images(2))])


def test_a_saved_png_is_loaded_as_it_was(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    pictures.save(tmp_path / "p.png", picture)
    np.testing.assert_array_equal(pictures.load(tmp_path / "p.png"), picture)
