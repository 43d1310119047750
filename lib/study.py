"""The published study as data: the only place where a published number stands.

Source: Marina Ramiro Pareta, "Proyecto IV - Visión por computador" (2023),
eleven experiments on CIFAR-10 in Keras on a Colab GPU. Each figure is one run.
``None`` means that the text does not give the figure.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """One rung of the ladder, as published.

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

    @property
    def uses_imagenet(self) -> bool:
        """Whether the experiment starts from ImageNet weights."""
        return self.number >= 7

    @property
    def image_size(self) -> int:
        """Height and width of the network's input, pixels."""
        return 64 if self.number == 10 else 32


# fmt: off
# number, slug, title, accuracy, loss, train accuracy, train loss, seconds, parameters, trainable
EXPERIMENTS = (
    Experiment(0, "00_base_cnn", "Base CNN",
               0.6256, 1.070, 0.71342, 0.840, 47.380263, 263_402, 263_402),
    Experiment(1, "01_deeper_cnn", "Deeper CNN",
               0.7230, 0.902, None, None, 45.206875, 651_978, 651_978),
    Experiment(2, "02_dropout", "Dropout",
               0.7730, 0.673, 0.92065, 0.268, 83.477872, 651_978, 651_978),
    Experiment(3, "03_double_conv", "Double convolutions",
               0.7841, 0.672, 0.94010, 0.196, 136.842777, 1_341_226, 1_341_226),
    Experiment(4, "04_batch_norm", "Batch normalization",
               0.8173, 0.660, 0.97728, 0.074, 148.758790, 849_066, 847_402),
    Experiment(5, "05_data_augmentation", "Data augmentation",
               0.8594, 0.426, 0.92820, 0.206, 1225.159844, 849_066, 847_402),
    Experiment(6, "06_vgg16_scratch", "VGG16 from scratch",
               0.8180, 0.559, 0.88450, 0.328, 948.826757, 14_881_738, 14_880_970),
    Experiment(7, "07_vgg16_frozen", "VGG16, ImageNet, frozen",
               0.6094, 1.118, 0.66653, 0.950, 1367.992402, 14_881_738, 166_282),
    Experiment(8, "08_vgg16_finetuned", "VGG16, ImageNet, fine-tuned",
               0.8688, 0.411, None, None, 582.279129, 14_881_738, 14_880_970),
    Experiment(9, "09_mini_vgg16", "Mini-VGG16, fine-tuned",
               0.8780, 0.388, 0.97303, 0.082, 789.168614, 2_820_042, 2_819_274),
    Experiment(10, "10_vgg16_64x64", "VGG16 at 64×64, fine-tuned",
               0.9166, 0.279, 0.98153, 0.056, 948.318542, 15_274_954, 15_274_186),
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
