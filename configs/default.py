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
    # What a TFDS dataset is classified by, such as "species" or "attributes/Smiling".
    config.data.label = "label"
    # Classes to keep, by name or index, relabelled 0.. in this order; empty: all.
    config.data.classes = ()
    # Classes made of several, instead: `config.data.groups.cat = ("Bengal", "Birman")`; empty: none.
    config.data.groups = ConfigDict()
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
    # Smallest area of a random crop, as a share of the image's, brought back to its size; 1: no crop.
    config.augment.crop_scale = 1.0
    # The crop's width to height, from 1 / crop_ratio to crop_ratio.
    config.augment.crop_ratio = 1.0
    # Rotated by up to so many degrees, and shifted by up to so many pixels, either way.
    config.augment.rotation = 0.0
    config.augment.shift = 0

    config.schedule = ConfigDict()
    # "linear" (Ho et al. 2020), "cosine" (Nichol & Dhariwal 2021), "sigmoid_beta", "sigmoid_alpha_bar"
    # (Jabri et al. 2022), "blend" (alpha + sigma = 1) or "karras" (alpha = 1, Karras et al. 2022).
    config.schedule.name = "cosine"
    # T, the number of noising steps.
    config.schedule.num_steps = 1000
    # First and last beta of "linear" and "sigmoid_beta".
    config.schedule.beta_start = 1e-4
    config.schedule.beta_end = 0.02
    # How far "blend" goes: 1 is noise.
    config.schedule.blend_reach = 1.0

    # What all networks read; each has a section of its own besides, by its name.
    config.net = ConfigDict()
    # "unet" (Ho et al. 2020), "double_conv" or "patch".
    config.net.name = "unet"
    # Channels at full resolution, and their multiples level by level; each level halves the image.
    config.net.base_channels = 64
    config.net.multipliers = (1, 2)
    # "softmax", "linear_softmax", "linear_elu" or "none": one kind, or one for each resolution of "unet".
    # "double_conv" and "patch" attend with the one kind at all levels but the first.
    config.net.attention = ("softmax",)
    config.net.num_heads = 1
    # Give the network the label; needed for guidance and for a labelled synthetic set of several classes.
    config.net.class_conditional = True
    # Compute dtype, "float32" or "bfloat16"; parameters and statistics are float32 in both.
    config.net.dtype = "float32"

    config.net.unet = ConfigDict()
    config.net.unet.num_res_blocks = 2
    # Side lengths in pixels at which there is self-attention; empty: none.
    config.net.unet.attention_resolutions = ()
    # The kind of attention at the bottom.
    config.net.unet.middle_attention = "softmax"
    # Channels of a head; 0: its share of the width.
    config.net.unet.head_channels = 0
    config.net.unet.dropout = 0.0
    # How time and class act on a block: "add" or "film" (scale and shift).
    config.net.unet.conditioning = "add"
    # "group" or "rms"; "group" has groups that share a mean and a variance, whose number divides every width.
    config.net.unet.norm = "group"
    config.net.unet.num_groups = 32
    # How it changes resolution: "conv" or "pool".
    config.net.unet.resampling = "conv"
    # "sinusoidal", whose longest period is `max_period`, or "mlp" of t / T.
    config.net.unet.time_embedding = "sinusoidal"
    config.net.unet.max_period = 10_000.0
    # Side of the square of pixels that the network takes as one position (space-to-depth); 1: none.
    config.net.unet.patch_size = 1

    config.net.double_conv = ConfigDict()
    # "gelu" or "relu".
    config.net.double_conv.activation = "gelu"

    config.net.patch = ConfigDict()
    # Side of the patches between the levels, the smallest feature map, refining blocks.
    config.net.patch.patch_sizes = (2, 2, 2)
    config.net.patch.min_side = 2
    config.net.patch.num_refine_blocks = 2
    # "sinusoidal", or "mlp" of t / T.
    config.net.patch.time_embedding = "sinusoidal"

    config.loss = ConfigDict()
    # What the network predicts: "eps", "x0", "v" (Salimans & Ho 2022), or "edm" (Karras et al. 2022),
    # which is preconditioned and has a weight of its own.
    config.loss.prediction = "v"
    # "mse", "squared_norm" (the sum over an image), "l1", "huber", "combined" (MSE, L1 and cosine),
    # "scheduled" (MSE giving way to L1), or with a learned variance "hybrid" or "variational"
    # (Nichol & Dhariwal 2021), which "ancestral" with `variance="learned"` samples from.
    config.loss.kind = "mse"
    config.loss.huber_delta = 1.0
    config.loss.combined_weights = (0.7, 0.15, 0.15)
    # Weight by noise level: "none", "snr", "truncated_snr", "min_snr" or "p2".
    config.loss.weight = "none"
    config.loss.min_snr_gamma = 5.0
    config.loss.p2_gamma = 1.0
    # How noise levels are drawn: "uniform", "stratified", "beta" (Beta(a, b) of t / T), "second_moment"
    # (by the size of the loss there, Nichol & Dhariwal 2021), or, for "edm" only, "log_normal".
    config.loss.draw = "uniform"
    config.loss.beta = (0.5, 0.5)
    # Strength of noise that is one number a channel and image; 0.1 is usual.
    config.loss.offset_noise = 0.0
    # Share of training examples whose label is replaced by the null class (Ho & Salimans 2022).
    config.loss.label_dropout = 0.1

    config.optim = ConfigDict()
    # "adam" or "adamw".
    config.optim.name = "adamw"
    # Peak learning rate, and its course after the warm-up: "constant", "cosine" (to zero), or
    # "one_cycle" (Smith & Topin 2018), whose own warm-up takes `warmup_steps`.
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
    # Steps in one call of the compiled program (fewer where a line or a checkpoint comes before), for
    # devices that are done with a step before the next one is asked for.
    config.training.steps_per_call = 1
    # Training images that take up to this many MiB, decoded, stay on each device, where every step
    # gathers its own; 0, and more images than that: each batch is sent.
    config.training.resident_mib = 0
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
    # Leave out a step whose loss or gradient is not finite and count it, instead of stopping there.
    config.training.skip_nonfinite = False
    # Seconds after which the other processes end: not heard from one, or no step done (0: no limit).
    # The second must be longer than compiling, a validation or a grid of samples takes.
    config.training.heartbeat_seconds = 100
    config.training.stall_seconds = 1800

    config.sampling = ConfigDict()
    # The checkpoint that is drawn from: "newest", "best" (by validation loss) or a step, such as "5000".
    config.sampling.checkpoint = "newest"
    # "ancestral" (Ho et al. 2020), "ddim" (Song et al. 2021), "dpm_solver_pp_2m" (Lu et al. 2022),
    # "heun" and "edm_stochastic" (Karras et al. 2022; two calls a step; they want the spacing "karras"),
    # or "iterative_x0".
    config.sampling.solver = "ddim"
    # Steps of the solver, at most `schedule.num_steps`, and how they are laid over 0..T: "uniform",
    # "quadratic", "karras" or "log_snr".
    config.sampling.num_steps = 50
    config.sampling.spacing = "uniform"
    # DDIM's eta: 0 deterministic, 1 ancestral.
    config.sampling.eta = 0.0
    # Ancestral variance: "posterior" (beta tilde), "beta" or "learned".
    config.sampling.variance = "posterior"
    # Share by which edm_stochastic raises the noise before each step, at most 0.41.
    config.sampling.churn = 0.1
    # Noise that iterative_x0 adds, and above which share of T.
    config.sampling.iterative_noise = 0.05
    config.sampling.iterative_above = 0.7
    # Classifier-free guidance: 1 is the plain conditional model, 0 the unconditional one.
    config.sampling.guidance_scale = 1.0
    # What guidance leans away from: "unlabelled", or "next_class", of two classes the other one.
    config.sampling.guidance_from = "unlabelled"
    # Guide only where sigma / alpha lies in (low, high] (Kynkaanniemi et al. 2024); empty: everywhere.
    config.sampling.guidance_interval = ()
    # Guidance by the classifier of `--mode=train_guide` (Dhariwal & Nichol 2021); 0: none.
    config.sampling.classifier_scale = 0.0
    # Clip the estimate of x0 (never x_t) to [-1, 1].
    config.sampling.clip = True
    # Images denoised at once; 0: 250, on a CPU fewer of large ones, as many as its caches hold.
    config.sampling.batch_size = 0
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
    # Real images that synthetic ones are compared with: "test", "validation", "train" or "train+validation",
    # which is CIFAR-10's protocol (all 50,000 training images). Names of distances say it: fid_to_train.
    config.evaluation.reference = "test"
    # Synthetic images compared with them; 0: as many as these.
    config.evaluation.num_images = 0
    # File with the Inception weights of FID: pytorch-fid's .pth, its tensors as .safetensors, or this
    # project's .npz; empty: the project's own classifier, trained on the real training split, gives
    # the features.
    config.evaluation.inception_weights = ""
    # Features by a function of yours, "package.module:function", uint8 [B, H, W, C] -> [B, D].
    config.evaluation.features = ""
    # Where features are kept, by content; empty: in the work directory.
    config.evaluation.cache_dir = ""
    # Test images whose bits/dim is measured, 0: none; over so many steps, 0: all of `schedule.num_steps`.
    config.evaluation.likelihood_images = 64
    config.evaluation.likelihood_steps = 100

    # The classifier that samples are guided by.
    config.guide = ConfigDict()
    # "conv4" or "resnet".
    config.guide.net = "conv4"
    # Trained on noised images with t as an input; else on clean ones, and it judges the estimate of x0.
    config.guide.noised = True
    config.guide.num_steps = 1000
    config.guide.batch_size = 128
    config.guide.learning_rate = 1e-3

    # The modes that begin with real images: denoise, interpolate, inpaint, reconstruct.
    config.editing = ConfigDict()
    # Images edited, taken class by class, and the split they are from: "validation" or "test".
    config.editing.num_images = 8
    config.editing.split = "validation"
    # Shares of T to which denoise noises an image, and to which interpolate does.
    config.editing.starts = (0.2, 0.4, 0.6, 0.8)
    config.editing.mix_at = 0.5
    # Images in a row from the one to the other, both included.
    config.editing.num_mixes = 7
    # The part to paint anew: "center", "right" or "bottom"; and how often each step is taken.
    config.editing.hole = "center"
    config.editing.num_resamples = 5

    # --mode=sweep: a row of images for every pair of these. A sampler is SOLVER:STEPS, or
    # SOLVER:STEPS:SPACING where the spacing is another than the sampling section's.
    config.sweep = ConfigDict()
    config.sweep.guidance_scales = (1.0, 2.0, 4.0)
    config.sweep.samplers = ("ddim:5", "ddim:10", "ddim:20", "ddim:50")
    # Images that each pair is measured on, 0: none; and the seeds, 0 or at least 2, of a classifier that
    # is trained on them.
    config.sweep.num_images = 0
    # Real images that the distances and accuracies are on: "validation" or "test". Who chooses a sampler by a
    # sweep chooses on validation images.
    config.sweep.split = "validation"
    config.sweep.num_seeds = 0

    # --mode=worth: accuracy over the number of real images, with and without synthetic ones.
    config.worth = ConfigDict()
    # Real images of each class; all there are is always the last size.
    config.worth.sizes = (10, 30, 90, 270, 800)
    # At most so many further real sizes, added until those around the answer are half a decade apart.
    # 0 adds none; the answer is then a bound where the sizes around it lie further apart.
    config.worth.extra_sizes = 6
    # Synthetic images for each real one, where there are as many.
    config.worth.multiples = (1, 2, 5, 10)
    # What else is added in the same number, to compare with: "duplicated" and "augmented" real images.
    config.worth.controls = ("duplicated", "augmented")
    # Independent trainings, each with its own real subset.
    config.worth.num_seeds = 5
    # Steps of each training; 0: those of the classifier section.
    config.worth.num_steps = 0

    config.classifier = classifier()
    return config


def classifier() -> ConfigDict:
    """The classifier's own fields; `configs/classifier.py` uses them without the rest."""
    config = ConfigDict()
    # "conv4" (four convolutions, the first system's) or "resnet".
    config.net = "conv4"
    # Channels of the first stage of "resnet", which double twice; "conv4" has 32 and 64.
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
    # Copies of each real image in real+duplicated and real+augmented; 0: as many more as synthetic images.
    config.copies = 0
    # What is done to the copies of real+augmented: the fields of the section `augment`.
    config.augment = ConfigDict()
    config.augment.flip = False
    config.augment.crop_scale = 1.0
    config.augment.crop_ratio = 1.0
    config.augment.rotation = 10.0
    config.augment.shift = 1
    return config
