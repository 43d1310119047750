"""The sections of the report as HTML, from records alone: the data that templates show."""

import re
import statistics
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

from ladder.report import summary, verdicts
from ladder.report.claims import Judgement, schedules_differ
from ladder.report.render import percent, render, signed
from ladder.report.verdicts import Other, Row
from lib import ROOT, clock, study, tables
from lib.data import account, cifar10
from lib.results import parameters
from lib.results.record import Record
from lib.study import COMPANIONS, EXPERIMENTS, SLUGS

MOST_CLASSES = 12
"""Classes of a table that is not folded."""


def facts(records: list[Record]) -> str:
    """Returns the first screen's facts: data, profile, seeds, versions.

    Args:
        records: of one profile and one data set.
    """
    of_study = _without_companions(records)
    seeds = sorted({record.seed for record in of_study})
    slugs = {record.experiment for record in of_study}
    return render(
        "facts.html.j2",
        first=records[0] if records else None,
        seeds=seeds,
        some_lack_seeds=len(of_study) < len(seeds) * len(slugs),
        newest=max((str(r.environment.get("date") or "") for r in records), default=""),
    )


def notes(records: list[Record], *, left_out: int = 0, unusable: int = 0) -> str:
    """Returns what a reader must know of these figures, and what is missing, as one note.

    Args:
        records: of one profile and one data set.
        left_out: records in the folder that are of another, of another recipe or network.
        unusable: files in the folder that are no sound records (`lib.results.record.read_all`).
    """
    of_study = _without_companions(records)
    slugs = {record.experiment for record in of_study}
    stuck = {r.experiment for r in of_study if not r.is_companion and r.training.at_chance}
    return render(
        "notes.html.j2",
        first=records[0] if records else None,
        missing=[e.heading for e in EXPERIMENTS if e.slug not in slugs],
        stuck=[e.heading for e in EXPERIMENTS if e.slug in stuck],
        other_code=[record.name for record in verdicts.of_other_code(of_study)],
        left_out=left_out,
        unusable=unusable,
        cifar10=cifar10,
    )


def table(rows: list[Row], study_rows: Sequence[Row] = (), *, out: Path) -> str:
    """Returns the table of the eleven: published, ours, verdict, cost, pages.

    Args:
        rows: of `ladder.report.verdicts.table`.
        study_rows: of the published protocol on the same data, if it was run.
        out: the report's folder; links lead to the pages that are in it.
    """
    return render(
        "table.html.j2",
        lines=summary.lines(rows, study_rows),
        with_protocol=verdicts.of_the_protocol(rows, study_rows),
        comparable=verdicts.comparable(rows),
        pages={row.experiment.slug: _links(row, out) for row in rows},
    )


def headline(rows: list[Row], judged: list[Judgement]) -> str:
    """Returns the result in one sentence, with its figures: against the study, or what pays off.

    Args:
        rows: of `ladder.report.verdicts.table`.
        judged: the study's claims, judged by these rows.
    """
    first = next((record for row in rows for record in row.records), None)
    comparable = verdicts.comparable(rows)
    return render(
        "headline.html.j2",
        tally=verdicts.tally(rows),
        judged=judged,
        comparable=comparable,
        correlation=verdicts.rank_correlation(rows) if comparable else None,
        few=sum(0 < len(row.records) < 3 for row in rows),
        profile=first and first.profile,
        images=first and first.dataset.train,
        **_payoff(rows),
    )


def protocol(rows: list[Row], study_rows: list[Row]) -> str:
    """Returns `verdicts.of_the_protocol` as HTML, or ``""``."""
    return render("protocol.html.j2", line=verdicts.of_the_protocol(rows, study_rows))


def method(rows: list[Row]) -> str:
    """Returns how the verdicts are made, with the spread that they use."""
    return render(
        "method.html.j2",
        pooled=verdicts.spread(rows),
        widest=study.WIDEST,
        sensitivity=verdicts.sensitivity(rows),
    )


def recalls(rows: list[Row]) -> str:
    """Returns the recall of each class in each experiment as HTML, or ``""`` without any."""
    shown = [row for row in rows if row.recalls]
    classes = shown[0].records[0].dataset.classes if shown else []
    return render("recalls.html.j2", rows=shown, classes=classes, most=MOST_CLASSES)


def payoff(rows: list[Row], *, out: Path | None = None) -> str:
    """Returns which experiment pays off for these images, and at what cost, as HTML.

    Args:
        rows: of `ladder.report.verdicts.table`.
        out: the report's folder; links lead to the models of own images that are in it.
    """
    found = verdicts.payoff(rows)
    best = (found.enough, found.rows[-1]) if found and found.enough.recalls else ()
    names = dict.fromkeys(f"models/{row.records[0].name}.keras" for row in best)
    models = [tables.Link(name, name) for name in names if out and (out / name).is_file()]
    return render("payoff.html.j2", **_payoff(rows), models=models)


def _payoff(rows: list[Row]) -> dict:
    """Returns what the templates need to say which experiment pays off."""
    return {
        "found": verdicts.payoff(rows),
        "error": verdicts.error,
        "unfinished": []
        if verdicts.comparable(rows)  # the epochs for CIFAR-10 were chosen
        else [row.experiment.heading for row in verdicts.unfinished(rows)],
    }


def claims(judged: list[Judgement], rows: list[Row]) -> str:
    """Returns the study's claims, each with its verdict and its numbers."""
    return render("claims.html.j2", judged=judged, caution=schedules_differ(rows))


def explorer(tried: list[tuple[Row, list[Other]]]) -> str:
    """Returns the learning curves and the parameters of runs, for report.js, as HTML.

    Args:
        tried: rows, of which all seeds' curves are shown, each with `verdicts.others` of it.
    """
    names = ("accuracy", "val_accuracy", "loss", "val_loss")
    curves = [
        {
            "e": row.experiment.number,
            "name": row.experiment.heading,
            "first": number == 0,
            "best": record.training.best_epoch,
            "minutes": round(record.timing["train_seconds"] / 60, 2),
            **{name: [round(value, 4) for value in record.history[name]] for name in names},
        }
        for row, _ in tried
        for number, record in enumerate(row.records)
    ]
    groups = []
    for row, others in tried:
        if row.records:
            groups.append((f"{row.experiment.heading}, profile {row.records[0].profile}", row))
        groups += [(f"{row.experiment.heading}, {other}", other.row) for other in others]
    settings = [
        {
            "name": name,
            "accuracy": percent(group.accuracy),
            "parameters": verdicts.computed(group.records[0]),
        }
        for name, group in groups
    ]
    return render("explorer.html.j2", content={"runs": curves, "settings": settings})


def otherwise(
    rows: list[Row], study_rows: list[Row], everything: list[Record], *, out: Path
) -> str:
    """Returns the experiments that were also trained in another way; first those that miss.

    Args:
        rows: of `ladder.report.verdicts.table`.
        study_rows: of the published protocol on the same data; may have no records.
        everything: records of any kind, those of other profiles on the same images among them.
        out: the report's folder; links lead to the pages that are in it.
    """
    missed = _missed(rows, everything)
    if any(row.records and row.records[0].profile != "study" for row in rows):
        missed += _missed(study_rows, everything)
    content = []
    for row, of_study in zip(rows, study_rows, strict=True):
        if found := verdicts.others(row, everything):
            if row.records:
                content.append(_trained(row, f"profile {row.records[0].profile}", out))
            for other in found:
                base = of_study if other.base == "study" and other.changes else row
                content.append(_trained(other.row, str(other), out, base=base))
    return render("otherwise.html.j2", missed=missed, rows=content)


def _missed(rows: list[Row], everything: list[Record]) -> list[tuple]:
    """Returns the experiments that miss the published accuracy, with the other ways tried."""
    pooled = verdicts.spread(rows)
    judged = ((row, verdicts.verdict(row, pooled)) for row in rows)
    return [
        (row, verdicts.others(row, everything))
        for row, found in judged
        if found and found.word == "not reproduced"
    ]


def _trained(row: Row, how: str, out: Path, base: Row | None = None) -> dict:
    """Returns a row for `otherwise`, compared with another of the same experiment."""
    compared = base and base.records and verdicts.paired(base, row)
    if compared:
        mean, half, seeds = compared
        compared = (
            f"{signed(mean)} ({signed(mean - half)} to {signed(mean + half)}, {seeds} seeds, "
            f"from {base.records[0].profile})"
        )
    return {
        "experiment": row.experiment.heading,
        "trained": how,
        "validation accuracy": statistics.fmean(r.metrics["val"].accuracy for r in row.records),
        "test accuracy": row.accuracy,
        "difference by seed, points (95 %)": compared or None,
        "test cross-entropy": row.loss,
        "training minus test, points": signed(row.train_accuracy - row.accuracy, 1),
        "epochs run": statistics.fmean(len(r.history["epoch"]) for r in row.records),
        "training": " on ".join(
            [clock(row.seconds), *row.records[0].environment.get("gpus", [])[:1]]
        ),
        "pages, by seed": _links(row, out) or None,
    }


def result(record: Record) -> str:
    """Returns the beginning of a run's page as HTML: its result, and how it differs from the study.

    Args:
        record: of the run, also of a companion notebook.
    """
    slug = record.experiment
    comparable = slug in SLUGS and record.dataset.name == "cifar10"
    return render(
        "result.html.j2",
        record=record,
        published=study.experiment(slug) if comparable else None,
        judge=study.judge,
        changes=verdicts.protocol_changes(record),
    )


def decisions() -> str:
    """Returns the contradictions of the source and our decisions, as Markdown (docs/study.md)."""
    text = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    found = re.findall(r"^- \*\*D\d+\.\*\*.*(?:\n  .*)*", text, flags=re.MULTILINE)
    return "\n".join(found)


def companions(records: list[Record], *, others: Iterable[Record] = (), out: Path) -> str:
    """Returns a section per companion notebook: what it saw, its tables, its page.

    Args:
        records: any; those of companions are shown, the first seed of each.
        others: records of any kind; of custom ones on data of the same name, those of companions
            that ``records`` lacks are shown too.
        out: the report's folder; links lead to the pages that are in it.
    """
    names = {record.dataset.name for record in records}
    custom = [r for r in others if r.profile == "custom" and r.dataset.name in names]
    found = {record.experiment: record for record in [*custom[::-1], *records[::-1]]}
    shown = [found[slug] for slug in COMPANIONS if slug in found]
    content = [
        (record, _page(record, out), _timed_tables(record), _accuracies(record, records))
        for record in shown
    ]
    return render("companions.html.j2", companions=content)


def _accuracies(record: Record, records: list[Record]) -> list[float]:
    """Returns the test accuracy of each seed of a companion that is like an experiment."""
    seeds = [r for r in records if (r.experiment, r.profile) == (record.experiment, record.profile)]
    return [r.metrics["test"].accuracy for r in seeds if r.metrics]


def _timed_tables(record: Record) -> dict[str, list[dict]]:
    """Returns a companion's tables, with the seconds that its record keeps apart."""
    return {
        name: [a | b for a, b in zip_longest(rows, record.timing.get(name, []), fillvalue={})]
        for name, rows in record.tables.items()
    }


def conditions(records: list[Record]) -> str:
    """Returns machine, versions, sizes and sources of the runs."""
    if not records:
        return ""
    runs = _without_companions(records)
    environments = [record.environment for record in runs]
    names = ("python", "tensorflow", "keras", "opencv", "numpy")
    content = {
        "Machine": [
            f"{r.machine}, {r.environment['cores']} cores, {r.environment['platform']}"
            for r in runs
        ],
        "Versions": [", ".join(f"{name} {e[name]}" for name in names) for e in environments],
        "Data digest (SHA-256)": [r.dataset.sha256 for r in runs],
        "Images (training / validation / test)": [
            f"{r.dataset.train:,} / {r.dataset.val:,} / {r.dataset.test:,}" for r in runs
        ],
        "Files": [
            " ".join(account(r.dataset.name, r.dataset.files)) for r in runs if r.dataset.files
        ],
        "Source of the ImageNet weights": [r.weights["source"] for r in runs if r.weights],
        "Precision": [r.training.precision for r in runs if r.training],
        "Code": [str(e["git"]) for e in environments],
    }
    return render(
        "conditions.html.j2",
        conditions={label: list(dict.fromkeys(values)) for label, values in content.items()},
        machines={r.machine for r in runs},
        frozen=parameters.frozen(runs[0].profile),
        schedules=[
            (r, e, parameters.of_profile("study", e.slug), r.machine)
            for e in EXPERIMENTS
            for r in runs
            if r.experiment == e.slug
        ],
    )


def _without_companions(records: list[Record]) -> list[Record]:
    """Leaves out the companions, if there is something else."""
    return [record for record in records if not record.is_companion] or records


def _links(row: Row, out: Path) -> list[tables.Link]:
    """Returns a link to the page of each seed of an experiment that has one."""
    title, pages = row.experiment.title, [(r.seed, _page(r, out)) for r in row.records]
    return [tables.Link(str(n), page, f"{title}, seed {n}") for n, page in pages if page]


def _page(record: Record, out: Path) -> str:
    """Returns the address of a run's page from the report, or "" where it has none."""
    address = f"notebooks/{record.name}.html"
    return address if (out / address).is_file() else ""
