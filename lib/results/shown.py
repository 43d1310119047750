"""What a notebook of the eleven shows of its result."""

import shlex
from pathlib import Path

from lib import study, tables
from lib.errors import RecordError
from lib.metrics import Score
from lib.results import parameters
from lib.results.record import Record, read, run_name


def comparison(
    slug: str, values: parameters.Values, images, evaluation, *, out: Path, other_network: bool
) -> None:
    """Shows a run's figures beside the published ones and those of earlier runs.

    These are the experiment before, and the same notebook if this run is a changed one, both in
    the same profile.

    Args:
        slug: of the experiment; one that is not of the study has no published figures.
        values: its parameters.
        images: `lib.data.Dataset`.
        evaluation: `lib.training.Evaluation`.
        out: the report's folder, which may have their records.
        other_network: whether the network is not the study's.
    """
    from IPython.display import Markdown, display

    e, ours = study.experiment(slug) if slug in study.SLUGS else None, evaluation.metrics
    other = "another network" if other_network else ""
    if e:
        print(study.comparison(slug, ours["test"], dataset=images.name, other=other))
    rows, said = [_row("this run", ours)], []
    published = e and images.name == "cifar10"
    if published:
        rows.append(_row("published", _published(e)))
    same = _record(slug, values, images, out)
    changed = same and parameters.computed(same.parameters) != parameters.computed(values)
    if changed or (same and other_network):
        rows.append(_row("this notebook, unchanged", same.metrics))
        said.append(f"{_change(ours, same.metrics)} from the unchanged notebook.")
    if e and e.before:
        before = study.experiment(e.before)
        title = f"{before.number:02d} · {before.title}"
        if known := _record(before.slug, values, images, out):
            rows.append(_row(title, known.metrics))
            there = f" (published: {_points(e.accuracy - before.accuracy)})" if published else ""
            said.append(f"{_change(ours, known.metrics)} from {title}{there}.")
        if published:
            rows.append(_row(f"{title}, published", _published(before)))
    if said:
        points = 100 * study.chance_difference(ours["test"].accuracy, len(images.y_test))
        said.append(f"A difference of less than {points:.1f} points can be chance.")
    if evaluation.at_chance:
        said.append("The test accuracy is at chance level, within two standard errors.")
    tables.show(rows)
    if said:
        display(Markdown(" ".join(said)))


def _change(ours: dict[str, Score], theirs: dict[str, Score]) -> str:
    change = ours["test"].accuracy - theirs["test"].accuracy
    return f"Test accuracy changes by {_points(change)} points"


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _published(e: study.Experiment) -> dict[str, Score]:
    """Returns the published scores by part, of the training part where the text gives them."""
    found = {"test": Score(accuracy=e.accuracy, loss=e.loss)}
    if e.train_accuracy is not None:
        found["train"] = Score(accuracy=e.train_accuracy, loss=e.train_loss)
    return found


def _row(name: str, scores: dict[str, Score]) -> dict:
    test, train, val = (scores.get(part) for part in ("test", "train", "val"))
    return {
        "run": name,
        "test accuracy": test.accuracy,
        "training accuracy": train and train.accuracy,
        "training minus test, points": train and _points(train.accuracy - test.accuracy),
        "validation accuracy": val and val.accuracy,
        "test cross-entropy": f"{test.loss:.3f}",
        "training cross-entropy": train and f"{train.loss:.3f}",
    }


def _record(slug: str, values: parameters.Values, images, out: Path) -> Record | None:
    """Returns the record of another experiment in the same profile, if there is a sound one."""
    name = run_name(slug, values["PROFILE"], values["SEED"])
    try:
        found = read(out / "results" / f"{name}.json")
    except RecordError:
        return None
    return found if found.dataset.sha256 == images.sha256 else None


def card(record: Record, out: str = "") -> None:
    """Shows in a few lines what a run has reached and where it is saved.

    Args:
        record: of the run.
        out: its parameter OUT; "" in a batch run, whose page lies beside results and report.
    """
    slug, test, name = record.experiment, record.metrics["test"], record.name
    lines = {"ours": f"{test.accuracy:.2%} test accuracy, cross-entropy {test.loss:.3f}"}
    if slug in study.SLUGS:
        e = study.experiment(slug)
        lines["published"] = f"{e.accuracy:.2%} on CIFAR-10, cross-entropy {e.loss:.3f}"
        lines["verdict"] = verdict(record)
    if out:
        lines["record"] = f"{out}/results/{name}.json"
        command = f"python -m ladder.run report --out {shlex.quote(out)}"
        lines["report"] = f"{command} (in the project's folder)"
    else:
        lines["record"] = [tables.Link(f"{name}.json", f"../results/{name}.json")]
        lines["report"] = [tables.Link("index.html", f"../index.html#{slug}")]
    tables.show([{"result": label, "of this run": value} for label, value in lines.items()])


def verdict(record: Record) -> str:
    """Says whether one run reproduces the published accuracy, or why it is not judged."""
    if record.no_verdict:
        return f"none: {record.no_verdict}"
    found = study.judge(record.experiment, record.metrics["test"].accuracy)
    return f"{found.word}; {found.interval}"
