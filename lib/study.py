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
        change: what changes from the experiment before, in one sentence.
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
    change: str
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


EXPERIMENTS = (
    Experiment(
        0,
        "00_base_cnn",
        "Base CNN",
        "One convolution, one dense layer: where the ladder begins.",
        accuracy=0.6256,
        loss=1.070,
        train_accuracy=0.71342,
        train_loss=0.840,
        train_seconds=47.380263,
        total_params=263_402,
        trainable_params=263_402,
    ),
    Experiment(
        1,
        "01_deeper_cnn",
        "Deeper CNN",
        "Three convolutions of 32, 64 and 128 filters, and two dense layers of 256 and 128.",
        accuracy=0.7230,
        loss=0.902,
        train_accuracy=None,
        train_loss=None,
        train_seconds=45.206875,
        total_params=651_978,
        trainable_params=651_978,
    ),
    Experiment(
        2,
        "02_dropout",
        "Dropout",
        "Dropout 0.25 after the second and third pooling and after the last hidden layer.",
        accuracy=0.7730,
        loss=0.673,
        train_accuracy=0.92065,
        train_loss=0.268,
        train_seconds=83.477872,
        total_params=651_978,
        trainable_params=651_978,
    ),
    Experiment(
        3,
        "03_double_conv",
        "Double convolutions",
        "Two convolutions per block; Dropout also after the first pooling; a head of 512 units.",
        accuracy=0.7841,
        loss=0.672,
        train_accuracy=0.94010,
        train_loss=0.196,
        train_seconds=136.842777,
        total_params=1_341_226,
        trainable_params=1_341_226,
    ),
    Experiment(
        4,
        "04_batch_norm",
        "Batch normalization",
        "BatchNormalization after every convolution and hidden layer; batch 512 → 256; "
        "the head of 256 and 128 units again.",
        accuracy=0.8173,
        loss=0.660,
        train_accuracy=0.97728,
        train_loss=0.074,
        train_seconds=148.758790,
        total_params=849_066,
        trainable_params=847_402,
    ),
    Experiment(
        5,
        "05_data_augmentation",
        "Data augmentation",
        "Rotated, shifted and flipped training images; patience 5 → 10.",
        accuracy=0.8594,
        loss=0.426,
        train_accuracy=0.92820,
        train_loss=0.206,
        train_seconds=1225.159844,
        total_params=849_066,
        trainable_params=847_402,
    ),
    Experiment(
        6,
        "06_vgg16_scratch",
        "VGG16 from scratch",
        "VGG16 with random weights and a new head; Adam's learning rate 1e-3 → 1e-4, "
        "gradients clipped to norm 1.",
        accuracy=0.8180,
        loss=0.559,
        train_accuracy=0.88450,
        train_loss=0.328,
        train_seconds=948.826757,
        total_params=14_881_738,
        trainable_params=14_880_970,
    ),
    Experiment(
        7,
        "07_vgg16_frozen",
        "VGG16, ImageNet, frozen",
        "ImageNet weights, all VGG16 layers frozen: only the head learns.",
        accuracy=0.6094,
        loss=1.118,
        train_accuracy=0.66653,
        train_loss=0.950,
        train_seconds=1367.992402,
        total_params=14_881_738,
        trainable_params=166_282,
    ),
    Experiment(
        8,
        "08_vgg16_finetuned",
        "VGG16, ImageNet, fine-tuned",
        "Nothing is frozen: the ImageNet weights are fine-tuned.",
        accuracy=0.8688,
        loss=0.411,
        train_accuracy=None,
        train_loss=None,
        train_seconds=582.279129,
        total_params=14_881_738,
        trainable_params=14_880_970,
    ),
    Experiment(
        9,
        "09_mini_vgg16",
        "Mini-VGG16, fine-tuned",
        "Only the first three blocks of VGG16, fine-tuned.",
        accuracy=0.8780,
        loss=0.388,
        train_accuracy=0.97303,
        train_loss=0.082,
        train_seconds=789.168614,
        total_params=2_820_042,
        trainable_params=2_819_274,
    ),
    Experiment(
        10,
        "10_vgg16_64x64",
        "VGG16 at 64×64, fine-tuned",
        "The whole VGG16 again, with the images enlarged from 32×32 to 64×64.",
        accuracy=0.9166,
        loss=0.279,
        train_accuracy=0.98153,
        train_loss=0.056,
        train_seconds=948.318542,
        total_params=15_274_954,
        trainable_params=15_274_186,
    ),
)

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
