"""Every field there is, with its meaning. The other configs start from here and change a few.

A field is set on the command line by its dotted name: `--config.training.num_steps=500`. A name that does
not exist is an error. Lists of choices are held to by `ddpm_jax/assembly/`.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()

    # All randomness of a run: weights, data order, noise, dropout, samples, classifiers.
    config.seed = 0

    config.data = ConfigDict()
    # "digits" (bundled with scikit-learn), "tfds:NAME", "npz:PATH" or "folder:PATH" (class = sub-folder).
    config.data.source = "digits"
    # Where TFDS keeps prepared datasets; empty: its own default.
    config.data.data_dir = ""
    # Archives that you already have, for TFDS to prepare a dataset from without a network.
    config.data.manual_dir = ""
    # Classes to keep, by name or index, relabelled 0.. in this order; empty: all.
    config.data.classes = ()
    # Side in pixels: the shorter side is resized to it, the middle of the longer one kept.
    config.data.image_size = 8
    # 1 (grayscale) or 3 (RGB); images are converted.
    config.data.channels = 1
    # Shares of each class, taken from the training split where a dataset has no such split of its own.
    config.data.validation_fraction = 0.1
    config.data.test_fraction = 0.2
    # Decoded images are kept in memory up to this many MiB, and streamed from disk above.
    config.data.memory_mib = 4096

    # Augmentation of the generator's training images, on the device, in each step.
    config.augment = ConfigDict()
    # Mirror half of the images; wrong for digits and letters.
    config.augment.flip = False

    config.schedule = ConfigDict()
    # "linear" (Ho et al. 2020) or "cosine" (Nichol & Dhariwal 2021).
    config.schedule.name = "cosine"
    # T, the number of noising steps.
    config.schedule.num_steps = 1000
    # First and last beta of the linear schedule.
    config.schedule.beta_start = 1e-4
    config.schedule.beta_end = 0.02

    config.net = ConfigDict()
    config.net.name = "unet"
    # Channels at full resolution, and their multiples level by level; each level halves the image.
    config.net.base_channels = 64
    config.net.multipliers = (1, 2)
    config.net.num_res_blocks = 2
    # Side lengths in pixels at which there is self-attention; empty: none.
    config.net.attention_resolutions = ()
    config.net.num_heads = 1
    config.net.dropout = 0.0
    # Groups that share a mean and a variance in GroupNorm; must divide every width.
    config.net.num_groups = 32
    # Side of the square of pixels that the network takes as one position (space-to-depth); 1: none.
    config.net.patch_size = 1
    # Give the network the label; needed for guidance and for a labelled synthetic set of several classes.
    config.net.class_conditional = True
    # Compute dtype, "float32" or "bfloat16"; parameters and statistics are float32 in both.
    config.net.dtype = "float32"

    config.loss = ConfigDict()
    # What the network predicts: "eps", "x0" or "v" (Salimans & Ho 2022).
    config.loss.prediction = "v"
    # Share of training examples whose label is replaced by the null class (Ho & Salimans 2022).
    config.loss.label_dropout = 0.1

    config.optim = ConfigDict()
    # "adam" or "adamw".
    config.optim.name = "adamw"
    # Peak learning rate, and its course after the warm-up: "constant" or "cosine" (to zero).
    config.optim.learning_rate = 1e-3
    config.optim.schedule = "cosine"
    # Steps in which the learning rate rises from zero.
    config.optim.warmup_steps = 50
    config.optim.beta1 = 0.9
    config.optim.beta2 = 0.99
    # Decoupled, AdamW only.
    config.optim.weight_decay = 0.0
    # Largest global norm of the gradient; 0: no clipping.
    config.optim.clip_norm = 1.0
    # Decay of the averaged weights per step, reached by way of (1 + step) / (10 + step).
    config.optim.ema_decay = 0.999

    config.training = ConfigDict()
    # Images a step, over all devices and hosts.
    config.training.batch_size = 128
    # Steps of the optimizer.
    config.training.num_steps = 1000
    # Micro-batches that a batch is cut into, to fit into memory.
    config.training.accumulate = 1
    # Compiled by "jit" over shardings, or by "pmap" over replicas.
    config.training.parallel = "jit"
    # In steps: a line of metrics, the validation loss, a checkpoint, a grid of samples.
    config.training.log_every = 50
    config.training.eval_every = 250
    config.training.save_every = 250
    config.training.sample_every = 500
    # Newest checkpoints to keep; the best by validation loss is kept besides.
    config.training.keep = 2
    # Images (at most) that the validation loss is measured on.
    config.training.eval_images = 1024

    config.sampling = ConfigDict()
    # "ancestral" (Ho et al. 2020) or "ddim" (Song et al. 2021).
    config.sampling.solver = "ddim"
    # Steps of the solver, at most `schedule.num_steps`, and how they are laid over 0..T.
    config.sampling.num_steps = 50
    config.sampling.spacing = "uniform"
    # DDIM's eta: 0 deterministic, 1 ancestral.
    config.sampling.eta = 0.0
    # Ancestral variance: "posterior" (beta tilde) or "beta".
    config.sampling.variance = "posterior"
    # Classifier-free guidance: 1 is the plain conditional model, 0 the unconditional one.
    config.sampling.guidance_scale = 1.0
    # Clip the estimate of x0 (never x_t) to [-1, 1].
    config.sampling.clip = True
    # Images denoised at once.
    config.sampling.batch_size = 250
    # Images of each class in grids, strips and GIFs.
    config.sampling.images_per_class = 10

    config.export = ConfigDict()
    # Images in `synthetic.npz`, spread evenly over the classes; 0: as many as real training images.
    config.export.num_images = 0
    # Images of each class instead, one count a class; empty: evenly.
    config.export.class_counts = ()
    # Also write OpenAI's evaluator's keys, `arr_0` and `arr_1`.
    config.export.openai_keys = False

    config.evaluation = ConfigDict()
    # Synthetic images compared with the real test images; 0: as many as these.
    config.evaluation.num_images = 0

    config.classifier = classifier()
    return config


def classifier() -> ConfigDict:
    """The classifier's own fields; `configs/classifier.py` uses them without the rest."""
    config = ConfigDict()
    # "conv4" (four convolutions, the first system's) or "resnet".
    config.net = "conv4"
    # Channels of the first convolutions.
    config.width = 32
    config.dropout = 0.0
    # Every arm takes the same number of steps, whatever the size of its training set.
    config.num_steps = 400
    config.batch_size = 128
    config.learning_rate = 2e-3
    config.warmup_steps = 50
    config.weight_decay = 1e-2
    # Independent trainings an arm: other weights, other order.
    config.num_seeds = 5
    # Train the seeds of an arm at once under vmap (on CPUs slower: grouped convolutions).
    config.vmap_seeds = False
    # What to train on.
    config.arms = ("real", "synthetic", "real+synthetic", "real+duplicated", "real+augmented")
    # Copies for the arm real+augmented: mirrored, rotated by up to so many degrees, shifted by up to
    # so many pixels.
    config.augment = ConfigDict()
    config.augment.flip = False
    config.augment.rotation = 10.0
    config.augment.shift = 1
    return config
