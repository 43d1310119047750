"""The rows of results, and their writers to Markdown and CSV; `sections` writes them as HTML."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ladder.report import claims, verdicts
from ladder.report.render import render
from ladder.report.verdicts import Row
from lib import cache
from lib.results import parameters
from lib.results.record import Record


def write(out: Path, records: list[Record], of_study: list[Record]) -> None:
    """Writes ``summary.md`` and ``summary.csv`` beside the report, each whole or not at all.

    Args:
        out: the report's folder.
        records: of one profile and one data set.
        of_study: of the study's protocol on the same data; may be empty.

    Raises:
        OSError: if they cannot be written.
    """
    rows, study_rows = verdicts.table(records, out), verdicts.table(of_study)
    texts = {"summary.md": markdown(rows, study_rows), "summary.csv": as_csv(rows, study_rows)}
    for name, text in texts.items():
        with cache.atomic_file(out / name) as part:
            part.write_text(text, encoding="utf-8", newline="")


def lines(rows: list[Row], study_rows: Sequence[Row] = ()) -> list[dict[str, object]]:
    """Returns one dictionary per experiment, which every writer of the table of results takes.

    Accuracies are from 0 to 1, losses in nats, times in seconds; None where there is nothing.

    Args:
        rows: of one protocol.
        study_rows: of the published protocol on the same data, if it was run.
    """
    study_rows = study_rows or verdicts.table([])
    pooled, of_study = verdicts.spread(rows), verdicts.spread(study_rows)
    comparable = verdicts.comparable(rows)
    own = any(r.dataset.name.startswith("own/") for row in rows for r in row.records)
    found = []
    for row, study_row in zip(rows, study_rows, strict=True):
        e, judged = row.experiment, verdicts.verdict(row, pooled)
        judged_study = verdicts.verdict(study_row, of_study)
        profile = row.records[0].profile if row.records else ""
        precision = study_row.records[0].training.precision if study_row.records else None
        gpus = [gpu for r in study_row.records for gpu in r.environment.get("gpus", [])[:1]]
        found.append(
            {
                "number": e.number,
                "experiment": e.slug,
                "title": e.title,
                "published_accuracy": e.accuracy if comparable else None,
                "same_protocol_accuracy": study_row.accuracy,
                "same_protocol_accuracy_sd": study_row.accuracy_sd,
                "same_protocol_seeds": len(study_row.records),
                "same_protocol_precision": precision,
                "same_protocol_gpus": ", ".join(
                    f"{n} on {gpu}" for gpu, n in Counter(gpus).items()
                ),
                "same_protocol_verdict": judged_study and judged_study.word,
                "same_protocol_indicative": judged_study and judged_study.indicative,
                "accuracy": row.accuracy,
                "accuracy_sd": row.accuracy_sd,
                "seeds": len(row.records),
                "at_chance": row.at_chance,
                "difference": row.difference,
                "verdict": judged and judged.word,
                "indicative": judged and judged.indicative,
                "interval_low": judged and judged.low,
                "interval_high": judged and judged.high,
                "schedule_chosen_on": judged and parameters.chosen_on(profile, e.slug),
                "published_cross_entropy": e.loss if comparable else None,
                "cross_entropy": row.loss,
                "train_accuracy": row.train_accuracy,
                "parameters": (row.records[0].model if row.records else e).total_params,
                "training_multiply_adds": row.operations,
                "training_seconds": row.seconds,
            }
            | ({"balanced_accuracy": row.balanced_accuracy} if own else {})
        )
    return found


def as_csv(rows: list[Row], study_rows: Sequence[Row] = ()) -> str:
    """Returns `lines` as CSV with a header, full precision."""
    text = io.StringIO()
    content = lines(rows, study_rows)
    writer = csv.DictWriter(text, content[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(content)
    return text.getvalue()


def markdown(rows: list[Row], study_rows: list[Row]) -> str:
    """Returns conditions, verdict, table and claims as Markdown.

    Args:
        rows: of one protocol.
        study_rows: of the published protocol, see `claims.judge`.
    """
    return render(
        "summary.md.j2",
        first=next((record for row in rows for record in row.records), None),
        verdict=verdicts.in_one_line(rows),
        sensitivity=verdicts.sensitivity(rows),
        protocol=verdicts.of_the_protocol(rows, study_rows),
        lines=lines(rows, study_rows),
        comparable=verdicts.comparable(rows),
        caution=claims.schedules_differ(rows),
        judged=claims.judge(rows, study_rows),
    )
