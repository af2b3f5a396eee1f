"""The synthetic set: balanced or as asked, the same bytes in any batches, whole or not there."""

import jax.numpy as jnp
import numpy as np
import pytest

from ddpm_jax import rundir
from ddpm_jax.assembly import denoising, networks
from ddpm_jax.data import npz, source
from ddpm_jax.jobs import export, train
from ddpm_jax.models import drawn_file, trained


def images(workdir):
    with np.load(rundir.synthetic(workdir), allow_pickle=False) as made:
        return made["image"], made["label"]


def test_batches_of_64_and_of_250_give_the_same_bytes(config, model):
    config.export.num_images = 1000
    found = {}
    for size in (64, 250):
        config.sampling.batch_size = size
        rundir.result_path(model, "export").unlink(missing_ok=True)
        export.run(config, model)
        found[size] = images(model)[0].tobytes()
    assert found[64] == found[250]


def test_a_smaller_set_is_the_beginning_of_a_larger_one(config, model):
    export.run(config, model)
    larger, _ = images(model)
    config.export.num_images = 37
    export.run(config, model)
    smaller, labels = images(model)
    np.testing.assert_array_equal(smaller, larger[:37])
    assert labels.tolist() == [i % 10 for i in range(37)]


def test_an_interrupted_export_resumes_and_ends_in_the_same_bytes(config, model, monkeypatch):
    whole = export.run(config, model)
    expected = rundir.synthetic(model).read_bytes()
    rundir.result_path(model, "export").unlink()
    rundir.synthetic(model).unlink()

    drawn = []
    build = trained.build_draw

    def dies_after_one_batch(*arguments):
        draw = build(*arguments)

        def some(params, labels, first, size):
            for number, batch in enumerate(draw(params, labels, first, size)):
                if number == 1 and not drawn:
                    drawn.append(first)
                    raise KeyboardInterrupt
                yield batch

        return some

    monkeypatch.setattr(export.trained, "build_draw", dies_after_one_batch)
    with pytest.raises(KeyboardInterrupt):
        export.run(config, model)
    assert not rundir.synthetic(model).exists()
    (partial,) = (model / "synthetic.partial").iterdir()
    assert partial.stat().st_size == 20 * 8 * 8  # the first batch is kept

    assert export.run(config, model)["image_sha256"] == whole["image_sha256"]
    assert rundir.synthetic(model).read_bytes() == expected
    assert not (model / "synthetic.partial").exists()


@pytest.mark.parametrize("done", [1000, 900])
def test_a_resumed_export_draws_the_batches_of_an_undisturbed_one(
    config, tmp_path, monkeypatch, on_one_device, done
):
    """In a program of another batch shape, images could be others in their last bits."""
    begun, put = [], trained.devices.put_batch

    def noted(placement, batch):
        begun.append(batch["index"].tolist())
        return put(placement, batch)

    monkeypatch.setattr(trained.devices, "put_batch", noted)
    monkeypatch.setattr(
        trained.denoising,
        "build_sampler",
        lambda *arguments: lambda weights, label, keys: jnp.zeros((len(label), 8, 8, 1)),
    )
    config.sampling.batch_size = 0
    net, table = networks.build_net(config, 10), denoising.build_levels(config.schedule)
    model = trained.Model(net, denoising.Weights({}), table, tuple("0123456789"), {})
    file, drawn = tmp_path / "images.u8", {}
    for first in (0, done):
        file.write_bytes(bytes(64 * first))
        drawn_file.draw(config, model, np.zeros(1010, np.int32), None, file, keep=lambda: None)
        drawn[first] = begun.copy()
        begun.clear()
        assert file.stat().st_size == 64 * 1010
    assert [len(batch) for batch in drawn[0]] == [250] * 5
    assert drawn[done] == drawn[0][done // 250 :]


def test_a_set_says_which_real_images_it_is_made_after(config, model):
    export.run(config, model)
    assert npz.load_meta(model / "synthetic.npz")["real"] == "digits"


def test_more_images_than_one_file_holds_are_refused_before_they_are_drawn(
    config, model, monkeypatch
):
    monkeypatch.setattr(npz, "MAX_BYTES", 30 * 64)
    monkeypatch.setattr(drawn_file, "draw", lambda *arguments, **named: pytest.fail("it draws"))
    config.export.num_images = 40
    with pytest.raises(ValueError, match=r"40 images of 8x8 pixels are 2,560 bytes; .*: 30 images"):
        export.run(config, model)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("folder:of/mine/photos", "folder:photos"),
        ("npz:a/images.npz", "npz:images.npz"),
        ("hf:somebody/images", "hf:somebody/images"),
        ("tfds:cifar10", "tfds:cifar10"),
        ("digits", "digits"),
        ("", ""),
    ],
)
def test_a_published_set_names_no_folder_of_the_machine(name, said):
    assert source.without_folders(name) == said


def test_a_dataset_on_disk_is_named_without_its_folder(tmp_path):
    (tmp_path / "set").mkdir()
    assert source.without_folders(f"hf:{tmp_path}/set") == "hf:set"


def test_class_counts_are_kept(config, model):
    config.export.class_counts = (3, 0, 1, 0, 0, 0, 0, 0, 0, 5)
    assert export.run(config, model)["class_counts"].tolist() == [3, 0, 1, 0, 0, 0, 0, 0, 0, 5]
    assert images(model)[1].tolist() == [0, 2, 9, 0, 9, 0, 9, 9, 9]


@pytest.mark.parametrize("counts", [(1, 2), (0,) * 10, (-1, *[1] * 9)])
def test_class_counts_that_do_not_fit_are_refused(config, model, counts):
    config.export.class_counts = counts
    with pytest.raises(ValueError, match="wanted 10 counts"):
        export.run(config, model)


def test_openai_keys(config, model):
    config.export.openai_keys = True
    export.run(config, model)
    with np.load(rundir.synthetic(model), allow_pickle=False) as made:
        assert made["arr_0"].shape == (100, 8, 8, 1) and made["arr_1"].shape == (100,)


@pytest.mark.slow
def test_the_chain_of_an_unconditional_model_leaves_its_classifiers_out(program, tmp_path):
    done = program("--config.net.class_conditional=False", f"--workdir={tmp_path}")
    assert done.returncode == 0, done.stderr
    for mode in ("classify", "compare"):
        assert f"[{mode}] left out: {tmp_path}/synthetic.npz has no labels" in done.stdout
    assert not npz.has_labels(tmp_path / "synthetic.npz")
    assert rundir.result(tmp_path, "evaluate")["frechet_conv4"]["value"] > 0
    assert (tmp_path / "report.html").exists()
    done = program(
        "--config.net.class_conditional=False", "--mode=classify", f"--workdir={tmp_path}"
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ")


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_quickly")
def test_an_unconditional_model_of_one_class_makes_that_class(config, tmp_path):
    config.net.class_conditional = False
    config.data.classes = ("3",)
    train.run(config, tmp_path)
    export.run(config, tmp_path)
    assert set(images(tmp_path)[1]) == {0}


def test_a_batch_is_begun_before_the_one_before_it_is_waited_for(config, monkeypatch):
    """So that the device works while a batch is written; and all batches are one program."""
    story, traced = [], []

    def blank(params, label, keys):
        traced.append(len(label))
        return jnp.zeros((len(label), 8, 8, 1))

    put, gather = trained.devices.put_batch, trained.devices.gather
    monkeypatch.setattr(trained.denoising, "build_sampler", lambda *arguments: blank)
    monkeypatch.setattr(
        trained.devices, "put_batch", lambda *given: (story.append("begin"), put(*given))[1]
    )
    monkeypatch.setattr(
        trained.devices, "gather", lambda batch: (story.append("wait"), gather(batch))[1]
    )
    config.sampling.batch_size = 8
    net = networks.build_net(config, 10)
    draw = trained.build_draw(config, net, denoising.build_levels(config.schedule), "export")
    sizes = [len(images) for images in draw(denoising.Weights({}), np.zeros(19, np.int32))]
    assert story == ["begin", "begin", "wait", "begin", "wait", "wait"]
    assert sizes == [8, 8, 3] and traced == [8]


@pytest.mark.parametrize(
    ("platform", "side", "patch_size", "given", "on_each"),
    [
        ("cpu", 32, 1, 0, 8),
        ("cpu", 32, 2, 0, 32),  # folded into 16 x 16 places
        ("cpu", 512, 1, 0, 1),  # more than the caches hold is drawn one by one
        ("gpu", 32, 1, 0, 250),
        ("cpu", 32, 1, 40, 40),
    ],
)
def test_how_many_images_are_drawn_at_once(
    config, monkeypatch, on_all_devices, platform, side, patch_size, given, on_each
):
    """With 64 channels, 8 images of 32 x 32 are 2 MiB."""
    config.net.base_channels, config.net.unet.patch_size = 64, patch_size
    config.data.image_size, config.sampling.batch_size = side, given
    monkeypatch.setattr(trained.devices.Placement, "platform", platform)
    num = trained.devices.place().num_devices
    per_call = on_each * num if platform == "cpu" and not given else on_each
    assert trained.rows_at_once(config, 10_000) == -(-per_call // num) * num
    assert trained.rows_at_once(config, 1) == num


def test_a_batch_of_less_than_no_image_is_refused(config):
    config.sampling.batch_size = -1
    with pytest.raises(ValueError, match=r"sampling\.batch_size is -1; it must be at least 0"):
        trained.rows_at_once(config, 10)
