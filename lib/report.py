"""The HTML pieces of the report, from records alone. All text from outside is escaped."""

from html import escape

from lib import results
from lib.study import COMPANIONS, EXPERIMENTS
from lib.verdicts import Row


def facts(records: list[dict], *, left_out: int = 0, unusable: int = 0) -> str:
    """Returns the first screen's facts: data, profile, versions, and what is missing.

    Args:
        records: of one profile and one data set.
        left_out: records in the folder that are of another.
        unusable: files in the folder that are no sound records (`lib.results.read_all`).
    """
    spoilt = f"{unusable} unusable record{'s' * (unusable > 1)}, named above, left out."
    if not records:
        nothing = "No record was found: nothing has run yet. Start with ./run_all.sh."
        return _notice(spoilt if unusable else nothing)
    first = records[0]
    dataset, environment = first["dataset"], first["environment"]
    seeds = sorted({record["seed"] for record in records})
    lines = [
        f"<p class='facts'>Data: <strong>{escape(dataset['variant'])}</strong> · profile "
        f"<strong>{escape(first['profile'])}</strong> · seed{'s' * (len(seeds) > 1)} "
        f"{', '.join(map(str, seeds))} · TensorFlow "
        f"{escape(str(environment['tensorflow']))}, Keras {escape(str(environment['keras']))}, "
        f"OpenCV {escape(str(environment['opencv']))}</p>"
    ]
    if dataset["name"] != "cifar10":
        lines.append(
            _notice("These are not CIFAR-10 images: the published figures do not apply to them.")
        )
    elif first["profile"] not in ("study", "budget"):
        lines.append(
            _notice(
                f"The profile {escape(first['profile'])} trains on a part of the images for a few "
                "epochs. It shows the order of things, not the published figures."
            )
        )
    missing = [e.title for e in EXPERIMENTS if not _of(records, e.slug)]
    if missing:
        lines.append(_notice(f"Not run: {escape(', '.join(missing))}."))
    stuck = [e.title for e in EXPERIMENTS for r in _of(records, e.slug) if _at_chance(r)]
    if stuck:
        lines.append(_notice(f"At chance level, nothing learnt: {escape(', '.join(stuck))}."))
    if left_out:
        lines.append(
            _notice(f"{left_out} records of another profile or data set are not in the table.")
        )
    if unusable:
        lines.append(_notice(spoilt))
    return "\n".join(lines)


def table(rows: list[Row], *, folder: str) -> str:
    """Returns the table of the eleven: published, ours, difference, time, page.

    Args:
        rows: of `lib.verdicts.table`.
        folder: where the pages of the notebooks lie, relative to the report.
    """
    comparable = any(row.difference is not None for row in rows)
    head = ["#", "experiment", "parameters"]
    head += ["published accuracy", "ours", "difference"] if comparable else ["accuracy"]
    head += ["published cross-entropy", "ours"] if comparable else ["cross-entropy"]
    head += ["training", "pages"]
    body = "\n".join(_table_row(row, folder, comparable) for row in rows)
    cells = "".join(f"<th scope='col'>{cell}</th>" for cell in head)
    return (
        "<div class='scroll' tabindex='0' role='region' aria-label='Table of results'>"
        f"<table><thead><tr>{cells}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _table_row(row: Row, folder: str, comparable: bool) -> str:
    e = row.experiment
    ours, loss, difference, seconds, params = "–", "–", "–", "–", f"{e.total_params:,}"
    if row.records:
        params = f"{row.records[0]['model']['total_params']:,}"
        ours, loss = f"{row.accuracy:.2%}", f"{row.loss:.3f}"
        if row.accuracy_sd is not None:
            ours += f" ± {100 * row.accuracy_sd:.2f}, n = {len(row.records)}"
        if row.at_chance:
            ours += " (chance)"
        if row.difference is not None:
            difference = f"{100 * row.difference:+.2f}"
        seconds = f"{row.seconds:,.0f} s"
    pages = " ".join(
        f"<a href='{escape(folder + _page(r))}' aria-label='{escape(e.title)}, seed {r['seed']}'>"
        f"seed {r['seed']}</a>"
        for r in row.records
    )
    cells = [str(e.number), escape(e.title), params]
    cells += [f"{e.accuracy:.2%}", ours, difference] if comparable else [ours]
    cells += [f"{e.loss:.3f}", loss] if comparable else [loss]
    cells += [seconds, pages or "–"]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def companions(records: list[dict], *, folder: str) -> str:
    """Returns a section per companion notebook: what it saw, its tables, its page.

    Args:
        records: any; those of companions are shown, one seed of each.
        folder: where the pages of the notebooks lie, relative to the report.
    """
    found = {record["experiment"]: record for record in records if "tables" in record}
    parts = []
    for record in (found[slug] for slug in COMPANIONS if slug in found):
        tables = ""
        for name, content in record["tables"].items():
            timed = record["timing"].get(name, [{}] * len(content))
            merged = [row | seconds for row, seconds in zip(content, timed, strict=True)]
            tables += f"<details><summary>Table: {escape(name)}</summary>{rows(merged)}</details>"
        parts.append(
            f"<section><h3><a href='{escape(folder + _page(record))}'>{escape(record['title'])}"
            f"</a></h3><p>{escape(record['summary'])}</p>{tables}</section>"
        )
    return "\n".join(parts)


def rows(content: list[dict]) -> str:
    """Returns a table of a companion's record as HTML.

    Args:
        content: one dictionary per row, all with the same keys; accuracies from 0 to 1.
    """
    if not content:
        return "<p>No rows.</p>"
    head = "".join(f"<th scope='col'>{escape(key)}</th>" for key in content[0])
    body = "\n".join(
        "<tr>" + "".join(f"<td>{_figure(key, value)}</td>" for key, value in row.items()) + "</tr>"
        for row in content
    )
    return (
        "<div class='scroll' tabindex='0' role='region' aria-label='Table'><table class='rows'>"
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def _figure(key: str, value) -> str:
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if not isinstance(value, int | float):
        return escape(str(value))
    if isinstance(value, int):
        return str(value) if key in ("year", "seed") else f"{value:,}"
    if any(word in key for word in ("accuracy", "probability")):
        return f"{value:.2%}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def conditions(records: list[dict]) -> str:
    """Returns machine, versions, sizes and sources of the runs."""
    if not records:
        return ""
    records = [record for record in records if "tables" not in record] or records
    lines = []
    for label, values in (
        (
            "Machine",
            [f"{e['cpu']}, {e['cores']} cores, {e['platform']}" for e in _environments(records)],
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
    lines.append(
        "<li>The study does not say how many images it validated on; here at most a fifth of the "
        "training images is held out, stratified, by seed. Each published figure is one run.</li>"
    )
    return "<ul class='facts'>" + "\n".join(lines) + "</ul>"


def _environments(records: list[dict]) -> list[dict]:
    return [record["environment"] for record in records]


def _versions(environment: dict) -> str:
    names = ("python", "tensorflow", "keras", "opencv", "numpy")
    return ", ".join(f"{name} {environment[name]}" for name in names)


def _sizes(record: dict) -> str:
    return " / ".join(f"{record['dataset'][part]:,}" for part in ("train", "val", "test"))


def _of(records: list[dict], slug: str) -> list[dict]:
    return [record for record in records if record["experiment"] == slug]


def _at_chance(record: dict) -> bool:
    return record["training"]["at_chance"]


def _page(record: dict) -> str:
    return results.name(record["experiment"], record["profile"], record["seed"]) + ".html"


def _notice(text: str) -> str:
    return f"<p class='notice'>{text}</p>"
