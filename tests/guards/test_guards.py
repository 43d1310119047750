"""The guard battery: planted mistakes of false science, each caught by an ordinary test.

Each mistake is planted into a copy of the project, in which the test that must catch it is
run. It must fail by what it asserts: a copy that cannot even be imported proves nothing.
"""

import io
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("lib", "ladder", "notebooks", "tests", "README.md", "CONTRIBUTING.md", "pyproject.toml")
WORKERS = 2
IMPORTED = ("tensorflow", "keras", "sklearn.linear_model", "sklearn.svm", "scipy.stats", "cv2")
"""What costs seconds to import is imported once, in the process that all others are forks of."""

ASSERTED = ("assert ", "AssertionError", "Failed: DID NOT RAISE")
"""How the message of a test begins that failed by what it asserts, and not by an accident."""


@dataclass(frozen=True)
class Mistake:
    """A planted mistake.

    Attributes:
        name: in plain words.
        file: where it is planted.
        old: text that the file has once.
        new: the mistake.
        caught_by: the test that must fail, below ``tests/unit``.
    """

    name: str
    file: str
    old: str
    new: str
    caught_by: str


MISTAKES = (
    # --- which images ---
    Mistake(
        "test images in training",
        "lib/data/__init__.py",
        """        x_train=source.x_train[train],
        y_train=source.y_train[train],
""",
        """        x_train=np.concatenate([source.x_train[train], source.x_test[test]]),
        y_train=np.concatenate([source.y_train[train], source.y_test[test]]),
""",
        "test_data.py::test_parts_are_disjoint[0-sizes0]",
    ),
    Mistake(
        "validation images also in training",
        "lib/data/__init__.py",
        "train, val = _stratified(np.arange(len(source.y_train)), source.y_train, val_size, seed)",
        "train = np.arange(len(source.y_train))\n"
        "        val = _stratified(train, source.y_train, val_size, seed)[1]",
        "test_data.py::test_parts_are_disjoint[0-sizes0]",
    ),
    Mistake(
        "labels shuffled apart from their images",
        "lib/data/__init__.py",
        "        y_train=source.y_train[train],",
        "        y_train=np.random.default_rng(seed).permutation(source.y_train[train]),",
        "test_data.py::test_parts_are_disjoint[0-sizes0]",
    ),
    Mistake(
        "the test subset depends on the run's seed",
        "lib/data/__init__.py",
        "source.y_test, _SPLIT_SEED)",
        "source.y_test, seed)",
        "test_data.py::test_seed_draws_validation_but_never_the_test_set",
    ),
    Mistake(
        "the seed does not reach the split",
        "lib/data/__init__.py",
        "source.y_train, val_size, seed)",
        "source.y_train, val_size, _SPLIT_SEED)",
        "test_data.py::test_seed_draws_validation_but_never_the_test_set",
    ),
    Mistake(
        "the digest of the data ignores the labels",
        "lib/digests.py",
        "        digest.update(array.data)",
        '        digest.update(array.data if name.startswith("x") else b"")',
        "test_data.py::test_damaged_copy_is_made_again[y_train-last_byte_flipped]",
    ),
    Mistake(
        "images decoded as BGR",
        "lib/data/image_files.py",
        "return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)",
        "return image",
        "test_data.py::test_parquet_reads_back_exactly",
    ),
    # --- from arrays to batches ---
    Mistake(
        "pixels scaled twice",
        "lib/inputs.py",
        "np.float32(1 / 255)",
        "np.float32(1 / 255 / 255)",
        "test_inputs.py::test_scaling_once",
    ),
    Mistake(
        "the seed does not reach the order of the images",
        "lib/inputs.py",
        "default_rng((seed, epoch)).permutation",
        "default_rng((0, epoch)).permutation",
        "test_inputs.py::test_batches_depend_on_seed_and_step_only",
    ),
    Mistake(
        "augmentation on validation",
        "lib/inputs.py",
        """        if view is not None:
            rng = np.random.default_rng((*view, int(start)))""",
        """        if True:
            rng = np.random.default_rng(0)""",
        "test_inputs.py::test_evaluation_neither_shuffles_nor_augments",
    ),
    Mistake(
        "images resized after augmentation",
        "lib/inputs.py",
        """    images = resize(x[chosen], image_size)
    if recipe.augmented:
        rng = np.random.default_rng((recipe.seed, epoch, index))
        if recipe.augmentation == "study":
            images = augment(images, **draw_augmentation(rng, len(images)))
""",
        """    images = x[chosen]
    if recipe.augmented:
        rng = np.random.default_rng((recipe.seed, epoch, index))
        if recipe.augmentation == "study":
            images = resize(augment(images, **draw_augmentation(rng, len(images))), image_size)
""",
        "test_sound_training.py::test_augmentation_comes_after_resizing_and_leaves_labels_alone",
    ),
    Mistake(
        "labels mirrored with their images",
        "lib/inputs.py",
        "    return scale(images), y[chosen]",
        "    return scale(images), y[chosen][:: -1 if recipe.augmented else 1]",
        "test_sound_training.py::test_augmentation_comes_after_resizing_and_leaves_labels_alone",
    ),
    # --- networks ---
    Mistake(
        "Dropout active while evaluating",
        "lib/models.py",
        "            x = layers.Dropout(DROPOUT)(x)",
        "            x = layers.Dropout(DROPOUT)(x, training=True)",
        "test_sound_training.py::test_a_networks_answer_does_not_depend_on_chance_or_on_other_images",
    ),
    Mistake(
        "a batch's own statistics used while evaluating",
        "lib/models.py",
        "                x = fast_layers.BatchNormalization()(x)",
        "                x = fast_layers.BatchNormalization()(x, training=True)",
        "test_sound_training.py::test_a_networks_answer_does_not_depend_on_chance_or_on_other_images",
    ),
    Mistake(
        "the frozen base is not frozen",
        "lib/models.py",
        "                trainable=not frozen,",
        "                trainable=True,",
        "test_models.py::test_network_is_the_published_one[07_vgg16_frozen]",
    ),
    Mistake(
        "random weights in place of ImageNet's",
        "notebooks/09_mini_vgg16.ipynb",
        "    weights=weights,\\n",
        "    weights=None,\\n",
        "test_models.py::test_imagenet_weights_go_where_they_belong[09_mini_vgg16]",
    ),
    Mistake(
        "RGB and BGR swapped for pretrained weights",
        "lib/companions/backbones.py",
        "module.preprocess_input(255 * inputs)",
        "module.preprocess_input(255 * inputs[..., ::-1])",
        "test_backbones.py::test_scaling_inside_equals_keras_outside[VGG16-32]",
    ),
    Mistake(
        "preprocess_input applied twice",
        "lib/companions/backbones.py",
        "module.preprocess_input(255 * inputs)",
        "module.preprocess_input(module.preprocess_input(255 * inputs))",
        "test_backbones.py::test_scaling_inside_equals_keras_outside[VGG16-32]",
    ),
    # --- training ---
    Mistake(
        "early stopping on the test set",
        "lib/training/feeds.py",
        "images.x_val, images.y_val, image_size=size),",
        "images.x_test, images.y_test, image_size=size),",
        "test_sound_training.py::test_training_never_touches_the_test_images",
    ),
    Mistake(
        "early stopping on the training images",
        "lib/training/feeds.py",
        "images.x_val, images.y_val, image_size=size),",
        "images.x_train, images.y_train, image_size=size),",
        "test_sound_training.py::test_an_epochs_figures_are_those_of_the_validation_images",
    ),
    Mistake(
        "`trainable` changed after compile",
        "lib/training/__init__.py",
        "    two_classes = model.output_shape[-1] == 1\n",
        "    if model.compiled:\n        return\n    two_classes = model.output_shape[-1] == 1\n",
        "test_training.py::test_head_first_leaves_the_base_alone_and_then_trains_it",
    ),
    Mistake(
        "the seed does not reach the first weights",
        "lib/training/__init__.py",
        "keras.utils.set_random_seed(value)",
        "keras.utils.set_random_seed(0)",
        "test_sound_training.py::test_two_seeds_are_two_networks",
    ),
    # --- measuring ---
    Mistake(
        "binary accuracy of ten classes",
        "lib/metrics.py",
        "(probabilities.argmax(axis=1) == labels)",
        "((probabilities > 0.5) == np.eye(probabilities.shape[1])[labels])",
        "test_training.py::test_score_is_plain_accuracy_and_cross_entropy",
    ),
    Mistake(
        "label-smoothed cross-entropy reported",
        "lib/metrics.py",
        "loss=float(-np.log(np.clip(chosen, EPSILON, 1 - EPSILON)).mean())",
        "loss=float(-0.9 * np.log(np.clip(chosen, EPSILON, 1 - EPSILON)).mean()"
        " - 0.1 * np.log(np.clip(probabilities, EPSILON, 1 - EPSILON)).mean())",
        "test_training.py::test_score_is_plain_accuracy_and_cross_entropy",
    ),
    Mistake(
        "the loss averaged over batches, not over images",
        "lib/training/__init__.py",
        "        measured[part] = metrics.score(probabilities, y)",
        """        step = inputs.EVALUATION_BATCH
        cuts = [slice(start, start + step) for start in range(0, len(y), step)]
        scores = [metrics.score(probabilities[cut], y[cut]) for cut in cuts]
        means = ([getattr(s, k) for s in scores] for k in ("accuracy", "loss"))
        measured[part] = metrics.Score(*(float(np.mean(values)) for values in means))""",
        "test_sound_training.py::test_evaluation_is_over_all_images_as_they_are_in_inference_mode",
    ),
    Mistake(
        "training figures measured on augmented images",
        "lib/training/__init__.py",
        "        probabilities = predict(model, x)",
        """        drawn = inputs.draw_augmentation(np.random.default_rng(0), len(x))
        probabilities = predict(model, inputs.augment(x, **drawn) if part == "train" else x)""",
        "test_sound_training.py::test_evaluation_is_over_all_images_as_they_are_in_inference_mode",
    ),
    Mistake(
        "validation figures reported as those of the test set",
        "lib/training/__init__.py",
        'x, y = getattr(images, f"x_{part}"), getattr(images, f"y_{part}")',
        'x, y = (getattr(images, f"{k}_{part}".replace("test", "val")) for k in "xy")',
        "test_sound_training.py::test_evaluation_is_over_all_images_as_they_are_in_inference_mode",
    ),
    Mistake(
        "chance level not noticed",
        "lib/training/__init__.py",
        "<= share + margin",
        "< share - margin",
        "test_training.py::test_chance_level_is_noticed",
    ),
    Mistake(
        "a classifier's strength chosen on the test set",
        "lib/companions/transfer.py",
        'pipeline.score(stored["val"], images.y_val)',
        'pipeline.score(stored["test"], images.y_test)',
        "test_transfer.py::test_strength_is_chosen_on_validation",
    ),
    # --- notebooks ---
    Mistake(
        "a parameter that is injected but never read",
        "notebooks/05_data_augmentation.ipynb",
        "augmented=AUGMENT,",
        "augmented=True,",
        "test_protocol.py::test_parameters_reach_what_they_name[05_data_augmentation]",
    ),
    Mistake(
        "a notebook that trains with seed 0 whatever its SEED",
        "notebooks/00_base_cnn.ipynb",
        "    seed=SEED,",
        "    seed=0,",
        "test_protocol.py::test_parameters_reach_what_they_name[00_base_cnn]",
    ),
    Mistake(
        "a notebook that stops early on the test set",
        "notebooks/08_vgg16_finetuned.ipynb",
        "fit = training.fit(",
        "vars(images).update(x_val=images.x_test, y_val=images.y_test); fit = training.fit(",
        "test_protocol.py::test_test_images_come_after_the_training[08_vgg16_finetuned]",
    ),
    # --- records and verdicts ---
    Mistake(
        "a record edited by hand is believed",
        "lib/results/record.py",
        "if record.digest != digest(content):",
        "if not record.digest:",
        "test_results.py::test_record_changed_by_hand_is_refused[accuracy]",
    ),
    Mistake(
        "a record beside the predictions of another run",
        "lib/results/record.py",
        "        _check_predictions(path, record)\n",
        "        pass\n",
        "test_results.py::test_predictions_of_another_run_are_named_and_left_out[other_labels]",
    ),
    Mistake(
        "a result of other data counts as up to date",
        "lib/results/fingerprint.py",
        '"data": data,',
        '"data": "",',
        "test_parameters.py::test_fingerprint_sees_code_parameters_data_and_weights",
    ),
    Mistake(
        "the same seed reused as two",
        "ladder/report/verdicts.py",
        "if len(set(seeds)) < len(seeds):",
        "if not seeds and records:",
        "test_verdicts.py::test_same_seed_twice_is_not_two_runs",
    ),
    Mistake(
        "the same run under two seeds",
        "ladder/report/verdicts.py",
        "if (one.history, one.metrics) == (other.history, other.metrics):",
        "if one.seed == other.seed:",
        "test_verdicts.py::test_same_run_under_two_seeds_is_not_two_runs",
    ),
    Mistake(
        "the best seed reported as the mean",
        "ladder/report/verdicts.py",
        "mean = statistics.fmean(accuracies)",
        "mean = max(accuracies)",
        "test_verdicts.py::test_row_has_mean_spread_and_difference",
    ),
    Mistake(
        "results of another data set in the same table",
        "ladder/report/verdicts.py",
        "if len(set(map(_conditions, records))) > 1:",
        "if len({record.profile for record in records}) > 1:",
        "test_verdicts.py::test_what_differs_is_never_mixed[change1]",
    ),
    Mistake(
        "a published figure mistyped",
        "lib/study.py",
        "0.8594, 0.426",
        "0.8549, 0.426",
        "test_study.py::test_published_figures",
    ),
)


def copy_project(folder: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "guards")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)


def plant(mistake: Mistake, folder: Path) -> None:
    path = folder / mistake.file
    text = path.read_text(encoding="utf-8")
    count = text.count(mistake.old)
    assert count == 1, f"{mistake.name}: {mistake.file} has {count} times, not once: {mistake.old}"
    path.write_text(text.replace(mistake.old, mistake.new), encoding="utf-8")


@dataclass(frozen=True)
class Outcome:
    """What pytest made of tests in a copy: exit code, messages of failures, all it printed."""

    code: int
    reasons: list[str]
    printed: str
    seconds: float


def run_tests(folder: Path, tests: list[str]) -> Outcome:
    """Runs tests in a copy of the project; to be called in a process of its own."""
    began = time.perf_counter()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    for name in ("CIFAR10_DIR", "PYTEST_ADDOPTS"):
        os.environ.pop(name, None)
    os.environ["CIFAR10_LADDER_CACHE"] = str(folder / "cache")
    options = ["-q", "-p", "no:cacheprovider", "--junitxml=outcome.xml", f"--rootdir={folder}"]
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(printed):
        code = pytest.main([*options, *(f"tests/unit/{test}" for test in tests)])
    cases = ElementTree.parse("outcome.xml").iter("testcase")
    bad = [part for case in cases for part in case if part.tag in ("failure", "error")]
    return Outcome(
        code=int(code),
        reasons=[f"{'' if x.tag == 'failure' else 'error: '}{x.get('message')}" for x in bad],
        printed=printed.getvalue(),
        seconds=time.perf_counter() - began,
    )


def caught(mistake: Mistake, folder: Path) -> Outcome:
    """Plants a mistake and runs the test that must catch it."""
    copy_project(folder)
    plant(mistake, folder)
    outcome = run_tests(folder, [mistake.caught_by])
    shutil.rmtree(folder)
    return outcome


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Processes that do one thing each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    pool = ProcessPoolExecutor(WORKERS, mp_context=context, max_tasks_per_child=1)
    yield pool
    pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def outcomes(request, pool, tmp_path_factory) -> dict[str, Future[Outcome]]:
    """Starts all mistakes that are selected."""
    folder = tmp_path_factory.mktemp("guards")
    wanted = [
        item.callspec.params["mistake"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    ]
    return {m.name: pool.submit(caught, m, folder / str(n)) for n, m in enumerate(wanted)}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name.replace(" ", "-"))
def test_planted_mistake_is_caught(mistake, outcomes, record_property):
    outcome = outcomes[mistake.name].result(timeout=600)
    found = (
        f"NOT CAUGHT: {mistake.name} ({mistake.file}); {mistake.caught_by} must fail by what it "
        f"asserts, but pytest ended with {outcome.code} and {outcome.reasons}\n"
        + outcome.printed[-3000:]
    )
    assert outcome.code == 1, found
    assert outcome.reasons, found
    assert not [reason for reason in outcome.reasons if not reason.startswith(ASSERTED)], found
    record_property("row", (mistake.name, mistake.caught_by, outcome.seconds))


def test_without_a_mistake_nothing_fails(pool, tmp_path):
    """So it is the mistakes that are caught, and not the copying."""
    copy_project(tmp_path)
    tests = sorted({mistake.caught_by for mistake in MISTAKES})
    outcome = pool.submit(run_tests, tmp_path, tests).result(timeout=600)
    assert outcome.code == 0, outcome.printed
