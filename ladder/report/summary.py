"""The report's table and verdicts as Markdown and CSV, for those who paste or compute."""

import csv
import io
from pathlib import Path

from ladder.report import claims, verdicts
from ladder.report.verdicts import Row
from lib import cache


def write(out: Path, records: list[dict], of_study: list[dict]) -> None:
    """Writes ``summary.md`` and ``summary.csv`` beside the report, each whole or not at all.

    Args:
        out: the report's folder.
        records: of one profile and one data set.
        of_study: of the study's protocol on the same data; may be empty.
    """
    rows = verdicts.table(records)
    for name, text in (
        ("summary.md", markdown(rows, verdicts.table(of_study))),
        ("summary.csv", as_csv(rows)),
    ):
        with cache.atomic_file(out / name) as part:
            part.write_text(text, encoding="utf-8", newline="")


def lines(rows: list[Row]) -> list[dict[str, object]]:
    """Returns one dictionary per rung; accuracies from 0 to 1, losses in nats, None for nothing."""
    pooled = verdicts.spread(rows)
    comparable = any(row.difference is not None for row in rows)
    found = []
    for row in rows:
        e, judged = row.experiment, verdicts.verdict(row, pooled)
        found.append(
            {
                "number": e.number,
                "experiment": e.slug,
                "published_accuracy": e.accuracy if comparable else None,
                "accuracy": row.accuracy,
                "accuracy_sd": row.accuracy_sd,
                "seeds": len(row.records),
                "difference": row.difference,
                "verdict": judged and judged.word,
                "indicative": judged and judged.indicative,
                "interval_low": judged and judged.low,
                "interval_high": judged and judged.high,
                "published_cross_entropy": e.loss if comparable else None,
                "cross_entropy": row.loss,
                "train_accuracy": row.train_accuracy,
                "parameters": row.records[0]["model"]["total_params"] if row.records else None,
                "training_multiply_adds": row.operations,
                "training_seconds": row.seconds,
            }
        )
    return found


def as_csv(rows: list[Row]) -> str:
    """Returns `lines` as CSV with a header, full precision."""
    text = io.StringIO()
    content = lines(rows)
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
    records = [record for row in rows for record in row.records]
    if not records:
        return "# The CIFAR-10 ladder\n\nNothing has run yet.\n"
    first = records[0]
    comparable = any(row.difference is not None for row in rows)
    parts = [
        "# The CIFAR-10 ladder: published against ours",
        f"Data: {first['dataset']['variant']} · profile {first['profile']} · TensorFlow "
        f"{first['environment']['tensorflow']}, Keras {first['environment']['keras']}.",
        verdicts.in_one_line(rows),
        verdicts.of_the_protocol(rows, study_rows),
        _table(rows, comparable),
    ]
    if comparable:
        judged = claims.judge(rows, study_rows)
        parts.append("## The study's claims")
        parts.append(claims.caution(rows))
        parts.append(
            "\n".join(f"{j.claim.number}. {j.claim.text} **{j.word}.** {j.why}" for j in judged)
        )
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(rows: list[Row], comparable: bool) -> str:
    pooled = verdicts.spread(rows)
    names = ["#", "experiment", "accuracy", "cross-entropy"]
    if comparable:
        names[2:] = ["published", "ours", "difference", "verdict", "published CE", "our CE"]
    text = [f"| {' | '.join(names)} |", "| ---: | --- |" + " ---: |" * (len(names) - 2)]
    for row in rows:
        e, judged = row.experiment, verdicts.verdict(row, pooled)
        ours = loss = difference = "–"
        if row.records:
            ours, loss = f"{row.accuracy:.2%}", f"{row.loss:.3f}"
            if row.accuracy_sd is not None:
                ours += f" ± {100 * row.accuracy_sd:.2f}"
        if row.difference is not None:
            difference = f"{100 * row.difference:+.2f}"
        cells = [str(e.number), e.title, ours, loss]
        if comparable:
            published = f"{e.accuracy:.2%}"
            cells[2:] = [published, ours, difference, str(judged or "–"), f"{e.loss:.3f}", loss]
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text)
