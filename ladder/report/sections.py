"""The HTML pieces of the report, from records alone. All text from outside is escaped."""

import re
import statistics
from html import escape

from ladder.report import verdicts
from ladder.report.claims import Judgement, caution
from ladder.report.verdicts import Row
from lib import ROOT, clock, results, tables
from lib.data import cifar10
from lib.results import parameters
from lib.study import COMPANIONS, EXPERIMENTS, Experiment, experiment
from lib.tables import Html


def facts(records: list[dict], *, left_out: int = 0, unusable: int = 0) -> str:
    """Returns the first screen's facts: data, profile, versions, and what is missing.

    Args:
        records: of one profile and one data set.
        left_out: records in the folder that are of another, or of another recipe.
        unusable: files in the folder that are no sound records (`lib.results.read_all`).
    """
    spoilt = f"{unusable} unusable record{'s' * (unusable > 1)}, named above, left out."
    if not records:
        nothing = "No record was found: nothing has run yet. Start with ./run_all.sh."
        return _notice(spoilt if unusable else nothing)
    first = records[0]
    dataset, environment = first["dataset"], first["environment"]
    rungs = _rungs(records)
    seeds = sorted({record["seed"] for record in rungs})
    every = len(seeds) * len({record["experiment"] for record in rungs})
    partly = ", not of every rung" * (len(rungs) < every)
    lines = [
        f"<p class='facts'>Data: <strong>{escape(dataset['variant'])}</strong> · profile "
        f"<strong>{escape(first['profile'])}</strong> · seed{'s' * (len(seeds) > 1)} "
        f"{', '.join(map(str, seeds))}{partly} · TensorFlow "
        f"{escape(str(environment['tensorflow']))}, Keras {escape(str(environment['keras']))}, "
        f"OpenCV {escape(str(environment['opencv']))}</p>"
    ]
    lines += map(_notice, filter(None, [_worth(first)]))
    missing = [e for e in EXPERIMENTS if not _of(records, e.slug)]
    if missing:
        lines.append(_notice(f"Not run: {_named(missing)}."))
    stuck = [e for e in EXPERIMENTS for r in _of(records, e.slug) if _at_chance(r)]
    if stuck:
        own = dataset["name"].startswith("own/") and first["profile"] == "quick"
        advice = " Few images need more epochs: --profile few." if own else ""
        lines.append(_notice(f"At chance level, nothing learnt: {_named(stuck)}.{advice}"))
    if left_out:
        lines.append(
            _notice(
                f"{left_out} records of another profile, data set or recipe are not in the table."
            )
        )
    if unusable:
        lines.append(_notice(spoilt))
    return "\n".join(lines)


def _named(experiments: list[Experiment]) -> str:
    return escape("; ".join(e.heading for e in experiments))


def table(rows: list[Row], *, folder: str) -> str:
    """Returns the table of the eleven: published, ours, verdict, cost, pages.

    Args:
        rows: of `ladder.report.verdicts.table`.
        folder: where the pages of the notebooks lie, relative to the report.
    """
    pooled = verdicts.spread(rows)
    comparable = any(row.difference is not None for row in rows)
    body = [_cells(row, verdicts.verdict(row, pooled), folder, comparable) for row in rows]
    head = "".join(f"<th scope='col' role='columnheader'>{name}</th>" for name in body[0])
    lines = "\n".join(
        "<tr role='row'>"
        + "".join(
            f"<td role='cell' data-label='{name}' data-value='{value}'>{shown}</td>"
            for name, (value, shown) in cells.items()
        )
        + "</tr>"
        for cells in body
    )
    return (
        "<div class='scroll' tabindex='0' role='group' aria-label='Table of results'>"
        "<table class='sortable cards' role='table'><thead role='rowgroup'><tr role='row'>"
        f"{head}</tr></thead><tbody role='rowgroup'>\n{lines}\n</tbody></table></div>"
    )


def _cells(row: Row, verdict, folder: str, comparable: bool) -> dict[str, tuple]:
    """Returns a row's cells by name: the value to sort by and what is shown."""
    e, nothing = row.experiment, ("", "–")
    done = bool(row.records)
    pages = _pages(row, folder)
    ours = f"{100 * row.accuracy:.2f}" if done else ""
    if row.accuracy_sd is not None:
        ours += f"&nbsp;±&nbsp;{100 * row.accuracy_sd:.2f}"
    params = row.records[0]["model"]["total_params"] if done else e.total_params
    cells = {"experiment": (e.number, escape(e.heading))}
    if comparable:
        cells["published accuracy (%)"] = (e.accuracy, f"{100 * e.accuracy:.2f}")
    cells["our accuracy (%)"] = nothing
    if done:
        cells["our accuracy (%)"] = (row.accuracy, ours + " at chance" * row.at_chance)
    if comparable:
        cells["difference"] = nothing
        if row.difference is not None:
            cells["difference"] = (row.difference, f"{100 * row.difference:+.2f}".replace("-", "−"))
        cells["verdict"] = (verdict.word, str(verdict)) if verdict else nothing
        cells["published cross-entropy"] = (e.loss, f"{e.loss:.3f}")
    cells["our cross-entropy"] = (row.loss, f"{row.loss:.3f}") if done else nothing
    cells["parameters"] = (params, f"{params:,}")
    cells["multiply–adds of training"] = cells["training"] = nothing
    if done:
        work = row.operations / 1e12
        shown = f"{work:,.{0 if work >= 100 else 1 if work >= 0.1 else 3}f} × 10¹²"
        cells["multiply–adds of training"] = (row.operations, shown)
        cells["training"] = (row.seconds, clock(row.seconds))
    cells["pages, by seed"] = (len(row.records), pages or "–")
    return cells


def _pages(row: Row, folder: str) -> str:
    """Returns the links to the pages of a row's runs, one for each seed."""
    return " ".join(
        f"<a href='{escape(folder + page_name(r))}' aria-label='{escape(row.experiment.title)}, "
        f"seed {r['seed']}'>{r['seed']}</a>"
        for r in row.records
    )


def _worth(record: dict) -> str:
    """Returns what its data and its profile mean for a record's figures, as HTML."""
    dataset, profile = record["dataset"], record["profile"]
    said = []
    if dataset["name"] != "cifar10":
        said.append("These are not CIFAR-10 images: the published figures do not apply to them.")
    elif dataset["variant"] == cifar10.OTHER_ORDER:
        said.append(
            "The images are CIFAR-10's own in another order, so the training and validation parts "
            "are not those of other readers."
        )
    elif dataset["variant"] != cifar10.CANONICAL:
        said.append(
            "The images are a copy that is not quite CIFAR-10's own (its name stands above); lossy "
            "compression costs a network some accuracy."
        )
    if profile == "custom":
        said.append(
            "These runs were made by hand; how each one trained stands under the schedules."
        )
    elif profile == "smoke":
        said.append(
            "The profile smoke trains for one epoch on a hundred images: it shows that everything "
            "runs, and no figure below means anything."
        )
    elif profile == "budget" and dataset["name"] == "cifar10":
        said.append(
            "The schedule is not the study's, which stands beside it under <em>What was "
            "different</em>; networks and loss are the same."
        )
    elif profile != "study" and dataset["name"] == "cifar10":
        said.append(
            f"The profile {escape(profile)} trains on a part of the images for a few epochs. It "
            "shows the order of things, not the published figures."
        )
    return " ".join(said)


def verdict(rows: list[Row]) -> str:
    """Returns in one line what came out: against the study, or which rung pays off elsewhere."""
    if any(row.difference is not None for row in rows):
        line = escape(verdicts.in_one_line(rows))
    else:
        line = _which_pays_off(rows)
    return f"<p class='verdict'>{line}</p>" if line else ""


def protocol(rows: list[Row], study_rows: list[Row]) -> str:
    """Returns `verdicts.of_the_protocol` as HTML, or ``""``."""
    line = verdicts.of_the_protocol(rows, study_rows)
    return f"<p class='facts'>{escape(line)}</p>" if line else ""


def method(rows: list[Row]) -> str:
    """Returns how the verdicts are made, with the spread that they use."""
    pooled = verdicts.spread(rows)
    source = (
        f"pooled over the rungs with several seeds, {pooled.degrees} degrees of freedom"
        if pooled.degrees
        else "the largest in arXiv 2304.01910, as no rung here has a second seed"
    )
    return (
        "<details><summary>How the verdicts are made</summary><p>The published figure is one run. "
        "If ours is the same experiment, it should lie where one more run of ours would, with 95 % "
        "probability: within mean ± t · SD · √(1 + 1/n). SD is the spread of test accuracy over "
        f"seeds, {100 * pooled.sd:.2f} points ({source}). Inside: <em>reproduced</em>. Ours "
        "above it: <em>better</em>; below: <em>not reproduced</em>. If the interval is wider than "
        f"± {100 * verdicts.WIDEST:.0f} points, a figure inside it is <em>undetermined</em>. With "
        "one or two seeds a verdict is only <em>indicative</em>.</p></details>"
    )


def payoff(all_rows: list[Row]) -> str:
    """Returns which rung pays off for these images, and at what cost, as HTML."""
    found = verdicts.payoff(all_rows)
    if found is None:
        return "<p>No rung that has run is above chance level.</p>"
    content, before = [], None
    for row in found.rows:
        gain = "" if before is None else f"{100 * (row.accuracy - before.accuracy):+.2f}"
        content.append(
            {
                "rung": row.experiment.heading,
                "test accuracy": row.accuracy,
                "gain, points": gain,
                "training": clock(row.seconds),
                "parameters": row.records[0]["model"]["total_params"],
            }
        )
        before = row
    return (
        f"<p>{_which_pays_off(all_rows)}</p>{tables.rows(content)}"
        "<p class='facts'>Rungs that are not here were not run, are at chance level, or cost more "
        "than one that is at least as accurate. ± is the 95 % interval that comes from the number "
        "of test images.</p>"
    )


def _which_pays_off(all_rows: list[Row]) -> str:
    found = verdicts.payoff(all_rows)
    if found is None:
        return ""
    best, enough = found.best, found.enough
    text = (
        f"The most accurate is <strong>{escape(best.experiment.heading)}</strong>: "
        f"{_accuracy(best)}, {clock(best.seconds)} of training here. "
    )
    if enough is best and len(found.rows) == 1:
        return text + "No other rung that was run is cheaper and above chance level."
    if enough is best:
        return text + "No cheaper rung is as good, as far as the test images can tell."
    return (
        f"{text}<strong>{escape(enough.experiment.heading)}</strong> is as good, as far as the "
        f"test images can tell: {_accuracy(enough)}, {clock(enough.seconds)}."
    )


def _accuracy(row: Row) -> str:
    return f"{row.accuracy:.1%} ± {196 * verdicts.error(row):.1f}"


def claims(judged: list[Judgement], all_rows: list[Row]) -> str:
    """Returns the study's claims, each with its verdict and its numbers."""
    note = caution(all_rows)
    items = "\n".join(
        f"<li><p><strong>{escape(j.claim.text)}</strong> "
        f"<span class='word {j.word.replace(' ', '-')}'>{j.word}</span><br>{escape(j.why)}</p></li>"
        for j in judged
    )
    return (f"<p class='facts'>{note}</p>" if note else "") + f"<ol class='claims'>\n{items}\n</ol>"


def otherwise(
    all_rows: list[Row], study_rows: list[Row], everything: list[dict], *, folder: str
) -> str:
    """Returns what rungs came to that were also trained otherwise; first those that miss.

    Args:
        all_rows: of `ladder.report.verdicts.table`.
        study_rows: of the published protocol on the same data; may have no records.
        everything: records of any kind, those of other profiles on the same images among them.
        folder: where the pages of the notebooks lie, relative to the report.
    """
    missed = _missed(all_rows, everything)
    if any(row.records and _profile(row) != "study" for row in all_rows):
        missed += _missed(study_rows, everything)
    content = []
    for row in all_rows:
        found = verdicts.others(row, everything)
        if found:
            content.append(_trained(row, f"profile {_profile(row)}", folder))
            content += [_trained(other.row, _changed(other), folder) for other in found]
    html = f"<ul>{''.join(missed)}</ul>" if missed else ""
    if content:
        html += tables.rows(content)
    return html or "<p>No rung was trained otherwise on these images.</p>"


def _missed(some_rows: list[Row], everything: list[dict]) -> list[str]:
    """Returns by how much rungs miss the published accuracy, and what else was tried, as items."""
    pooled, items = verdicts.spread(some_rows), []
    for row in some_rows:
        judged = verdicts.verdict(row, pooled)
        if not judged or judged.word != "not reproduced":
            continue
        tried = "; ".join(
            f"{_changed(other)}: {100 * other.row.accuracy:.2f} % "
            f"({100 * (other.row.accuracy - row.accuracy):+.2f} points)"
            for other in verdicts.others(row, everything)
        )
        nothing = "It was not trained otherwise, so the cause is not known"
        items.append(
            f"<li>{escape(row.experiment.heading)}, profile {escape(_profile(row))}: "
            f"{-100 * row.difference:.2f} points below the published accuracy. "
            f"{escape(tried or nothing)}.</li>"
        )
    return items


def _changed(other: verdicts.Other) -> str:
    """Names a profile, or what a run changed in the profile that it is nearest to."""
    profile = _profile(other.row)
    if profile != "custom" and not (profile == other.base and other.changes):
        return f"profile {profile}"
    changes = [f"{name} {new} instead of {old}" for name, (old, new) in other.changes.items()]
    return f"{other.base} with {', '.join(changes)}" if changes else f"{other.base}, by hand"


def _profile(row: Row) -> str:
    return row.records[0]["profile"]


def _trained(row: Row, how: str, folder: str) -> dict:
    """Returns a row for `otherwise`."""
    epochs = [len(record["history"]["epoch"]) for record in row.records]
    validation = [record["metrics"]["val"]["accuracy"] for record in row.records]
    return {
        "rung": row.experiment.heading,
        "trained": how,
        "validation accuracy": statistics.fmean(validation),
        "test accuracy": row.accuracy,
        "test cross-entropy": row.loss,
        "training minus test, points": f"{100 * (row.train_accuracy - row.accuracy):+.1f}",
        "epochs run": statistics.fmean(epochs),
        "training": clock(row.seconds),
        "pages, by seed": Html(_pages(row, folder)),
    }


def decisions() -> str:
    """Returns the contradictions of the source and our decisions, as Markdown (docs/study.md)."""
    text = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    found = re.findall(r"^- \*\*D\d+\.\*\*.*(?:\n  .*)*", text, flags=re.MULTILINE)
    return "\n".join(found)


def companions(records: list[dict], *, folder: str) -> str:
    """Returns a section per companion notebook: what it saw, its tables, its page.

    Args:
        records: any; those of companions are shown, one seed of each.
        folder: where the pages of the notebooks lie, relative to the report.
    """
    found = {record["experiment"]: record for record in records if "tables" in record}
    parts = []
    for record in (found[slug] for slug in COMPANIONS if slug in found):
        shown = ""
        for name, content in record["tables"].items():
            timed = record["timing"].get(name, [{}] * len(content))
            merged = [row | seconds for row, seconds in zip(content, timed, strict=True)]
            summary = f"<summary>Table: {escape(name)}</summary>"
            shown += f"<details>{summary}{tables.rows(merged)}</details>"
        parts.append(
            f"<section><h3><a href='{escape(folder + page_name(record))}'>{escape(record['title'])}"
            f"</a></h3><p>{escape(record['summary'])}</p>{shown}</section>"
        )
    return "\n".join(parts)


def conditions(records: list[dict]) -> str:
    """Returns machine, versions, sizes and sources of the runs."""
    if not records:
        return ""
    records = _rungs(records)
    lines = []
    for label, values in (
        (
            "Machine",
            [f"{_machine(e)}, {e['cores']} cores, {e['platform']}" for e in _environments(records)],
        ),
        ("Versions", [_versions(e) for e in _environments(records)]),
        ("Data digest (SHA-256)", [r["dataset"]["sha256"] for r in records]),
        ("Images (training / validation / test)", [_sizes(r) for r in records]),
        ("ImageNet weights", [r["weights"]["source"] for r in records if r["weights"]]),
        ("Code", [str(e["git"]) for e in _environments(records)]),
    ):
        distinct = list(dict.fromkeys(values))
        if distinct:
            lines.append(f"<li>{label}: {escape('; '.join(distinct))}</li>")
    if len(set(map(_machine, _environments(records)))) > 1:
        lines.append(
            "<li>Training times are of several machines, see the schedules; multiply–adds are "
            "comparable.</li>"
        )
    lines.append(
        "<li>The study does not say how many images it validated on; here those that stand "
        "above are held out, stratified, by seed. Each published figure is one run.</li>"
    )
    schedules = tables.rows([_schedule(r) for e in EXPERIMENTS for r in _of(records, e.slug)])
    return (
        "<ul class='facts'>" + "\n".join(lines) + "</ul>"
        f"<details><summary>Schedules, ours and published</summary>{schedules}</details>"
    )


def _schedule(record: dict) -> dict[str, str]:
    """Returns how a run trained, and the published figure where it is another."""
    ours, study = record["parameters"], parameters.of_profile("study", record["experiment"])
    seconds = experiment(record["experiment"]).train_seconds
    published = f"published: {clock(seconds)}, Colab GPU"
    shown = {"run": results.name_of(record)}
    for label, name in (
        ("epochs of the head alone", "HEAD_EPOCHS"),
        ("epochs, at most", "EPOCHS"),
        ("batch size", "BATCH_SIZE"),
        ("learning rate", "LEARNING_RATE"),
        ("schedule", "SCHEDULE"),
        ("patience, epochs", "PATIENCE"),
    ):
        one, other = ours.get(name, "–"), study.get(name, "–")
        shown[label] = f"{one}" if one == other else f"{one} (published: {other})"
    return shown | {
        "training": f"{clock(record['timing']['train_seconds'])} ({published})",
        "on": _machine(record["environment"]),
    }


def _machine(environment: dict) -> str:
    """Returns what the run was on: the processor, and GPUs where TensorFlow could use any."""
    gpus = ", ".join(environment.get("gpus", []))
    return f"{environment['cpu']} with {gpus}" if gpus else environment["cpu"]


def _environments(records: list[dict]) -> list[dict]:
    return [record["environment"] for record in records]


def _versions(environment: dict) -> str:
    names = ("python", "tensorflow", "keras", "opencv", "numpy")
    return ", ".join(f"{name} {environment[name]}" for name in names)


def _sizes(record: dict) -> str:
    return " / ".join(f"{record['dataset'][part]:,}" for part in ("train", "val", "test"))


def _rungs(records: list[dict]) -> list[dict]:
    """Leaves out the companions, if there is something else."""
    return [record for record in records if "tables" not in record] or records


def _of(records: list[dict], slug: str) -> list[dict]:
    return [record for record in records if record["experiment"] == slug]


def _at_chance(record: dict) -> bool:
    return record["training"]["at_chance"]


def page_name(record: dict) -> str:
    """Returns the file name of a run's page."""
    return results.name_of(record) + ".html"


def _notice(text: str) -> str:
    return f"<p class='notice'>{text}</p>"
