"""Plots are checked by what Matplotlib was told to draw, and by files that decode."""

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from ddpm_jax.viz import class_plots, plots

ROWS = [
    {"step": 10, "loss": 1.0},
    {"step": 20, "loss": 0.5, "validation_loss": 0.6},
    {"step": 30, "loss": 0.25, "validation_loss": 0.4},
]


def drawn(axes):
    return {line.get_label(): np.stack(line.get_data(), axis=1).tolist() for line in axes.lines}


def texts(figure):
    return {text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))}


def test_history_takes_each_scalar_from_the_rows_that_have_it():
    figure = plots.history(ROWS, ["loss", "validation_loss"], title="loss")
    assert drawn(figure.axes[0]) == {
        "loss": [[10, 1.0], [20, 0.5], [30, 0.25]],
        "validation loss": [[20, 0.6], [30, 0.4]],
    }
    assert figure.axes[0].get_yscale() == "log"
    assert plots.history(ROWS, ["loss"], log=False).axes[0].get_yscale() == "linear"


def test_history_names_the_scalars_there_are_when_one_is_missing():
    with pytest.raises(ValueError, match=r"'fid'; the rows have \['loss', 'validation_loss'\]"):
        plots.history(ROWS, ["fid"])


def test_bands_are_as_wide_as_their_intervals():
    curve = plots.Curve(np.array([1, 10]), np.array([0.5, 0.75]), np.array([0.125, 0.0]))
    figure = plots.lines(
        {"real": curve}, x_label="n", y_label="accuracy", log_x=True, levels={"all": 0.9}
    )
    axes = figure.axes[0]
    band = axes.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (0.375, 0.75)
    assert drawn(axes)["all"] == [[0, 0.9], [1, 0.9]]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "10"]


def test_more_curves_than_colors_still_all_look_different():
    curves = {str(i): plots.Curve(np.arange(3), np.arange(3) + i) for i in range(9)}
    figure = plots.lines(curves, x_label="", y_label="")
    assert len({tuple(np.atleast_1d(line.get_color())) for line in figure.axes[0].lines}) == 9


def test_schedules_show_alpha_squared_and_log_snr_without_infinities():
    alpha = np.array([1.0, 0.8, 0.6, 0.0])
    figure = plots.schedules({"hand-made": (alpha, np.sqrt(1 - alpha**2))})
    left, right = figure.axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), [1, 0.64, 0.36, 0])
    # By hand: 2 log(0.8 / 0.6) and 2 log(0.6 / 0.8); the clean and the pure-noise row drop out.
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0.5753641, -0.5753641], rtol=1e-6)
    np.testing.assert_allclose(right.lines[0].get_xdata(), [1 / 3, 2 / 3])


def test_worth_is_a_dot_a_bound_two_bars_and_an_end_beyond_what_was_measured_an_arrow():
    figure = plots.equivalence(
        np.array([100.0, 200.0, 400.0, 800.0]),
        np.array([np.nan, 50.0, 60.0, np.nan]),
        np.array([[0.0, 40.0, 50.0, 30.0], [30.0, 80.0, np.inf, 90.0]]),
        between=(20.0, 90.0),
    )
    axes = figure.axes[0]
    found = {line.get_marker(): line.get_xydata().tolist() for line in axes.lines}
    assert found["o"] == [[200, 50], [400, 60]]
    assert found["^"] == [[400, 90]] and found["v"] == [[100, 20]]
    assert sorted(found["_"]) == [[100, 20], [100, 30], [800, 30], [800, 90]]
    spans = [segment[:, 1].tolist() for segment in axes.collections[0].get_segments()]
    assert spans == [[20, 30], [40, 80], [50, 90], [30, 90]]


def test_arms_are_drawn_and_written_in_percent():
    figure = plots.arms({"real": (0.983, 0.004), "synthetic": (0.958, 0.006)}, title="worth")
    assert {"98.3 ± 0.4", "95.8 ± 0.6", "real", "synthetic", "worth"} <= texts(figure)


def test_no_interval_is_drawn_beyond_100_percent():
    figure = plots.arms({"real": (0.983, 0.12)})
    (bar,) = figure.axes[0].collections[0].get_segments()
    np.testing.assert_allclose(bar[:, 0], [86.3, 100.0])


def test_a_loss_of_a_class_is_drawn_left_of_zero():
    figure = plots.arms({"lost": (-0.02, 0.05), "all lost": (-0.9, 0.2)}, low=-100)
    bars = [bars.get_segments()[0][:, 0] for bars in figure.axes[0].collections]
    np.testing.assert_allclose(bars, [[-7, 3], [-100, -70]])


def test_a_confusion_matrix_shows_shares_of_the_true_class():
    counts = np.array([[3, 1, 0], [0, 200, 1], [0, 0, 0]])
    figure = class_plots.confusion(counts, ["cat", "automobile", "absent"])
    shown = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(shown, [[75, 25, 0], [0, 20000 / 201, 100 / 201], [0, 0, 0]])
    assert {"75", "25", "100", "<1", "cat", "automobile"} <= texts(figure)


def test_a_large_confusion_matrix_has_a_color_bar_in_place_of_numbers():
    figure = class_plots.confusion(np.eye(30, dtype=np.int64), [str(i) for i in range(30)])
    assert len(figure.axes) == 2
    assert not figure.axes[0].texts


@pytest.mark.parametrize("num_classes", [3, 30])
def test_class_balance_has_one_bar_for_each_class_and_split(num_classes):
    counts = {"train": np.arange(num_classes) + 5, "test": np.arange(num_classes) + 1}
    figure = class_plots.balance(counts, [f"class {i}" for i in range(num_classes)])
    heights = [patch.get_height() for patch in figure.axes[0].patches]
    assert heights == [*counts["train"], *counts["test"]]


def test_all_letters_have_one_size_and_the_settings_of_others_stay():
    before = dict(matplotlib.rcParams)
    curves = {name: plots.Curve(np.arange(3), np.arange(3)) for name in "ab"}
    figures = [
        plots.lines(curves, x_label="x", y_label="y", title="title"),
        plots.lines(dict.fromkeys("abcdef", curves["a"]), x_label="x", y_label="y"),
        plots.arms({"real": (0.5, 0.1)}, title="title"),
        plots.schedules({"a": (np.array([1.0, 0.5]), np.array([0.0, 0.5]))}),
        class_plots.confusion(np.eye(3, dtype=np.int64), ["a", "b", "c"], title="title"),
        class_plots.balance({"train": np.arange(3), "test": np.arange(3)}, ["a", "b", "c"]),
    ]
    for figure in figures:
        shown = [text for text in figure.findobj(Text) if text.get_text()]
        assert {text.get_fontsize() for text in shown} == {plots.FONT_SIZE}
    assert dict(matplotlib.rcParams) == before


def test_a_saved_plot_is_a_picture(tmp_path):
    plots.save(tmp_path / "new" / "loss.png", plots.history(ROWS, ["loss"]))
    with Image.open(tmp_path / "new" / "loss.png") as image:
        image.load()
        assert image.width > 600


def test_ticks_of_sizes_next_to_each_other_do_not_overlap():
    sizes = np.array([100, 300, 1000, 1258])
    figure = plots.lines(
        {"real": plots.Curve(sizes, sizes)}, x_label="images", y_label="", log_x=True
    )
    assert figure.axes[0].get_xticks().tolist() == [100, 300, 1258]


@pytest.mark.parametrize("name", ["$100_$", "a_$b_$", "$5 & 10%$", "$50-$100"])
def test_class_names_are_text_and_no_formulas(name, tmp_path):
    """The first three once ended the chain, after all its classifiers were trained."""
    figures = (
        plots.arms({name: (0.5, 0.1)}, title=name),
        class_plots.confusion(np.eye(2, dtype=int), (name, "b"), title=name),
        plots.lines(
            {name: plots.Curve(np.arange(2.0), np.arange(2.0)), "b": plots.Curve(*np.eye(2))},
            x_label="x",
            y_label="y",
        ),
    )
    for number, figure in enumerate(figures):
        plots.save(tmp_path / f"{number}.png", figure)
    (axes,) = figures[0].axes
    assert axes.get_yticklabels()[0].get_text() == axes.get_title(loc="left") == plots.literal(name)
