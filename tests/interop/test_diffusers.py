"""Weights from and to diffusers: its own networks and schedulers say what the numbers have to be."""

import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import ddpm_jax
from configs import default
from ddpm_jax import rundir
from ddpm_jax.assembly import denoising
from ddpm_jax.diffusion import solvers
from ddpm_jax.interop import diffusers_folder, scheduler_config, unet_exported
from ddpm_jax.jobs import export_weights, import_weights
from ddpm_jax.models import checkpoint_choice

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
safetensors_torch = pytest.importorskip("safetensors.torch")

pytestmark = pytest.mark.usefixtures("module_compiled_quickly")

# Of google/ddpm-cifar10-32's kind, but thin: each of its layers is there.
LIKE_CIFAR10 = {
    "sample_size": 16,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (16, 32, 32),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
    "norm_eps": 1e-6,
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
}
WITH_CLASSES = LIKE_CIFAR10 | {
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (16, 32),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 8,
    "resnet_time_scale_shift": "scale_shift",
    "attn_norm_num_groups": 8,
    "num_class_embeds": 3,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
}
# As diffusers' training example makes it: what is left out has the default of `UNet2DModel`.
DEFAULTS = {
    "sample_size": 16,
    "block_out_channels": (16, 32, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
}
SCHEDULERS = {
    "defaults": {"beta_schedule": "linear", "prediction_type": "epsilon"},
    "unconditional": {"beta_schedule": "linear", "prediction_type": "epsilon"},
    "classes": {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"},
}
NETS = {"unconditional": LIKE_CIFAR10, "classes": WITH_CLASSES, "defaults": DEFAULTS}
FULL = LIKE_CIFAR10 | {
    "sample_size": 32,
    "block_out_channels": (128, 256, 256, 256),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 32,
}
GRAY = FULL | {
    "sample_size": 28,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (64, 128),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}


def network(fields):
    torch.manual_seed(0)
    return diffusers.UNet2DModel(**fields).eval()


def written(folder, net, **scheduler):
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=1000, **scheduler)
    diffusers.DDPMPipeline(net, scheduler).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=list(NETS))
def imported(request, tmp_path_factory):
    """diffusers' network, and the work directory of the run that it was imported to."""
    folder = tmp_path_factory.mktemp(request.param)
    net = network(NETS[request.param])
    source = written(folder / "theirs", net, **SCHEDULERS[request.param])
    import_weights.run(default.get_config(), folder / "run", source)
    return net, folder / "run"


def noise(net, num):
    fields = net.config
    rng = np.random.default_rng(0)
    shape = (num, fields.in_channels, fields.sample_size, fields.sample_size)
    return rng.standard_normal(shape).astype(np.float32)


def labels_of(net, num):
    return np.arange(num) % net.config.num_class_embeds if net.config.num_class_embeds else None


def theirs(net, x, t, labels=None):
    given = {} if labels is None else {"class_labels": torch.tensor(labels)}
    with torch.no_grad():
        return net(torch.tensor(x), torch.tensor(t), **given).sample.numpy()


def ours(model, x, t, labels):
    """The network's own output; t is theirs."""
    inner = model._model
    given = None if labels is None else jnp.asarray(labels, jnp.int32)
    apply = jax.jit(inner.net.apply)
    made = apply(inner.weights.net, x.transpose(0, 2, 3, 1), jnp.asarray(t + 1.0), given)
    return np.asarray(made).transpose(0, 3, 1, 2)


def greatest_gap_at_20_levels(net, other):
    """`other(x, t, labels)` against diffusers' network."""
    x, t = noise(net, 20), np.linspace(0, 999, 20).round().astype(np.int64)
    labels = labels_of(net, 20)
    expected = theirs(net, x, t, labels)
    assert expected.std() > 0.05  # it is not nothing that is equal
    return np.abs(other(x, t, labels) - expected).max()


def test_imported_weights_give_the_same_outputs(imported, record_property):
    net, workdir = imported
    model = ddpm_jax.load(workdir)
    gap = greatest_gap_at_20_levels(net, lambda x, t, labels: ours(model, x, t, labels))
    record_property("gap", float(gap))
    assert gap < 1e-4


def test_ten_steps_of_ddim_end_in_the_same_images(imported, record_property):
    net, workdir = imported
    model = ddpm_jax.load(workdir)
    x, labels = noise(net, 2), labels_of(net, 2)
    scheduler = diffusers.DDIMScheduler.from_config(
        json.loads((workdir.parent / "theirs/scheduler/scheduler_config.json").read_text()),
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(10)
    xt = torch.tensor(x)
    for t in scheduler.timesteps:
        output = torch.tensor(theirs(net, xt.numpy(), np.array([int(t)] * 2), labels))
        # Like this program, with the noise that goes with the clipped estimate.
        step = scheduler.step(output, int(t), xt, use_clipped_model_output=True)
        xt = step.prev_sample
    model.config.sampling.num_steps = 10
    denoise = model.denoiser([0, 0] if labels is None else list(map(int, labels)))
    keys = jax.random.split(jax.random.key(0), 2)

    @jax.jit
    def sample(start):
        return solvers.sample(solvers.ddim(0.0), denoise, model.levels, start, keys)

    made = np.asarray(sample(x.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
    gap = np.abs(made - xt.numpy()).max()
    record_property("gap", float(gap))
    assert gap < 1e-3


def config_of(workdir):
    return ddpm_jax.load(workdir).config


def test_exported_again_they_are_loaded_by_diffusers(imported, record_property):
    net, workdir = imported
    export_weights.run(config_of(workdir), workdir)
    pipeline = diffusers.DDPMPipeline.from_pretrained(workdir / "diffusers")
    gap = greatest_gap_at_20_levels(
        net, lambda x, t, labels: theirs(pipeline.unet.eval(), x, t, labels)
    )
    record_property("gap", float(gap))
    assert gap < 1e-4
    given = json.loads((workdir.parent / "theirs/scheduler/scheduler_config.json").read_text())
    scheduler = diffusers.DDPMScheduler.from_config(given)
    torch.testing.assert_close(pipeline.scheduler.betas, scheduler.betas, atol=1e-7, rtol=1e-5)
    assert pipeline.scheduler.config.prediction_type == scheduler.config.prediction_type


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "num"),
    [pytest.param(FULL, 35_746_307, marks=pytest.mark.long), (GRAY, None)],
    ids=["ddpm-cifar10-32", "gray"],
)
def test_networks_at_their_real_size(fields, num, tmp_path, record_property):
    net = network(fields)
    source = written(tmp_path / "theirs", net, **SCHEDULERS["unconditional"])
    import_weights.run(default.get_config(), tmp_path / "run", source)
    if num:
        assert sum(p.numel() for p in net.parameters()) == num
    model = ddpm_jax.load(tmp_path / "run")
    gap = greatest_gap_at_20_levels(net, lambda x, t, labels: ours(model, x, t, labels))
    record_property("gap", float(gap))
    assert gap < 1e-4


REFUSED = {
    "resampling in the blocks": (
        {"down_block_types": ("DownBlock2D", "ResnetDownsampleBlock2D", "DownBlock2D")},
        r"down_block_types\[1\] is 'ResnetDownsampleBlock2D'; this program has DownBlock2D and",
    ),
    "padding of two": ({"downsample_padding": 2}, "downsample_padding is 2; this program has 0 or 1"),
    "another embedding": ({"time_embedding_type": "fourier"}, "time_embedding_type is 'fourier'; this"),
    "more outputs": ({"out_channels": 6}, "out_channels is 6, wanted in_channels, 3: a learned variance"),
    "latent images": (
        {"in_channels": 4, "out_channels": 4}, "in_channels is 4; this program has 1 or 3",
    ),
    "no norm in the middle": (
        {"resnet_time_scale_shift": "scale_shift"},
        "attn_norm_num_groups is None, wanted 8: attention follows a group norm here",
    ),
    "heads that do not divide": (
        {"attention_head_dim": 12}, "32 channels do not divide into heads of 12 channels",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A directory that can be imported."""
    folder = tmp_path_factory.mktemp("sound")
    return written(folder / "theirs", network(LIKE_CIFAR10), **SCHEDULERS["unconditional"])


def refused(source, tmp_path, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        import_weights.run(default.get_config(), tmp_path / "run", source)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("case", list(REFUSED))
def test_a_network_that_this_program_does_not_have_is_refused(case, sound, tmp_path):
    fields, message = REFUSED[case]
    source = shutil.copytree(sound, tmp_path / "theirs")
    path = source / "unet/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    refused(source, tmp_path, message)


SPOILT = {
    "truncated": (lambda tensors, raw: raw[: len(raw) // 2], "is no sound safetensors file"),
    "another name": (
        lambda tensors, raw: saved(
            {name.replace("conv_in", "conv_first"): value for name, value in tensors.items()}
        ),
        "there is no tensor 'conv_in.weight'",
    ),
    "one layer too many": (
        lambda tensors, raw: saved(tensors | {"extra.weight": tensors["conv_in.weight"]}),
        "the tensor 'extra.weight' belongs to no layer of this network",
    ),
    "another shape": (
        lambda tensors, raw: saved(tensors | {"conv_in.bias": np.zeros(3, np.float32)}),
        r"layer stem/bias has shape \(3,\), wanted \(16,\)",
    ),
    "not finite": (
        lambda tensors, raw: saved(tensors | {"conv_in.bias": np.full(16, np.nan, np.float32)}),
        "layer stem/bias has values that are not finite",
    ),
}


def saved(tensors):
    return safetensors.numpy.save(tensors)


@pytest.mark.parametrize("case", list(SPOILT))
def test_weights_that_do_not_fit_are_refused(case, sound, tmp_path):
    spoil, message = SPOILT[case]
    source = shutil.copytree(sound, tmp_path / "theirs")
    path = source / "unet/diffusion_pytorch_model.safetensors"
    path.write_bytes(spoil(safetensors.numpy.load_file(path), path.read_bytes()))
    refused(source, tmp_path, message)


class Evil:
    def __reduce__(self):
        return (pathlib.Path.touch, (pathlib.Path("evil"),))


def test_a_pickled_program_is_refused_and_not_run(sound, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = shutil.copytree(sound, tmp_path / "theirs")
    (source / "unet/diffusion_pytorch_model.safetensors").unlink()
    torch.save({"conv_in.weight": Evil()}, source / "unet/diffusion_pytorch_model.bin")
    refused(source, tmp_path, "diffusion_pytorch_model.bin")
    assert not (tmp_path / "evil").exists()


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "theirs").mkdir()
    refused(tmp_path / "theirs", tmp_path, "has no unet/config.json and no config.json")
    refused(tmp_path / "absent", tmp_path, "absent is no directory")


def test_a_folder_may_be_the_current_one(sound, tmp_path, monkeypatch):
    monkeypatch.chdir(sound)
    import_weights.run(default.get_config(), tmp_path / "run", pathlib.Path("."))
    with pytest.raises(rundir.Inapplicable, match="holds weights imported from theirs; "):
        checkpoint_choice.refuse_imported(tmp_path / "run")
    assert "The model of theirs, imported." in (tmp_path / "run/config.py").read_text()


def test_files_of_before_diffusers_0_15_in_pytorchs_format_are_read(sound, tmp_path):
    """As google/ddpm-cifar10-32 was published: in one folder, attention's layers under other names."""
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    source = tmp_path / "theirs"
    source.mkdir()
    shutil.copy(sound / "unet/config.json", source)
    shutil.copy(sound / "scheduler/scheduler_config.json", source)
    tensors = safetensors_torch.load_file(sound / "unet/diffusion_pytorch_model.safetensors")
    for new, name in old.items():
        tensors = {key.replace(f".{new}.", f".{name}."): value for key, value in tensors.items()}
    torch.save(tensors, source / "diffusion_pytorch_model.bin")
    one, other = (diffusers_folder.read(folder).tensors for folder in (sound, source))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("net.unet.patch_size", 2, "net.unet.patch_size is 2; a UNet2DModel has 1"),
        ("net.name", "patch", "net.name is 'patch'; a UNet2DModel is 'unet'"),
        ("net.unet.max_period", 100.0, "net.unet.max_period is 100; a UNet2DModel has 10000"),
        (
            "loss.prediction",
            "edm",
            "loss.prediction is 'edm'; a UNet2DModel has 'eps' or 'x0' or 'v'",
        ),
        ("loss.kind", "hybrid", "loss.kind is 'hybrid': a learned variance has no counterpart"),
    ],
)
def test_what_a_unet2dmodel_does_not_have_is_not_exported(name, value, message):
    config = default.get_config()
    config.update_from_flattened_dict({name: value})
    with pytest.raises(ValueError, match=message):
        unet_exported.config_of(config, 0, null_class=False)


@pytest.mark.parametrize("name", ["linear", "cosine", "sigmoid_beta", "sigmoid_alpha_bar"])
def test_schedules_are_those_of_diffusers_and_come_back(name):
    config = default.get_config()
    config.schedule.name = name
    fields = scheduler_config.config_of(config)
    fields.pop("_class_name")
    table = denoising.build_levels(config.schedule)
    alphas = diffusers.DDPMScheduler(**fields).alphas_cumprod.sqrt().numpy()
    np.testing.assert_allclose(np.asarray(table.alpha)[1:], alphas, atol=2e-6)
    back = scheduler_config.fields_of(fields)
    assert (back["schedule.name"], back["schedule.num_steps"]) == (name, 1000)


@pytest.mark.filterwarnings("ignore:__array_")  # NumPy 2, of PyTorch
@pytest.mark.parametrize("name", scheduler_config.CLASSES)
def test_the_schedulers_that_are_read_have_these_betas(name):
    scheduler = getattr(diffusers, name)(num_train_timesteps=50, beta_start=1e-3, beta_end=0.1)
    fields = scheduler_config.fields_of(json.loads(scheduler.to_json_string()))
    config = default.get_config()
    config.update_from_flattened_dict(fields)
    betas = scheduler_config.betas_of(denoising.build_levels(config.schedule))
    np.testing.assert_allclose(betas, scheduler.betas.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("FlowMatchEulerDiscrete", {}, "_class_name is 'FlowMatchEulerDiscreteScheduler'; this"),
        ("EDMEuler", {}, "_class_name is 'EDMEulerScheduler'; this program has DDPMScheduler, "),
        ("IPNDM", {}, "_class_name is 'IPNDMScheduler'"),  # its betas are those of no config
        ("UniPCMultistep", {"use_flow_sigmas": True}, "use_flow_sigmas is True; this program"),
    ],
)
def test_schedulers_with_other_noise_levels_are_refused(name, fields, message):
    scheduler = getattr(diffusers, f"{name}Scheduler")(**fields)
    with pytest.raises(ValueError, match=message):
        scheduler_config.fields_of(json.loads(scheduler.to_json_string()))


def test_other_schedules_are_refused():
    with pytest.raises(
        ValueError, match="beta_schedule is 'scaled_linear'; this program has linear"
    ):
        scheduler_config.fields_of({"beta_schedule": "scaled_linear"})
    with pytest.raises(ValueError, match=r"trained_betas .* are those of no schedule"):
        scheduler_config.fields_of({"trained_betas": [0.1, 0.3, 0.2]})
    config = default.get_config()
    config.schedule.name = "karras"
    with pytest.raises(ValueError, match=r"alpha\^2 \+ sigma\^2 is not 1"):
        scheduler_config.config_of(config)
