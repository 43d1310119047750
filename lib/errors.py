"""Errors made for the reader: the message says what was given, what was expected, what to do."""


class LadderError(ValueError):
    """Base of all errors of which the reader sees the message alone."""


class DataError(LadderError):
    """A data set that cannot be used."""


class UnknownDatasetError(DataError):
    """A name that means no data set."""


class WeightsError(LadderError):
    """Pretrained weights that are missing, damaged, or not the expected ones."""


class ParameterError(LadderError):
    """A parameter that a notebook cannot take."""


class ModelError(LadderError):
    """A network that cannot be trained as it is."""


class TrainingError(LadderError):
    """A training that failed."""


class RecordError(LadderError):
    """A file that is not a usable record."""
