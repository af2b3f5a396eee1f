"""Every field, with its meaning. The other configs start from here and change a few fields.

Set a field on the command line by its dotted name: `--config.training.num_steps=500`. A name that does
not exist is an error. `ddpm_jax/assembly/` enforces the lists of choices.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()

    # All randomness of a run: weights, data order, noise, dropout, samples, classifiers.
    config.seed = 0

    config.budget = ConfigDict()
    # Minutes that the whole chain may take. Before it begins, the machine is measured, and what fits is
    # decided: width, levels, blocks, groups, patches and attention of "unet"; training.num_steps, its
    # eval_every, save_every and sample_every, warm-up and ema_decay; sampling.num_steps, export.num_images;
    # classifier.num_steps, num_seeds and warm-up. Fields on the command line stay. 0: no budget.
    config.budget.minutes = 0.0

    config.data = ConfigDict()
    # "digits" (bundled with scikit-learn), "tfds:NAME", "hf:NAME" or "hf:PATH" (Hugging Face),
    # "npz:PATH" or "folder:PATH" (class = sub-folder).
    config.data.source = "digits"
    # Where TFDS keeps prepared datasets; empty: TFDS's default.
    config.data.data_dir = ""
    # Folder of archives that you already have, from which TFDS prepares a dataset without a network.
    config.data.manual_dir = ""
    # TFDS feature that gives the class, such as "species" or "attributes/Smiling". With "hf", its column; the
    # only ClassLabel, if there is no such column.
    config.data.label = "label"
    # The column of the images of "hf"; empty: the only one there is.
    config.data.image_column = ""
    # Classes to keep, by name or index, relabelled 0.. in this order; empty: all.
    config.data.classes = ()
    # Or classes merged from several: `config.data.groups.cat = ("Bengal", "Birman")`; empty: none.
    config.data.groups = ConfigDict()
    # Side in pixels: the shorter side is resized to it, the longer one cropped to its middle.
    config.data.image_size = 8
    # 1 (grayscale) or 3 (RGB); images are converted.
    config.data.channels = 1
    # Shares of each class to take from the training split if a dataset has no such split of its own.
    config.data.validation_fraction = 0.1
    config.data.test_fraction = 0.2
    # Images of each class for training and validation together, as if there were no more, drawn by the
    # seed; 0: all there are. Test images stay all. A smaller set is part of a larger one of the same seed.
    config.data.per_class = 0
    # k-fold validation: of the training and validation images, fold `fold` (0, 1, ...) is for validation;
    # -1: none, so that all of them train. num_folds = 0: validation_fraction decides.
    config.data.num_folds = 0
    config.data.fold = 0
    # Seed of the division into training, validation and test images, where the source has none of its own,
    # so that runs with other seeds share test images; -1: `seed`.
    config.data.split_seed = -1
    # Decoded images up to this many MiB are kept in memory; above, they are streamed from disk.
    config.data.memory_mib = 4096

    # Augmentation of the generator's training images, on the device, in each step.
    config.augment = ConfigDict()
    # Share of the images to which each of the following is done; the others are left as they are.
    config.augment.probability = 1.0
    # Mirror half of the images; wrong for digits and letters.
    config.augment.flip = False
    # Smallest area of a random crop, as a share of the image's; the crop is resized back. 1: no crop.
    config.augment.crop_scale = 1.0
    # The crop's width / height is drawn from 1 / crop_ratio to crop_ratio.
    config.augment.crop_ratio = 1.0
    # Largest factor by which an image is magnified or reduced about its center. 1: none.
    config.augment.zoom = 1.0
    # Largest random rotation in degrees, and largest random shift in pixels, either way.
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
    # How far "blend" goes towards noise: 1 is pure noise.
    config.schedule.blend_reach = 1.0

    # Fields that all networks read; each network also has a section of its own name.
    config.net = ConfigDict()
    # "unet" (Ho et al. 2020), "double_conv" or "patch".
    config.net.name = "unet"
    # Channels at full resolution, and their multiplier at each level; each level halves the image.
    config.net.base_channels = 64
    config.net.multipliers = (1, 2)
    # "softmax", "linear_softmax", "linear_elu" or "none": one kind, or one for each resolution of "unet".
    # "double_conv" and "patch" take one kind, and attend at all levels but the first.
    config.net.attention = ("softmax",)
    # Heads of attention; 0, for "unet" only: as many of `net.unet.head_channels` as the width holds.
    config.net.num_heads = 1
    # Give the network the label; guidance needs it, and so does a labelled synthetic set of several classes.
    config.net.class_conditional = True
    # Tell the network how each training image was augmented (Karras et al. 2022, appendix F.2). It then draws
    # images as they are, however strong the augmentation.
    config.net.augment_condition = False
    # Compute dtype, "float32" or "bfloat16"; parameters and statistics are float32 in both.
    config.net.dtype = "float32"

    config.net.unet = ConfigDict()
    # Residual blocks at each resolution on the way down; there is one more on the way up.
    config.net.unet.num_res_blocks = 2
    # Side lengths in pixels at which there is self-attention; empty: none.
    config.net.unet.attention_resolutions = ()
    # The kind of attention between the two blocks at the lowest resolution.
    config.net.unet.middle_attention = "softmax"
    # Channels of an attention head; 0: the width divided among the heads.
    config.net.unet.head_channels = 0
    # Share of a block's activations that are dropped in the training.
    config.net.unet.dropout = 0.0
    # How time and class condition a block: "add" or "film" (scale and shift).
    config.net.unet.conditioning = "add"
    # "group" or "rms". Channels of a group share a mean and a variance; `num_groups` must divide every width.
    config.net.unet.norm = "group"
    config.net.unet.num_groups = 32
    # Added to the variance of a group, or to the mean square of "rms".
    config.net.unet.norm_epsilon = 1e-6
    # How the resolution changes: "conv" or "pool".
    config.net.unet.resampling = "conv"
    # Rows and columns of zeros before the first pixel where "conv" halves a map: 0 (Ho et al. 2020) or 1 (the
    # default of diffusers' networks).
    config.net.unet.downsample_padding = 0
    # "sinusoidal", whose longest period is `max_period`, or "mlp" of t / T.
    config.net.unet.time_embedding = "sinusoidal"
    config.net.unet.max_period = 10_000.0
    # Side of the square of pixels that the network treats as one position (space-to-depth); 1: none.
    config.net.unet.patch_size = 1

    config.net.double_conv = ConfigDict()
    # "gelu" or "relu".
    config.net.double_conv.activation = "gelu"

    config.net.patch = ConfigDict()
    # Side of the patches between levels, side of the smallest feature map, number of refining blocks.
    config.net.patch.patch_sizes = (2, 2, 2)
    config.net.patch.min_side = 2
    config.net.patch.num_refine_blocks = 2
    # "sinusoidal", or "mlp" of t / T.
    config.net.patch.time_embedding = "sinusoidal"

    config.loss = ConfigDict()
    # What the network predicts: "eps", "x0", "v" (Salimans & Ho 2022), or "edm" (Karras et al. 2022),
    # which is preconditioned and has its own weight.
    config.loss.prediction = "v"
    # "mse", "squared_norm" (the sum over an image), "l1", "huber", "combined" (MSE, L1 and cosine),
    # "scheduled" (MSE giving way to L1), or, with a learned variance, "hybrid" or "variational"
    # (Nichol & Dhariwal 2021). To sample with that variance: "ancestral" with `variance="learned"`.
    # "consistency" tunes a trained model (`training.start_from`) for the solver of that name.
    config.loss.kind = "mse"
    # Error above which "huber" grows linearly.
    config.loss.huber_delta = 1.0
    # Weights of the MSE, of L1 and of the cosine distance in "combined".
    config.loss.combined_weights = (0.7, 0.15, 0.15)
    # Stages of consistency tuning; each halves the gap between the two levels (Geng et al. 2024).
    config.loss.consistency_stages = 8
    # The c of its pseudo-Huber distance sqrt(mean square + c^2) - c; 0: the mean square.
    config.loss.consistency_offset = 0.03
    # Weight by noise level: "none", "snr", "truncated_snr", "min_snr" or "p2".
    config.loss.weight = "none"
    # The gamma of "min_snr" (Hang et al. 2023) and that of "p2" (Choi et al. 2022).
    config.loss.min_snr_gamma = 5.0
    config.loss.p2_gamma = 1.0
    # How noise levels are drawn: "uniform", "stratified", "beta" (t / T ~ Beta(a, b)), "second_moment"
    # (by the size of the loss at each level, Nichol & Dhariwal 2021) or, for "edm" only, "log_normal".
    config.loss.draw = "uniform"
    config.loss.beta = (0.5, 0.5)
    # Strength of offset noise, which is one number per channel and image; 0.1 is usual.
    config.loss.offset_noise = 0.0
    # Share of training examples whose label is replaced by the null class (Ho & Salimans 2022).
    config.loss.label_dropout = 0.1

    config.optim = ConfigDict()
    # "adam", "adamw", or "muon" (Jordan et al. 2024), which takes fewer steps to the same loss.
    config.optim.name = "adamw"
    # Peak learning rate, and its schedule after the warm-up: "constant", "cosine" (to zero), or
    # "one_cycle" (Smith & Topin 2018), whose own warm-up takes `warmup_steps`.
    config.optim.learning_rate = 1e-3
    config.optim.schedule = "cosine"
    # Steps of the warm-up, in which the learning rate rises from zero.
    config.optim.warmup_steps = 50
    # Decay of Adam's mean of the gradients, and of their squares; "muon" has them for biases and scales.
    config.optim.beta1 = 0.9
    config.optim.beta2 = 0.99
    # Decoupled weight decay of kernels, "adamw" and "muon" only.
    config.optim.weight_decay = 0.0
    # Clip the gradient to this global norm; 0: no clipping.
    config.optim.clip_norm = 1.0
    # Decay per step of the averaged weights, at most (1 + step) / (10 + step) early in the training.
    config.optim.ema_decay = 0.999
    # Further averages, each by its width relative to the training's length so far, in (0, 0.2886]: a wider
    # one reaches further back (Karras et al. 2024). Each takes the memory of the parameters.
    config.optim.averages = ()

    config.training = ConfigDict()
    # Images per step, over all devices and hosts.
    config.training.batch_size = 128
    # Steps of the optimizer.
    config.training.num_steps = 1000
    # Work directory of another run with the same network, whose averaged weights (the newest checkpoint's)
    # are the first weights of this one; empty: random ones.
    config.training.start_from = ""
    # Micro-batches that a batch is split into, to fit into memory.
    config.training.accumulate = 1
    # Steps per call of the compiled program (fewer if a line of metrics or a checkpoint is due before).
    # More than 1 helps devices that finish a step before the next one is dispatched.
    config.training.steps_per_call = 1
    # Decoded training images of up to this many MiB stay on each device, and every step gathers its
    # batch there. If they take more, or with 0, each batch is sent.
    config.training.resident_mib = 0
    # Parallelize with "jit" over shardings, or with "pmap" over replicas.
    config.training.parallel = "jit"
    # Steps between: lines of metrics, validation losses, checkpoints, grids of samples.
    config.training.log_every = 50
    config.training.eval_every = 250
    config.training.save_every = 250
    config.training.sample_every = 500
    # Newest checkpoints to keep; the best by validation loss is kept as well.
    config.training.keep = 2
    # Also keep each checkpoint whose step is a multiple of this, which is one of `save_every`; 0: none.
    config.training.keep_every = 0
    # Most images to measure the validation loss on; 0: none, and no checkpoint is the best.
    config.training.eval_images = 1024
    # Skip and count a step whose loss or gradient is not finite, instead of stopping there.
    config.training.skip_nonfinite = False
    # Seconds after which the other processes end: without a heartbeat from one, or without a finished
    # step (0: no limit). The second limit must exceed the time of compiling, a validation or a grid.
    config.training.heartbeat_seconds = 100
    config.training.stall_seconds = 1800

    config.sampling = ConfigDict()
    # The checkpoint to sample from: "newest", "best" (by validation loss) or a step, such as "5000".
    config.sampling.checkpoint = "newest"
    # The weights to sample with: "ema", a width of `optim.averages`, such as "0.1", or "best" of these, by
    # the validation loss at that checkpoint.
    config.sampling.average = "ema"
    # "ancestral" (Ho et al. 2020), "ddim" (Song et al. 2021), "dpm_solver_pp_2m" and its stochastic
    # version "sde_dpm_solver_pp_2m" (Lu et al. 2022), "heun" and "edm_stochastic" (Karras et al. 2022; two
    # network calls per step; use spacing "karras"), "consistency" (Song et al. 2023; one to four steps of a
    # network trained with that loss), or "iterative_x0".
    config.sampling.solver = "ddim"
    # Steps of the solver, at most `schedule.num_steps`, and how they are spaced over 0..T: "uniform",
    # "quadratic", "karras" or "log_snr".
    config.sampling.num_steps = 50
    config.sampling.spacing = "uniform"
    # DDIM's eta: 0 deterministic, 1 ancestral.
    config.sampling.eta = 0.0
    # Ancestral variance: "posterior" (beta tilde), "beta" or "learned".
    config.sampling.variance = "posterior"
    # Share by which edm_stochastic raises the noise before each step, at most 0.41.
    config.sampling.churn = 0.1
    # Noise that iterative_x0 adds, and the share of T above which it adds noise.
    config.sampling.iterative_noise = 0.05
    config.sampling.iterative_above = 0.7
    # Classifier-free guidance: 1 is the plain conditional model, 0 the unconditional one.
    config.sampling.guidance_scale = 1.0
    # What guidance leans away from: "unlabelled" or "next_class" (with two classes, the other one).
    config.sampling.guidance_from = "unlabelled"
    # Guide only where sigma / alpha lies in (low, high] (Kynkaanniemi et al. 2024); empty: everywhere.
    config.sampling.guidance_interval = ()
    # Guidance by the classifier of `--mode=train_guide` (Dhariwal & Nichol 2021); 0: none.
    config.sampling.classifier_scale = 0.0
    # Guidance by an earlier checkpoint of the run, one that `training.keep` or `keep_every` kept (Karras et
    # al. 2024): D = D_bad + scale (D - D_bad). 1: none. It does not go with classifier-free guidance.
    config.sampling.autoguidance_scale = 1.0
    # The step of that checkpoint, such as "500".
    config.sampling.autoguidance_checkpoint = ""
    # Clip the estimate of x0 (never x_t) to [-1, 1].
    config.sampling.clip = True
    # Images denoised at once. 0: 250; on a CPU fewer if they are large, as many as its caches hold.
    config.sampling.batch_size = 0
    # Images of each class in grids, strips and GIFs.
    config.sampling.images_per_class = 10

    config.export = ConfigDict()
    # Images in `synthetic.npz`, spread evenly over the classes; 0: as many as real training images.
    config.export.num_images = 0
    # Images of each class instead, one count per class; empty: spread evenly.
    config.export.class_counts = ()
    # Share of T to which a real training image of the label's class is noised, for sampling to begin there
    # (SDEdit, Meng et al. 2022); each real image is used as often as the others. 1: begin with pure noise.
    config.export.start = 1.0
    # Also write the keys that OpenAI's evaluator reads, `arr_0` and `arr_1`.
    config.export.openai_keys = False

    config.publish = ConfigDict()
    # --mode=publish writes "images" (PNGs by class) or "parquet" (needs the extra `hf`).
    config.publish.format = "images"

    # --mode=serve: a page to draw from in a browser. Needs the extra `serve`.
    config.serve = ConfigDict()
    # Where it listens. "127.0.0.1" is this machine alone; there is no login, so "0.0.0.0" lets in everybody
    # who reaches this machine.
    config.serve.host = "127.0.0.1"
    # The port that it listens on; 0: any free one.
    config.serve.port = 7860
    # Most images that one request may ask for.
    config.serve.max_images = 64
    # Most steps of the solver that one request may ask for.
    config.serve.max_steps = 250

    config.evaluation = ConfigDict()
    # Real images to compare synthetic ones with: "test", "validation", "train" or "train+validation",
    # which is CIFAR-10's protocol (all 50,000 training images). Names of distances say so: fid_to_train.
    config.evaluation.reference = "test"
    # Synthetic images to compare with them; 0: as many as there are real ones.
    config.evaluation.num_images = 0
    # File with the Inception weights for FID: pytorch-fid's .pth, its tensors as .safetensors, or this
    # project's .npz. Empty: the features are those of the project's own classifier, trained on the real
    # training split.
    config.evaluation.inception_weights = ""
    # Your own function for the features, "package.module:function", uint8 [B, H, W, C] -> [B, D].
    config.evaluation.features = ""
    # Where features are cached, by content; empty: in the work directory.
    config.evaluation.cache_dir = ""
    # Test images to measure bits/dim on (0: none), and the steps to use (0: all of `schedule.num_steps`).
    config.evaluation.likelihood_images = 64
    config.evaluation.likelihood_steps = 100

    # The classifier that guides samples.
    config.guide = ConfigDict()
    # "conv4" or "resnet".
    config.guide.net = "conv4"
    # True: train it on noised images, with t as an input. False: on clean images; it then judges the
    # estimate of x0.
    config.guide.noised = True
    # Its training: steps of AdamW, images a step, peak learning rate.
    config.guide.num_steps = 1000
    config.guide.batch_size = 128
    config.guide.learning_rate = 1e-3

    # The modes that begin with real images: denoise, interpolate, inpaint, reconstruct.
    config.editing = ConfigDict()
    # Images to edit, the classes taking turns, and the split they are from: "validation" or "test".
    config.editing.num_images = 8
    config.editing.split = "validation"
    # Shares of T to which denoise noises an image, and the share to which interpolate does.
    config.editing.starts = (0.2, 0.4, 0.6, 0.8)
    config.editing.mix_at = 0.5
    # Mixes in a row from one image to the other, both ends included.
    config.editing.num_mixes = 7
    # The part to inpaint: "center", "right" or "bottom"; and how often each step is taken.
    config.editing.hole = "center"
    config.editing.num_resamples = 5

    # --mode=sweep: a row of images for every pair of scale and sampler. A sampler is SOLVER:STEPS, or
    # SOLVER:STEPS:SPACING if the spacing differs from the sampling section's.
    config.sweep = ConfigDict()
    config.sweep.guidance_scales = (1.0, 2.0, 4.0)
    config.sweep.samplers = ("ddim:5", "ddim:10", "ddim:20", "ddim:50")
    # Images to measure each pair on; 0: none.
    config.sweep.num_images = 0
    # Sets of noise to measure each pair on, each with that many images. From 2, distances have an interval.
    config.sweep.num_noises = 1
    # Split of real images for distances and accuracies: "validation" or "test". To choose a sampler by a
    # sweep, use validation images.
    config.sweep.split = "validation"
    # Seeds of a classifier trained on the images of each pair: 0 (none) or at least 2. The seeds take the
    # sets of noise in turn.
    config.sweep.num_seeds = 0

    # --mode=worth: accuracy over the number of real images, with and without synthetic ones.
    config.worth = ConfigDict()
    # Numbers of real images per class; all there are is always the last size.
    config.worth.sizes = (10, 30, 90, 270, 800)
    # Most further real sizes to add, until those around the answer are half a decade apart. 0 adds none;
    # the answer is then a bound if the sizes around it lie further apart.
    config.worth.extra_sizes = 6
    # Synthetic images per real one, if there are enough.
    config.worth.multiples = (1, 2, 5, 10)
    # Controls, which add as many images of another kind: "duplicated" and "augmented" real images.
    config.worth.controls = ("duplicated", "augmented")
    # Independent trainings, each with its own real subset.
    config.worth.num_seeds = 5
    # Steps of each training; 0: those of the classifier section.
    config.worth.num_steps = 0

    # --mode=own: what is a generator worth that has seen the classifier's few images and no others?
    config.own = ConfigDict()
    # Images of each class; 0: all there are.
    config.own.sizes = (10, 20, 50)
    # Small sets of each size, each with its own generator and classifiers: at least 2.
    config.own.num_sets = 5
    # Further small sets, whose folds choose the classifiers' settings (0: none are chosen), and the folds.
    # For "best", the sampling section has the newest checkpoint and "ema" here: a whole small set has no
    # validation images.
    config.own.num_tuning_sets = 1
    config.own.num_folds = 3
    # Arms besides "real", with the settings of the real arms, and with those of the synthetic arms. The
    # settings are chosen by "real, augmented" and by `judge`, of which the answer is.
    config.own.real_arms = ("real, augmented",)
    config.own.synthetic_arms = (
        "synthetic", "synthetic, augmented", "real+synthetic", "real+synthetic, augmented"
    )  # fmt: skip
    config.own.judge = "real+synthetic, augmented"
    # Values to try beside those of the classifier section, one field after another.
    config.own.learning_rates = (1e-3, 4e-3)
    config.own.weight_decays = (1e-1,)
    config.own.strengths = (0.5, 2.0)
    # Shares of synthetic images in a batch (classifier.synthetic_share).
    config.own.shares = (0.25, 0.5, 0.75)

    config.classifier = classifier()
    return config


def classifier() -> ConfigDict:
    """The classifier's own fields; `configs/classifier.py` uses them without the rest."""
    config = ConfigDict()
    # "conv4" (four convolutions, the first system's) or "resnet".
    config.net = "conv4"
    # Channels of the first stage of "resnet", doubled twice; "conv4" has 32 and 64.
    config.width = 32
    # Share of the features before the last layer that are dropped in the training.
    config.dropout = 0.0
    # Every arm takes the same number of steps, whatever the size of its training set.
    config.num_steps = 400
    # Images a step; AdamW's peak learning rate, the steps of its warm-up, and its weight decay.
    config.batch_size = 128
    config.learning_rate = 2e-3
    config.warmup_steps = 50
    config.weight_decay = 1e-2
    # Independent trainings per arm, each with its own initial weights and data order.
    config.num_seeds = 5
    # Train the seeds of an arm at once under vmap (on CPUs slower: grouped convolutions).
    config.vmap_seeds = False
    # The real images to be right on: "test", or "validation" to choose fields by.
    config.split = "test"
    # Training sets to compare: "real", which must be one, "synthetic", "real+synthetic", and the controls
    # "real+duplicated" and "real+augmented". Any of three suffixes may follow, in this order: ", selected"
    # keeps the synthetic images whose labels an ensemble agrees with, ", soft" makes labels probabilities,
    # ", augmented" augments every batch in the training (", real augmented": the real images of it).
    config.arms = ("real", "synthetic", "real+synthetic", "real+duplicated", "real+augmented")
    # Copies of each real image in real+duplicated and real+augmented; 0: as many in all as synthetic images.
    config.copies = 0
    # Share of synthetic images in an epoch of real+synthetic (in the controls: of duplicates or copies).
    # Images of the part that is too small are repeated; 0: by their numbers.
    config.synthetic_share = 0.0
    # Least mean probability that the ensemble must give to the label of a synthetic image in ", selected".
    config.select = 0.5
    # Classifiers in the ensemble of ", selected" and ", soft", trained on real images with augmentation.
    config.ensemble = ConfigDict()
    config.ensemble.num = 5
    # What is done to the copies of real+augmented, and in the training of ", augmented". The first five
    # fields are those of the section `augment`.
    config.augment = ConfigDict()
    config.augment.probability = 1.0
    config.augment.flip = False
    config.augment.crop_scale = 1.0
    config.augment.crop_ratio = 1.0
    config.augment.zoom = 1.0
    config.augment.rotation = 10.0
    config.augment.shift = 1
    # Color jitter as torchvision defines it: each a factor from 1 - x to 1 + x; 0: none.
    config.augment.brightness = 0.0
    config.augment.contrast = 0.0
    config.augment.saturation = 0.0
    # Side of a square that is erased (DeVries & Taylor 2017), as a share of the image's; 0: none.
    config.augment.cutout = 0.0
    # Mixup (Zhang et al. 2018), in the training only: shares are from Beta(mixup, mixup); 0: none.
    config.augment.mixup = 0.0
    # Multiplies all ranges above: 0 is no augmentation, mirroring included, 2 is twice as much.
    config.augment.strength = 1.0
    return config
