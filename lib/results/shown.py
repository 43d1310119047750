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
    """Shows a run's figures beside the published ones and those of the experiment before.

    Args:
        slug: of the experiment.
        values: its parameters.
        images: `lib.data.Dataset`.
        evaluation: `lib.training.Evaluation`.
        out: the report's folder, which may have the record of the experiment before.
        other_network: whether the network is not the study's.
    """
    from IPython.display import HTML, Markdown, display

    e, ours = study.experiment(slug), evaluation.metrics
    other = "another network" if other_network else ""
    print(study.comparison(slug, ours["test"], dataset=images.name, other=other))
    rows = [_row("this run", ours["test"], ours["train"], ours["val"])]
    published = images.name == "cifar10"
    if published:
        rows.append(_row("published", *_published(e)))
    said = []
    if evaluation.at_chance:
        said.append("The network is at chance level: it has learned nothing.")
    if e.before:
        before = study.experiment(e.before)
        known = _record(before.slug, values, images, out)
        title = f"{before.number:02d} · {before.title}"
        if known:
            rows.append(_row(title, *(known.metrics[part] for part in ("test", "train", "val"))))
        if published:
            rows.append(_row(f"{title}, published", *_published(before)))
        if known:
            change = _points(ours["test"].accuracy - known.metrics["test"].accuracy)
            said.append(f"Test accuracy changes by {change} points from {title}")
            if published:
                said[-1] += f" (published: {_points(e.accuracy - before.accuracy)})"
            said[-1] += "."
    display(HTML(tables.rows(rows)))
    if said:
        display(Markdown(" ".join(said)))


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _published(e: study.Experiment) -> tuple[Score, Score | None]:
    """Returns the published scores of the test and, where the text gives it, the training part."""
    train = e.train_accuracy is not None and Score(accuracy=e.train_accuracy, loss=e.train_loss)
    return Score(accuracy=e.accuracy, loss=e.loss), train or None


def _row(name: str, test: Score, train: Score | None, val: Score | None = None) -> dict:
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
    from IPython.display import Markdown, display

    e, test, name = study.experiment(record.experiment), record.metrics["test"], record.name
    command = f"python -m ladder.run report --out {shlex.quote(out)}"
    lines = {
        "Ours": f"**{test.accuracy:.2%}** test accuracy, cross-entropy {test.loss:.3f}",
        "Published": f"{e.accuracy:.2%} on CIFAR-10, cross-entropy {e.loss:.3f}",
        "Verdict": verdict(record),
        "Record": f"`{out}/results/{name}.json`" if out else f"[{name}](../results/{name}.json)",
        "Report": f"`{command}`" if out else f"[index.html](../index.html#{e.slug})",
    }
    table = ["| Result | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in lines.items())]
    display(Markdown("\n".join(table)))


def verdict(record: Record) -> str:
    """Says whether one run reproduces the published accuracy, or why it is not judged."""
    if record.has_verdict:
        found = study.judge(record.experiment, record.metrics["test"].accuracy)
        interval = f"between {found.low:.1%} and {found.high:.1%}"
        return f"{found.word}; 95% of runs with other seeds are expected {interval}"
    if record.dataset.name != "cifar10":
        return "none: the images are not CIFAR-10's"
    why = "the network is another" if record.has_other_network else "not all images were used"
    return f"none: {why}"
