"""Published figures of the companions' sources (docs/study.md)."""

from typing import NamedTuple


class Reference(NamedTuple):
    """A reference architecture of the book chapter.

    Attributes:
        name: a key of `lib.companions.architectures.NETWORKS`.
        year: of its paper.
        paper: where it was published.
        params: published number of parameters.
        params_of: which variant has this number, and its source.
        chapter_error: error rate in the chapter, or "–".
        paper_error: error rate in the paper (docs/study.md D12).
    """

    name: str
    year: int
    paper: str
    params: int
    params_of: str
    chapter_error: str
    paper_error: str


_KERAS = "keras.applications, 1,000 classes"

# fmt: off
# name, year, paper, parameters, of which variant, error in the chapter, error in the paper
REFERENCES = (
    Reference("LeNet", 1998, "LeCun et al., Proc. IEEE 86(11)", 61_706,
              "d2l.ai 7.6: 28×28×1, 10 classes", "–", "0.95 %, MNIST test"),
    Reference("AlexNet", 2012, "Krizhevsky et al., NIPS 2012", 46_787_978,
              "the chapter's listing, 10 classes", "26.2 % in 2012, 37.5 % in 2011",
              "15.3 % top-5 in 2012"),
    Reference("NiN", 2013, "arXiv 1312.4400", 1_992_166,
              "d2l.ai 8.3: 224×224×1, 10 classes", "–", "10.41 %, CIFAR-10 test, not augmented"),
    Reference("VGG16", 2014, "arXiv 1409.1556", 138_357_544,
              _KERAS, "16.4 % in 2014", "7.3 % top-5 in 2014, seven networks"),
    Reference("VGG19", 2014, "arXiv 1409.1556", 143_667_240,
              _KERAS, "16.4 % in 2014", "7.3 % top-5 in 2014, seven networks"),
    Reference("GoogLeNet", 2014, "arXiv 1409.4842", 6_998_552,
              "BVLC Caffe, 6.999 M by OpenVINO's model zoo", "–", "6.67 % top-5 in 2014"),
    Reference("ResNet-18", 2015, "arXiv 1512.03385", 11_689_512,
              "torchvision: trainable, no biases in convolutions", "–",
              "27.88 % top-1, ten crops, validation"),
    Reference("ResNet-50", 2015, "arXiv 1512.03385", 25_636_712,
              _KERAS + ", biases in convolutions", "3.5 % in 2016",
              "3.57 % top-5 in 2015, six of up to 152 layers"),
    Reference("DenseNet-121", 2016, "arXiv 1608.06993", 8_062_504,
              _KERAS, "–", "7.71 % top-5, one crop, validation"),
)
# fmt: on

POST_PARAMS, POST_TRAINABLE = 15_237_698, 523_010
"""The blog post's frozen VGG16 at 48×48 with Dense 1000."""

COURSE_TRAINABLE = {"all": 14_846_273, "head only": 131_585, "from block5_conv1": 7_211_009}
"""Trainable parameters of the course page's binary network at 32×32, by strategy."""

CHAPTER_PARAMS, CHAPTER_TRAINABLE = 15_242_050, 7_606_786
"""The book chapter's network: all parameters, and the trainable ones with 15 layers frozen."""
