"""The notebooks as sources: same shape, no outputs, strict parameters, true headers."""

import ast
import json
import re
import textwrap
from types import SimpleNamespace

import pytest
import yaml

from lib import models
from lib.results import parameters
from lib.study import COMPANIONS, EXPERIMENTS, SLUGS, experiment

PATHS = sorted(
    path for path in parameters.NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)


def cells(path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def text(cell) -> str:
    return "".join(cell["source"])


def tags(cell) -> list[str]:
    return cell["metadata"].get("tags", [])


def test_all_notebooks_are_known():
    assert {path.stem for path in PATHS} == {*SLUGS, *COMPANIONS, "report"}
    assert {path.stem for path in PATHS if path.parent.name == "companions"} == set(COMPANIONS)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
class TestEveryNotebook:
    def test_form(self, path):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
        ids = [cell["id"] for cell in notebook["cells"]]
        assert len(set(ids)) == len(ids)

    def test_no_outputs(self, path):
        for cell in cells(path):
            if cell["cell_type"] == "code":
                assert cell["outputs"] == []
                assert cell["execution_count"] is None

    def test_first_three_cells(self, path):
        title, setup, chosen = cells(path)[:3]
        assert title["cell_type"] == "markdown"
        assert text(title).startswith("# ")
        assert tags(setup) == ["setup"]
        assert tags(chosen) == ["parameters"]
        assert sum("parameters" in tags(cell) for cell in cells(path)) == 1

    def test_setup_is_the_same_everywhere(self, path):
        assert text(cells(path)[1]) == text(cells(PATHS[0])[1])

    def test_parameters_are_flat_literals_and_all_read(self, path):
        for statement in ast.parse(text(cells(path)[2])).body:
            assert isinstance(statement, ast.Assign)
            assert isinstance(ast.literal_eval(statement.value), int | float | str | bool)
        parameters.check(path.stem, parameters.defaults(path.stem))
        code = "\n".join(parameters.working_code(path))
        for name in {*parameters.defaults(path.stem)} - {*parameters.READ_BY_RECORD}:
            assert re.search(rf"\b{name}\b", code), name

    def test_code_cells_say_what_they_do(self, path):
        for cell in cells(path):
            if cell["cell_type"] == "code":
                assert text(cell).startswith("# ")


@pytest.mark.parametrize("slug", COMPANIONS)
def test_companion_names_its_source_and_ends_with_what_we_saw(slug):
    first, *_, title, last = cells(parameters.notebook_path(slug))
    assert "**Source:**" in text(first)
    assert text(title) == "## Results"
    assert "SAW = " in text(last)
    assert "summary=SAW" in text(last)
    heading = text(first).splitlines()[0].removeprefix("# ")
    named = re.search(r'TITLE = "(.+)"', text(last))[1]
    assert heading.startswith(named)
    for value in ast.walk(ast.parse(text(last))):  # its figures are computed
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            assert not re.search(r"\d+(\.\d+)? %", value.value)


def network_size(slug: str) -> int:
    """Height and width of an experiment's input, pixels."""
    return parameters.defaults(slug).get("IMAGE_SIZE", 32)


def code_lines(cell) -> list[str]:
    return [line for line in text(cell).splitlines() if line.split("#")[0].strip()]


@pytest.mark.parametrize("slug", SLUGS)
def test_an_experiment_shows_its_network_in_few_lines(slug):
    found = [cell for cell in cells(parameters.notebook_path(slug)) if cell["cell_type"] == "code"]
    (model,) = [cell for cell in found if tags(cell) == ["model"]]
    assert re.match(r"# .*\nmodel = models\.(cnn|vgg16)\(\n", text(model))
    assert sum(len(code_lines(cell)) for cell in found) < 66
    imported = [
        alias.name
        for cell in found[1:]
        for node in ast.walk(ast.parse(text(cell)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert 4 < len(imported) <= 6
    assert all(
        "(" not in text(cell) or slug in text(cell) for cell in found if "begin(" in text(cell)
    )


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 2), (8, 9)])
def test_what_differs_from_the_experiment_before_is_the_network(before, after):
    def code(number: int) -> dict[str, str]:
        slug = SLUGS[number]
        found = cells(parameters.notebook_path(slug))
        return {c["id"]: text(c).replace(slug, "") for c in found if c["cell_type"] == "code"}

    one, other = code(before), code(after)
    assert [name for name in one if one[name] != other.get(name)] == ["model"]
    assert list(one) == list(other)


@pytest.mark.parametrize("slug", SLUGS)
def test_header_gives_the_published_result(slug):
    header = text(cells(parameters.notebook_path(slug))[0])
    published = experiment(slug)
    assert header.startswith(f"# {published.number:02d} · {published.title}\n")
    assert f"**Published:** {100 * published.accuracy:.2f} % test accuracy" in header
    assert f"cross-entropy {published.loss:.3f}" in header


BANNED = (
    r"\b(stands|tells|told|comes\s+to|can\s+be\s+had|learnt|goes\s+on|what\s+it\s+costs|rungs?|"
    r"by\s+hand|as\s+it\s+comes)\b|—"
)
DOCUMENTS = sorted({*parameters.ROOT.glob("*.md"), *parameters.ROOT.glob("d*/*.md")})
EXTERNAL = (
    r"https://(arxiv\.org/abs/\d{4}\.\d{4,5}|doi\.org/10\.\d{4,}/\S+|"
    r"(?!arxiv\.|(dx\.)?doi\.)[\w-]+(\.[\w-]+)+(/\S*)?)"
)
PAPER = r"\]\(https://(arxiv\.org|doi\.org|jmlr\.org)/"


def prose(path) -> str:
    """The Markdown of a notebook or a document, without code."""
    text_ = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text_ = "\n\n".join(text(c) for c in cells(path) if c["cell_type"] == "markdown")
    return re.sub(r"```.*?```|`[^`\n]+`", "`code`", text_, flags=re.DOTALL)


@pytest.mark.parametrize("path", [*PATHS, *DOCUMENTS], ids=lambda path: path.stem)
def test_prose_is_plain(path):
    assert not re.findall(f".*(?:{BANNED}).*", prose(path), flags=re.IGNORECASE)


@pytest.mark.parametrize("path", [*PATHS, *DOCUMENTS], ids=lambda path: path.stem)
def test_external_links_have_text_and_a_good_address(path):
    links = re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", prose(path))
    for words, target in links:
        assert words.strip().lower() not in ("", "here", "link", "this"), target
        assert ":" not in target or re.fullmatch(EXTERNAL, target), target
        if path.suffix == ".ipynb" and ":" not in target:
            assert (path.parent / target).exists(), target
    without = re.sub(r"\]\([^)\s]+\)", "]", prose(path))
    assert not re.findall(r"https?:\S+", without), "bare addresses"


RHYTHM = {  # the Markdown cells of each of the eleven; what a cell must contain, in this order
    "title": ("# ", PAPER, r"\*\*Published:\*\* "),
    "data-title": (r"## Data\n\n\w",),
    "model-title": (r"## Model\n\n[\w|]",),
    "training-title": (r"## Training\n\n\w", r"\n\n\*\*Look for:\*\*\n\n(- .+\n?){2,3}$"),
    "plain-keras": (),
    "results-title": (r"## Results\n\nThe table compares .* The study ",),
    "try": (r"## Try\n\n.*`custom`", r"\n\n- "),
    "next": (r"Next: \[",),
}


@pytest.mark.parametrize("slug", SLUGS)
def test_the_eleven_have_the_same_rhythm(slug):
    found = {
        cell["id"]: text(cell)
        for cell in cells(parameters.notebook_path(slug))
        if cell["cell_type"] == "markdown"
    }
    number = SLUGS.index(slug)
    expected = [name for name in RHYTHM if name != "next" or number < 10]
    assert [name for name in found if name in RHYTHM] == expected
    for name in expected:
        assert re.match(".*?".join(RHYTHM[name]), found[name], flags=re.DOTALL), name
    before = {0: [], 10: ["08"]}.get(number, [f"{number - 1:02d}"])
    assert re.findall(r"\*\*What changes from (\d\d):\*\* ", found["title"]) == before
    assert 2 <= len(re.findall(r"^- ", found["try"], flags=re.MULTILINE)) <= 3
    if number < 10:
        after = EXPERIMENTS[number + 1]
        heading = f"{after.number:02d} · {after.title}"
        assert found["next"] == f"Next: [{heading}]({after.slug}.ipynb)"


def changes_to_try(slug: str) -> tuple[list[str], list[ast.keyword], list[str]]:
    """Of the cell `try`: parameters with values, keywords of the model cell, lines for its end."""
    (cell,) = [c for c in cells(parameters.notebook_path(slug)) if c["id"] == "try"]
    blocks = re.findall(r"```python\n(.*?)```", text(cell), flags=re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", text(cell).replace("```", ""))
    keywords = [
        ast.parse(f"f({x})").body[0].value.keywords[0] for x in spans if re.match("[a-z_]+=", x)
    ]
    return [x for x in spans if re.match("[A-Z]", x)], keywords, list(map(textwrap.dedent, blocks))


@pytest.mark.parametrize("slug", SLUGS)
def test_what_to_try_exists(slug):
    assignments, keywords, blocks = changes_to_try(slug)
    published = parameters.defaults(slug)
    for assignment in assignments:
        name, _, value = assignment.partition(" = ")
        assert name in published, name
        if value:
            parameters.check(slug, {name: ast.literal_eval(value)})
    code = {c["id"]: text(c) for c in cells(parameters.notebook_path(slug))}["model"]
    images = SimpleNamespace(image_size=network_size(slug), classes=range(10))
    for keyword in [*keywords, *blocks]:
        tree = ast.parse(code)
        if isinstance(keyword, ast.keyword):
            call = tree.body[0].value
            call.keywords = [k for k in call.keywords if k.arg != keyword.arg] + [keyword]
        else:
            tree.body += ast.parse(keyword).body
        names = published | {"models": models, "images": images, "weights": None}
        exec(compile(ast.fix_missing_locations(tree), slug, "exec"), names)
        assert names["model"].output_shape == (None, 10)


@pytest.mark.parametrize("slug", SLUGS)
def test_what_to_try_changes_something_in_quick_too(slug):
    """Early stopping is off there, and a value that quick has already is no change."""
    (cell,) = [c for c in cells(parameters.notebook_path(slug)) if c["id"] == "try"]
    quick = parameters.of_profile("quick", slug)
    for bullet in text(cell).split("\n- ")[1:]:
        found = dict(re.findall(r"`([A-Z_0-9]+) = ([^`]+)`", bullet))
        changed = [x for x in found if x != "PATIENCE" and ast.literal_eval(found[x]) != quick[x]]
        in_model = "model cell" in bullet
        assert changed or in_model or '`PROFILE = "study"`' in bullet, bullet


PROTOCOL = {  # docs/study.md: batch, patience, Adam's rate, clipnorm
    **dict.fromkeys(range(4), (512, 5, 1e-3, None)),
    4: (256, 5, 1e-3, None),
    5: (256, 10, 1e-3, None),
    **dict.fromkeys(range(6, 11), (256, 10, 1e-4, 1.0)),
}


@pytest.mark.parametrize("e", EXPERIMENTS, ids=lambda e: e.slug)
def test_defaults_are_the_published_protocol(e):
    values = parameters.of_profile("study", e.slug)
    assert values == parameters.defaults(e.slug)
    names = ("BATCH_SIZE", "PATIENCE", "LEARNING_RATE", "CLIPNORM")
    assert tuple(values.get(name) for name in names) == PROTOCOL[e.number]
    assert (values["EPOCHS"], values["SCHEDULE"], values["PROFILE"]) == (100, "constant", "study")
    assert (values["TRAIN_SIZE"], values["VAL_SIZE"], values["TEST_SIZE"]) == (40000, 10000, 10000)
    assert values.get("AUGMENT", False) == (e.number >= 5)
    assert network_size(e.slug) == (64 if e.number == 10 else 32)
    assert ("WEIGHTS" in values) == (e.number >= 7)
    assert values.get("HEAD_EPOCHS", 0) == 0


@pytest.mark.parametrize("slug", [*SLUGS, *COMPANIONS])
def test_the_study_profile_names_what_the_cells_say(slug):
    """Of all parameters, so that an edited cell is not taken for the published protocol."""
    cell = parameters.defaults(slug)
    assert parameters.of_profile("study", slug) == cell
    named = yaml.safe_load((parameters.NOTEBOOKS / "profiles" / "study.yaml").read_text())
    shared = named["every"] if slug in SLUGS else {}
    assert {*shared, *named[slug]} == {"SEED", *parameters.computed(cell)}


ARCHITECTURE = {"IMAGE_SIZE", "HEAD", "POOL1_DROPOUT", "SIZES", "SCALING", "DEPTHS", "BACKBONE"}


@pytest.mark.parametrize("profile", parameters.PROFILES)
@pytest.mark.parametrize("slug", [*SLUGS, *COMPANIONS])
def test_profiles_fit_and_change_no_architecture(slug, profile):
    values, published = parameters.of_profile(profile, slug), parameters.defaults(slug)
    changed = {name for name in values if values[name] != published[name]}
    assert not changed & (ARCHITECTURE | {"AUGMENT", "SEED", "DATASET", "WEIGHTS", "OUT"})


@pytest.mark.parametrize("slug", COMPANIONS)
def test_budget_of_companions_is_small(slug):
    values = parameters.of_profile("budget", slug)
    if slug == "freezing_depth":  # the blog post's frozen network in full
        assert values["TRAIN_SIZE"] == 40_000
        assert (values["EPOCHS"], values["BATCH_SIZE"], values["LEARNING_RATE"]) == (10, 256, 1e-3)
        assert (values["UNFROZEN_SIZE"], values["UNFROZEN_EPOCHS"]) == (10_000, 3)
        return
    if slug == "beyond_the_study":  # trains one network on all images
        assert values == parameters.of_profile("study", slug) | {"PRECISION": "auto"}
        return
    assert values.get("TRAIN_SIZE", 0) <= 10_000
    # Epochs of a head on features, or of small networks that train until they have learned.
    if slug not in ("feature_extraction", "why_frozen_fails", "reference_architectures"):
        assert values.get("EPOCHS", 0) <= 3


def test_links_lead_somewhere():
    root = parameters.ROOT
    for document in [*root.glob("*.md"), *(root / "docs").glob("*.md"), root / "data/README.md"]:
        text = document.read_text(encoding="utf-8")
        targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
        for target in targets + re.findall(r'src="([^"]+)"', text):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
        anchors = {
            re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-")
            for head in re.findall(r"^#+ (.*)", text, flags=re.MULTILINE)
        }
        for anchor in re.findall(r"\]\(#([^)]+)\)", text):
            assert anchor in anchors, f"{document.name}: #{anchor}"


def test_both_readmes_give_the_same_commands_and_figures():
    texts = [
        (parameters.ROOT / name).read_text(encoding="utf-8")
        for name in ("README.md", "README.es.md")
    ]
    commands = [
        [
            line.split("#")[0].split()
            for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
            for line in block.splitlines()
        ]
        for text in texts
    ]
    assert commands[0] == commands[1]
    for e in EXPERIMENTS:
        assert all(f"{100 * e.accuracy:.2f}" in text.replace(",", ".") for text in texts)
        assert all(f"`{e.slug}`" in text for text in texts)
    links = [sorted(re.findall(r"\]\((docs/[^)]+)\)", text)) for text in texts]
    assert links[0] == links[1]
