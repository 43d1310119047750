"""The published study as data: the only place that holds a published number.

Source of the eleven: Marina Ramiro Pareta, "Proyecto IV - Visión por computador" (2023),
eleven experiments on CIFAR-10 in Keras on a Colab GPU. Each figure is one run.
``None`` means that the text does not give the figure. The figures of the companion notebooks'
sources are in `lib.companions.published`.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from lib.metrics import Score

LITERATURE_SD = 0.0056
"""Largest spread of CIFAR-10 accuracy over seeds in arXiv 2304.01910 (0.15 to 0.56 points); used
where no experiment has a second seed."""
NORMAL_QUANTILE = NormalDist().inv_cdf(0.975)
"""97.5 % quantile of the normal distribution."""
WIDEST = 0.02
"""Half of an interval so wide that a figure inside it says nothing."""
IMAGES = (50_000, 10_000)
"""Images of CIFAR-10, for training and validation, and for the test; a verdict needs all."""


@dataclass(frozen=True)
class Experiment:
    """One experiment, as published.

    Attributes:
        number: 0 to 10.
        slug: name of the notebook, e.g. ``"00_base_cnn"``.
        title: short English title.
        accuracy: test top-1 accuracy, 0 to 1.
        loss: test cross-entropy, nats.
        train_accuracy: training top-1 accuracy, 0 to 1, or None.
        train_loss: training cross-entropy, nats, or None.
        train_seconds: training time on the study's Colab GPU.
        total_params: parameters of the model.
        trainable_params: parameters that training changes.
        architecture: digest of the network's layers (`lib.models.architecture`).
    """

    number: int
    slug: str
    title: str
    accuracy: float
    loss: float
    train_accuracy: float | None
    train_loss: float | None
    train_seconds: float
    total_params: int
    trainable_params: int
    architecture: str

    @property
    def before(self) -> str:
        """Slug of the experiment from which this one was changed, or ``""``."""
        number = 8 if self.number == 10 else self.number - 1
        return SLUGS[number] if number >= 0 else ""

    @property
    def heading(self) -> str:
        """Number and title, as the report names it."""
        return f"{self.number} {self.title}"


# fmt: off
# number, slug, title, accuracy, loss, train accuracy, train loss, seconds, parameters, trainable
EXPERIMENTS = (
    Experiment(0, "00_base_cnn", "Base CNN",
               0.6256, 1.070, 0.71342, 0.840, 47.380263, 263_402, 263_402, "c787d6da7e5e"),
    Experiment(1, "01_deeper_cnn", "Deeper CNN",
               0.7230, 0.902, None, None, 45.206875, 651_978, 651_978, "61965f26fd84"),
    Experiment(2, "02_dropout", "Dropout",
               0.7730, 0.673, 0.92065, 0.268, 83.477872, 651_978, 651_978, "6a46b10bad0c"),
    Experiment(3, "03_double_conv", "Double convolutions",
               0.7841, 0.672, 0.94010, 0.196, 136.842777, 1_341_226, 1_341_226, "9fa3947626df"),
    Experiment(4, "04_batch_norm", "Batch normalization",
               0.8173, 0.660, 0.97728, 0.074, 148.758790, 849_066, 847_402, "b2cd506843cb"),
    Experiment(5, "05_data_augmentation", "Data augmentation",
               0.8594, 0.426, 0.92820, 0.206, 1225.159844, 849_066, 847_402, "b2cd506843cb"),
    Experiment(6, "06_vgg16_scratch", "VGG16 from scratch",
               0.8180, 0.559, 0.88450, 0.328, 948.826757, 14_881_738, 14_880_970, "a0b6eeb0ee07"),
    Experiment(7, "07_vgg16_frozen", "VGG16, ImageNet, frozen",
               0.6094, 1.118, 0.66653, 0.950, 1367.992402, 14_881_738, 166_282, "fc380cfdf9de"),
    Experiment(8, "08_vgg16_finetuned", "VGG16, ImageNet, fine-tuned",
               0.8688, 0.411, None, None, 582.279129, 14_881_738, 14_880_970, "a0b6eeb0ee07"),
    Experiment(9, "09_mini_vgg16", "Mini-VGG16, fine-tuned",
               0.8780, 0.388, 0.97303, 0.082, 789.168614, 2_820_042, 2_819_274, "ae9bf31ba73b"),
    Experiment(10, "10_vgg16_64x64", "VGG16 at 64×64, fine-tuned",
               0.9166, 0.279, 0.98153, 0.056, 948.318542, 15_274_954, 15_274_186, "a0b6eeb0ee07"),
)
# fmt: on

SLUGS = tuple(e.slug for e in EXPERIMENTS)


def experiment(slug: str) -> Experiment:
    """Returns the experiment of that slug.

    Raises:
        KeyError: if the study has no such experiment.
    """
    try:
        return EXPERIMENTS[SLUGS.index(slug)]
    except ValueError:
        raise KeyError(f"unknown experiment {slug!r}: expected one of {', '.join(SLUGS)}") from None


def is_other_network(slug: str, architecture: str) -> bool:
    """Returns whether a network is another one than the study has in that experiment.

    Args:
        slug: of the notebook; the study has no network for one that is not among the eleven.
        architecture: digest of the network's layers, "" if it is not known.
    """
    return bool(architecture) and slug in SLUGS and architecture != experiment(slug).architecture


@dataclass(frozen=True)
class Verdict:
    """Whether an experiment is reproduced.

    Attributes:
        word: ``"reproduced"``, ``"better"``, ``"not reproduced"`` or ``"undetermined"``.
        low, high: 95 % prediction interval of one more run, in which the published one
            should lie; accuracies, 0 to 1.
    """

    word: str
    low: float
    high: float

    @property
    def interval(self) -> str:
        """The interval of one run's verdict, in words."""
        between = f"between {self.low:.1%} and {self.high:.1%}"
        return f"with 95% probability, one more run with another seed is {between}"


def judge(
    slug: str,
    accuracy: float,
    *,
    runs: int = 1,
    sd: float = LITERATURE_SD,
    quantile: float = NORMAL_QUANTILE,
) -> Verdict:
    """Judges an experiment by the prediction interval of one more run with another seed.

    Args:
        slug: of the experiment.
        accuracy: mean test accuracy of our runs, 0 to 1.
        runs: how many.
        sd: standard deviation over seeds.
        quantile: 97.5 % quantile of the distribution from which ``sd`` comes.
    """
    half = quantile * sd * math.sqrt(1 + 1 / runs)
    low, high, published = accuracy - half, accuracy + half, experiment(slug).accuracy
    if low <= published <= high:
        word = "reproduced" if half <= WIDEST else "undetermined"
    else:
        word = "better" if published < low else "not reproduced"
    return Verdict(word, low, high)


def chance_difference(accuracy: float, images: int) -> float:
    """Returns the difference of two runs' test accuracies that 95 % of equal runs stay below.

    Args:
        accuracy: of one of them, 0 to 1.
        images: of the test. The spread over seeds is `LITERATURE_SD`.
    """
    variance = LITERATURE_SD**2 + accuracy * (1 - accuracy) / images
    return NORMAL_QUANTILE * math.sqrt(2 * variance)


COMPANIONS = (
    "reference_architectures",
    "imagenet_prediction",
    "feature_extraction",
    "freezing_depth",
    "transfer_strategies",
    "why_frozen_fails",
    "inspect_a_model",
    "beyond_the_study",
)
"""The companion notebooks, in reading order."""


def comparison(slug: str, test: Score, *, dataset: str, other: str = "") -> str:
    """Returns one line: published, ours, difference.

    Args:
        slug: of the experiment.
        test: our test figures.
        dataset: name of the data set.
        other: what our network is, if it is not the study's.
    """
    ours = f"ours {test.accuracy:.2%} ({test.loss:.3f})"
    if dataset != "cifar10":
        return f"{ours}; the published figures are CIFAR-10's"
    if other:
        return f"{ours} with {other}; the published figures are those of the study's network"
    published = experiment(slug)
    difference = 100 * (test.accuracy - published.accuracy)
    return (
        f"published {published.accuracy:.2%} (cross-entropy {published.loss:.3f}), {ours}, "
        f"difference {difference:+.2f} points"
    )
