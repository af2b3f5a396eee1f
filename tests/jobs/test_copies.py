"""Copies under the config's augmentation: planted ones are found, and new real images raise no alarm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from simulated import num_draws
from sklearn.datasets import load_digits

from ddpm_jax.assembly import augmentation, variants
from ddpm_jax.data import augment
from ddpm_jax.evaluation import features, memorization
from ddpm_jax.measuring import copies
from ddpm_jax.measuring.distances import Sets


@pytest.fixture
def section(config):
    return config.augment


def digits(seed):
    pixels = (load_digits().images * 255 / 16).round().astype(np.uint8)[..., None]
    return pixels[np.random.default_rng(seed).permutation(1797)]


def names(section):
    return [variant.name for variant in variants.build_variants(section)]


def test_without_augmentation_images_are_sought_as_they_are(section):
    assert names(section) == ["as they are"] and variants.in_words(section) == "as they are"


def test_near_duplicates_are_sought_among_as_many_images_as_the_floor_has():
    """Among more images of one distribution, the nearest one is nearer."""
    rng = np.random.default_rng(0)
    made, real = rng.normal(size=(2000, 8)), rng.normal(size=(400, 8))
    made[1999] = made[0]
    found = copies.duplicates(Sets(made, real, real, real, real))
    assert found["duplicates"] == 2 and found["near_duplicates_share"] < 0.03


@pytest.mark.parametrize("flip", [False, True])
def test_every_shift_that_training_draws_is_among_the_variants(section, flip):
    section.shift, section.flip = 1, flip
    images = digits(0)[:40]
    found = variants.build_variants(section)
    assert len(found) == (18 if flip else 9)
    views = np.stack([variant.change(images) for variant in found])
    drawn = augmentation.build_augmentation(section)(
        jax.random.split(jax.random.key(0), 40), jnp.asarray(images)
    )
    equal = (views == np.asarray(drawn)).all(axis=(2, 3, 4))
    assert equal.any(axis=0).all() and equal.any(axis=1).sum() > 5


def test_rotations_and_crops_are_draws_of_the_augmentation(section):
    section.rotation, section.crop_scale, section.flip = 20.0, 0.7, True
    images = digits(0)[:1003]  # more than are changed at once
    found = variants.build_variants(section)
    assert len(found) == 2 * (1 + variants.DRAWS)
    views = np.stack([found[1].change(images), found[2].change(images)])
    assert views.shape == (2, *images.shape) and views.dtype == np.uint8
    same = np.repeat(images[:1], 1003, axis=0)
    assert (found[1].change(same) == views[0, 0]).all()  # one change for all images
    assert (views[0] != views[1]).any()
    np.testing.assert_array_equal(found[34].change(images), augment.mirrored(views[0]))
    assert "32 random draws" in variants.in_words(section)


def test_many_shifts_are_sought_on_a_grid_of_bounded_size(section):
    section.shift, section.flip = 9, True
    found = variants.build_variants(section)
    assert len(found) <= variants.MOST
    assert "up to 8 pixels in steps of 2, each also mirrored" in variants.in_words(section)
    assert (0, 0) not in variants.shifts(9, 100) and (8, -8) in variants.shifts(9, 100)


def test_copies_are_found_in_pixels_as_they_are_mirrored_and_shifted(section):
    section.shift, section.flip = 1, True
    images = digits(0)
    train, test = images[:1000], images[1000:1300]
    shifted = augment.window(train[20:30], -1, 1, padding=1)
    planted = np.concatenate([train[:10], train[10:20, :, ::-1], shifted, shifted[:, :, ::-1]])
    noise = np.random.default_rng(1).integers(-3, 4, planted.shape)
    noisy = np.clip(planted + noise, 0, 255).astype(np.uint8)
    queries = {"planted": planted, "noisy": noisy, "test": test}
    found = copies.search(queries, train, variants.build_variants(section))
    wanted = np.concatenate([np.arange(30), np.arange(20, 30)])
    for name in ("planted", "noisy"):
        np.testing.assert_array_equal(found[name].near.indices, wanted)
    assert found["planted"].exact.all() and (found["planted"].near.distance == 0).all()
    assert not found["noisy"].exact.any() and not found["test"].exact.any()
    nearest_real = found["test"].near.distance.min()
    assert found["noisy"].near.distance.max() < nearest_real


def test_a_search_among_fewer_pixels_finds_shifted_copies_of_large_images(section):
    section.shift = 2
    draw = np.random.default_rng(0)
    train = draw.integers(0, 256, (60, 32, 32, 3), np.uint8)
    planted = augment.window(train[:20], 2, -1, padding=2)
    found = copies.search({"made": planted}, train, variants.build_variants(section))["made"]
    np.testing.assert_array_equal(found.near.indices, np.arange(20))
    assert found.exact.all()


def test_mirrored_copies_are_found_in_features(section, tmp_path):
    images = digits(0)[:300]
    train, mirrored = images[:200], images[:50, :, ::-1]

    def flat(batch):
        return batch.reshape(len(batch), -1) / 255.0

    network = features.Network("flat", "digest", "", flat, None, 100)
    queries = {"synthetic": mirrored, "real test": images[200:]}
    points = {name: flat(part) for name, part in queries.items()}
    exact = {name: np.zeros(len(part), bool) for name, part in queries.items()}
    for flip, same in ((True, True), (False, False)):
        found = copies.search_features(queries, points, exact, flat(train), flip, network, tmp_path)
        assert (found["synthetic"].near.distance < 1e-6).all() == same
    assert (found["synthetic"].near.distance > 0.1).any()


def smooth(num, draw, prototypes=None, share=0.0):
    """8x8 images of 12 smooth patterns; a share of them taken from a few prototypes, duplicates therefore."""
    y, x = np.mgrid[:8, :8] / 8
    waves = np.stack([np.cos(np.pi * (a * y + b * x)) for a in range(4) for b in range(3)])
    made = 128 + 40 * np.einsum("np,phw->nhw", draw.normal(size=(num, 12)), waves)
    images = np.clip(made.round(), 0, 255).astype(np.uint8)[..., None]
    if prototypes is not None:
        taken = draw.random(num) < share
        images[taken] = prototypes[draw.integers(len(prototypes), size=taken.sum())]
    return images


def p_value(ours, real):
    """The p-value by pixels alone, counted as the three tests of an evaluation are."""
    fields = copies.copy_fields(ours, [real])
    return copies.together(fields["exact_p_value"], fields["p_value"], 1.0)


def false_alarms(distances, num, repeats):
    """Shares of p-values at most 0.05 and below the alarm: each test, all three together."""
    p_values = []
    for seed in range(repeats):
        draw = np.random.default_rng(seed)
        pixels, exact = distances(2 * num, draw)
        others = pixels * draw.uniform(0.8, 1.2, 2 * num).round(1)  # in features, with ties too
        first, second = (
            memorization.copy_test(d[:num], d[num:], exact=exact[:num], exact_real=exact[num:])
            for d in (pixels, others)
        )
        parts = (first.exact_p_value, first.near_p_value, second.near_p_value)
        p_values.append([*parts, copies.together(*parts)])
    p_values = np.array(p_values)
    return np.mean(p_values <= 0.05, axis=0), np.mean(p_values < copies.ALARM, axis=0)


def with_duplicates(share, step):
    """Distances in multiples of `step` (ties), and so large a share of exact copies."""

    def distances(num, draw):
        exact = draw.random(num) < share
        far = step * np.ceil(draw.gamma(4.0, size=num) / step)
        return np.where(exact, 0.0, far), exact

    return distances


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_new_real_images_raise_few_alarms(share):
    below, alarms = false_alarms(with_duplicates(share, 0.1), 359, 300)
    # 300 draws of at most 0.05: 0.09 is three standard errors above.
    assert (below < 0.09).all() and alarms[-1] <= 1 / 300


@pytest.mark.slow
def test_false_alarms_over_sizes_duplicates_and_ties(record_property):
    lines = [
        "false alarms: n, exact copies, ties: share <= 0.05 of equal, pixels, features, all; at the alarm"
    ]
    repeats = num_draws(4000)
    most = stats.binom.isf(3e-4, repeats, copies.ALARM)
    for num in (100, 359, 2000):
        for share in (0.0, 0.01, 0.3):
            for step in (1e-9, 0.5):
                below, alarms = false_alarms(with_duplicates(share, step), num, repeats)
                each = " ".join(f"{100 * value:.1f}" for value in below)
                lines.append(
                    f"n {num}, {100 * share:.0f} %, step {step:g}: {each} %; {100 * alarms[-1]:.3f} %"
                )
                assert (below < 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5).all(), lines[-1]
                assert alarms[-1] <= most / repeats, lines[-1]
    record_property("counted", "\n".join(lines))


@pytest.mark.slow
@pytest.mark.parametrize(("num", "num_train", "repeats"), [(359, 1000, 25), (2000, 4000, 4)])
@pytest.mark.parametrize("share_of_duplicates", [0.0, 0.02])
def test_power_on_planted_copies(
    section, num, num_train, repeats, share_of_duplicates, record_property
):
    section.shift, section.flip = 1, True
    sought = variants.build_variants(section)
    noise = {"": 0, " with noise": 3}
    alarms = {}
    for seed in range(repeats):
        draw = np.random.default_rng(seed)
        prototypes = smooth(5, draw)
        train, made, test = (
            smooth(size, draw, prototypes, share_of_duplicates) for size in (num_train, num, num)
        )
        most = num // 20
        kinds = {
            "exact": train[:most],
            "mirrored": train[:most, :, ::-1],
            "shifted": augment.window(train[:most], 1, -1, padding=1),
        }
        queries = {"made": made, "test": test}
        for kind, images in kinds.items():
            for name, size in noise.items():
                moved = images + draw.integers(-size, size + 1, images.shape)
                queries[kind + name] = np.clip(moved, 0, 255).astype(np.uint8)
        found = copies.search(queries, train, sought)
        test_images = found.pop("test")
        for name, planted in found.items():
            for percent in (1, 5) if name != "made" else (0,):
                copied = planted.part(slice(0, num * percent // 100))
                rest = found["made"].part(slice(len(copied.exact), None))
                together = joined(copied, rest)
                alarm = p_value(together, test_images) < copies.ALARM
                alarms.setdefault((name, percent), []).append(alarm)
    rows = [
        f"{name} {percent} %: {sum(hits)} of {repeats}" for (name, percent), hits in alarms.items()
    ]
    where = f"alarms, n {num}, {100 * share_of_duplicates:.0f} % duplicates: "
    record_property("counted", where + "; ".join(rows))
    assert sum(alarms["made", 0]) == 0
    # 18 equal images beside 7 of 359 by nature are not so rare by chance; 100 beside 40 of 2,000 are.
    if num == 2000 or share_of_duplicates == 0:
        for (name, percent), hits in alarms.items():
            assert percent != 5 or np.mean(hits) > 0.9, (name, rows)


def joined(first, second):
    near = (np.concatenate(pair) for pair in zip(first.near, second.near, strict=True))
    return copies.Found(
        memorization.Nearest(*near),
        np.concatenate([first.variant, second.variant]),
        np.concatenate([first.exact, second.exact]),
    )


def test_augmented_real_images_raise_no_alarm(config, tmp_path):
    """A generator that learned from shifted and rotated images, and copies none."""
    config.augment.shift, config.augment.rotation = 1, 10.0
    images = digits(3)
    train, test, new = images[:900], images[900:1300], images[1300:]
    changed = augmentation.build_copies(config.augment)
    made = changed(new, config.seed)

    def halves(batch):
        return batch.reshape(len(batch), 4, -1).mean(axis=2) / 255.0

    network = features.Network("halves", "digest", "", halves, None, 100)
    sought = variants.build_sought(config, test)
    sets = Sets(made, train, test, floor=train[: len(made)], reference=test)
    seen = Sets(*(halves(part) for part in sets))
    memory, _ = copies.look_for(sets, seen, network, tmp_path, sought)
    assert memory["copies"] is False and memory["num_variants"] == 33
    planted = np.concatenate([changed(train[:120], config.seed), made[120:]])
    sets = Sets(planted, *sets[1:])
    seen = Sets(halves(planted), *seen[1:])
    memory, _ = copies.look_for(sets, seen, network, tmp_path, sought)
    assert memory["copies"] is True
