"""The reader's environment: what is used of it, what stays out, and what is said about it."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from tqdm import tqdm

from ladder import __main__ as command
from ladder import environment
from lib import ROOT, cache, downloads, pretrained, registries, results
from lib.errors import WeightsError

# --- the scripts -----------------------------------------------------------------------------

# It passes for any Python; of itself it makes a virtual environment.
PYTHON = """#!/bin/sh
for last; do :; done
case "$*" in
*"-m venv"*) mkdir -p "$last/bin"; cp "$0" "$last/bin/python" ;;
*version_info*) exit 0 ;;
esac
{ echo "run $*"; env; } >> "$LOG"
"""
OLD = """#!/bin/sh
[ "$1" = --version ] && echo "Python 3.9.2"
[ "$1" = --version ]
"""
LEAKS = {
    "PYTHONHOME": "/nowhere",
    "PYTHONOPTIMIZE": "2",
    "PYTHONPATH": "/nowhere",
    "PYTHONUTF8": "0",
    "PYTHONWARNINGS": "error",
}


@pytest.fixture
def project(tmp_path):
    """A project whose Pythons note how they are called; returns a function that runs a script."""
    root, programs = tmp_path / "a project", tmp_path / "bin"
    shutil.copytree(ROOT / "tools", root / "tools")
    for name in ("run_all.sh", "run_tests.sh", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, root)
    programs.mkdir()

    def run(*words: str, python: str = PYTHON, **more: str) -> tuple[str, str]:
        for name in ("python3", "python") if python == PYTHON else ("python",):
            (programs / name).write_text(python)
            (programs / name).chmod(0o755)
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        path = f"{programs}:/usr/bin:/bin"
        done = subprocess.run(
            words,
            cwd=tmp_path,
            env={"PATH": path, "LOG": str(log), **LEAKS, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return log.read_text(), done.stderr

    run.root, run.folder = root, tmp_path
    return run


def test_the_environment_is_made_without_the_readers_settings_of_python(project):
    log, _ = project(str(project.root / "run_all.sh"), "--help")
    calls = [line for line in log.splitlines() if line.startswith("run ")]
    root, quiet = project.root, "--quiet --disable-pip-version-check"
    assert calls == [
        f"run -P -m venv --clear {root}/.venv",
        "run -P -m lib.registries install --require-hashes --requirement "
        f"{root}/requirements.lock {quiet}",
        "run -P -m lib.registries install --no-deps --no-build-isolation --editable "
        f"{root} {quiet}",
        "run -P -m ladder --help",
    ]
    given = {line for line in log.splitlines() if line.startswith("PYTHON")}
    assert given == {"PYTHONNOUSERSITE=1", f"PYTHONPATH={root}", "PYTHONUTF8=1"}
    assert (root / ".venv" / "made-from.lock").is_file()
    again, _ = project(str(project.root / "run_all.sh"))
    assert "venv" not in again.splitlines()[0]


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "zsh", "busybox"])
@pytest.mark.parametrize("name", ["run_all.sh", "run_tests.sh"])
def test_scripts_run_under_any_shell_and_through_links(project, shell, name):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} on this machine")
    (project.folder / "link").symlink_to(project.root / name)
    (project.folder / "links").mkdir()
    (project.folder / "links" / "link").symlink_to(Path("..", "link"))
    words = (shell, "sh") if shell == "busybox" else (shell,)
    for script in (project.root / name, "links/link", "./link"):
        log, _ = project(*words, str(script), "--x", CDPATH="/")
        ends = {"run_all.sh": "run -P -m ladder --x", "run_tests.sh": "run -m pytest --x"}
        assert ends[name] in log


@pytest.mark.parametrize("active", ["VIRTUAL_ENV", "CONDA_PREFIX"])
@pytest.mark.parametrize(
    ("python", "has"), [(OLD, "Python 3.9.2"), ("#!/nowhere\n", "no program called python")]
)
def test_a_passed_over_environment_is_named(project, active, python, has):
    project(str(project.root / "run_all.sh"))  # .venv is there
    _, said = project(str(project.root / "run_all.sh"), python=python, **{active: "/x"})
    assert said == (
        f"The active environment has {has}, expected Python 3.11, 3.12 or 3.13; "
        ".venv is used instead.\n"
    )


def test_a_clone_has_the_line_ends_of_its_shells(tmp_path):
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    git = ["git", "-c", "user.name=x", "-c", "user.email=x", "-c", "core.autocrlf=true"]
    subprocess.run([*git, "init", "--quiet", str(origin)], check=True)
    for name in ("run_all.sh", ".gitattributes"):
        shutil.copy(ROOT / name, origin)
    for words in (("add", "."), ("commit", "--quiet", "--message=x")):
        subprocess.run([*git, *words], cwd=origin, check=True, capture_output=True)
    subprocess.run([*git, "clone", "--quiet", str(origin), str(clone)], check=True)
    assert (clone / "run_all.sh").read_bytes() == (ROOT / "run_all.sh").read_bytes()


def check(folder, *dependencies: str) -> subprocess.CompletedProcess:
    project = folder / "pyproject.toml"
    project.write_text(f"[project]\ndependencies = {list(dependencies)}\n")
    command = [sys.executable, str(ROOT / "tools" / "satisfied.py"), str(project)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_this_environment_has_all_that_the_project_asks_for():
    command = [sys.executable, str(ROOT / "tools" / "satisfied.py"), str(ROOT / "pyproject.toml")]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize(
    ("dependency", "lacking"),
    [("no-such-package>=1", "no-such-package>=1"), ("numpy<1", "numpy<1 (has 2")],
)
def test_a_package_that_is_missing_or_too_old_is_named(tmp_path, dependency, lacking):
    done = check(tmp_path, "pytest>=8", dependency)
    assert done.returncode == 1
    assert done.stderr.startswith(f"The active environment lacks {lacking}")
    assert done.stderr.endswith("; .venv is used instead.\n")


# --- pip and npm -----------------------------------------------------------------------------


def test_pip_gets_the_readers_index_and_nothing_else(tmp_path, monkeypatch):
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nuser = true\ntarget = /nowhere\nindex-url = https://a.example/simple\n"
        "extra-index-url =\n    https://b.example\n    https://c.example\ntimeout = 3\n"
        "[download]\ntimeout = 7\ndry-run = true\n[install]\ntimeout = 9\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    given = {"CONFIG_FILE": str(config), "USER": "1", "NO_DEPS": "1", "TRUSTED_HOST": "a.example"}
    for name, text in given.items():
        monkeypatch.setenv(f"PIP_{name}", text)
    found = registries.pip_environment("download")
    assert found["PIP_EXTRA_INDEX_URL"].split() == ["https://b.example", "https://c.example"]
    expected = {"CONFIG_FILE": os.devnull, "INDEX_URL": "https://a.example/simple", "TIMEOUT": "7"}
    expected["TRUSTED_HOST"] = "a.example"
    assert {f"PIP_{name}": text for name, text in expected.items()}.items() <= found.items()
    assert not {f"PIP_{name}" for name in ("USER", "TARGET", "NO_DEPS", "DRY_RUN")} & set(found)
    assert registries.pip_environment("install")["PIP_TIMEOUT"] == "9"


def test_a_wheel_is_downloaded_whatever_pip_is_set_to(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "made-1-py3-none-any.whl", "w") as wheel:
        info = "made-1.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: made\nVersion: 1\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (tmp_path / "constraints").write_text("made==2\n")
    given = {"NO_INDEX": "1", "FIND_LINKS": str(tmp_path), "REQUIRE_HASHES": "1"}
    for name, text in (given | {"CONSTRAINT": str(tmp_path / "constraints")}).items():
        monkeypatch.setenv(f"PIP_{name}", text)
    target = tmp_path / "got" / "wheel.whl"
    target.parent.mkdir()
    downloads._package(1, "pip:made==1/wheel.whl", str(target), None)
    assert target.read_bytes() == (tmp_path / "made-1-py3-none-any.whl").read_bytes()


def test_npm_gets_the_readers_registry_and_nothing_else(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.lower().startswith("npm_config_")]:
        monkeypatch.delenv(name)
    kept = {"NPM_CONFIG_REGISTRY": "r", "npm_config_https_proxy": "p", "npm_config__auth": "a"}
    for name, text in (kept | {"npm_config_dry_run": "true", "NPM_CONFIG_PREFIX": "x"}).items():
        monkeypatch.setenv(name, text)
    npm = tmp_path / "npm"
    npm.write_text(f"#!{sys.executable}\nimport json, os\n")
    with npm.open("a") as file:
        file.write(f"json.dump(dict(os.environ), open({str(tmp_path / 'given')!r}, 'w'))\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    downloads._run(["npm"], str(tmp_path), 60, tqdm(disable=True))
    given = json.loads((tmp_path / "given").read_text())
    assert {k: v for k, v in given.items() if k.lower().startswith("npm_")} == kept


# --- children --------------------------------------------------------------------------------


def test_children_get_no_settings_of_the_readers_tools(monkeypatch, tmp_path):
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(tmp_path / "cache"))
    for name in (
        *("JUPYTER_PATH", "JUPYTER_DEFAULT_PROVISIONER_NAME", "IPYTHONDIR", "MPLBACKEND"),
        *("MATPLOTLIBRC", "SNAKEMAKE_PROFILE", "BASH_ENV", "PYTHONOPTIMIZE", "PYTHONSTARTUP"),
    ):
        monkeypatch.setenv(name, "/nowhere")
    for name, text in {"CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": "2"}.items():
        monkeypatch.setenv(name, text)
    given = environment.of_children(MORE="more")
    assert "/nowhere" not in given.values()
    assert (given["CUDA_VISIBLE_DEVICES"], given["OMP_NUM_THREADS"], given["MORE"]) == (
        *("0", "2"),
        "more",
    )
    assert given["PYTHONPATH"] == str(ROOT)
    own = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR")
    assert all(given[name].startswith(str(tmp_path / "cache")) for name in own)


def test_relative_paths_are_of_the_start(tmp_path, monkeypatch):
    """Jobs work in the report's folder, notebooks in the project's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/of/mine")
    monkeypatch.setenv("CIFAR10_DIR", "some/where")
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", "cache")
    monkeypatch.setenv("VGG16_WEIGHTS", "auto")
    monkeypatch.setenv("KERAS_HOME", "~/keras")
    given = environment.of_children()
    assert given["CIFAR10_DIR"] == str(tmp_path / "some" / "where")
    assert given["CIFAR10_LADDER_CACHE"] == str(tmp_path / "cache")
    assert given["VGG16_WEIGHTS"] == "auto"
    assert given["KERAS_HOME"] == "/home/of/mine/keras"


def test_a_tilde_is_the_home_in_every_path(tmp_path, monkeypatch):
    from lib.companions import backbones

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", "~/cache")
    monkeypatch.setenv("KERAS_HOME", "~/keras")
    monkeypatch.setenv("VGG16_WEIGHTS", "~/w.h5")
    (tmp_path / "w.h5").write_bytes(b"no weights")
    assert cache.folder("x") == tmp_path / "cache" / "x"
    assert cache.keras_home() == tmp_path / "keras"
    with pytest.raises(WeightsError) as error:
        pretrained.load()
    assert "does not exist" not in str(error.value)
    given = []
    monkeypatch.setattr(command, "_plan_and_run", given.append)
    command.main(["--out=~/out", "--dataset=~/mine"])
    assert (given[0].out, given[0].dataset) == (tmp_path / "out", str(tmp_path / "mine"))
    monkeypatch.delenv(results.STAGE, raising=False)
    assert results.Run("toy", {"OUT": "~/out"}, 0.0)._folder == tmp_path / "out"
    monkeypatch.setattr(
        backbones,
        "_construct",
        lambda name, weights: SimpleNamespace(weights=weights, input_shape=(None, 224, 224, 3)),
    )
    assert backbones.classifier("VGG16", weights="~/w.h5").weights == str(tmp_path / "w.h5")


# --- Keras, TensorFlow and Matplotlib --------------------------------------------------------


def in_python(code: str, **more: str) -> str:
    """Runs code in a process of its own; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | more,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_engine_needs_no_error_stream():
    code = "import os; os.close(2); from lib.engine import keras; print(keras.config.floatx())"
    assert in_python(code) == "float32\n"


ENGINE = """
from lib.engine import keras
import os
c = keras.config
print(c.backend(), c.floatx(), c.image_data_format(), c.epsilon(), c.dtype_policy().name)
print(c.max_epochs(), c.max_steps_per_epoch(), c.is_nnx_enabled())
print(*sorted(n for n in os.environ if n.startswith(("KERAS", "TF_", "ONEDNN"))))
print(os.environ["XLA_FLAGS"], os.environ["KERAS_HOME"] == keras.src.backend.config.keras_home())
"""
CHANGES_RESULTS = {
    "KERAS_BACKEND": "torch",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "KERAS_NNX_ENABLED": "true",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "TF_ENABLE_AUTO_MIXED_PRECISION": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true --xla_gpu_cuda_data_dir=/cuda",
}


@pytest.mark.parametrize(
    ("settings", "before"),
    [
        ({"floatx": "float16", "image_data_format": "channels_first", "epsilon": 1e-3}, ""),
        ({"floatx": "bfloat16", "epsilon": 1, "nnx_enabled": True}, ""),
        (
            {"floatx": "float64", "image_data_format": "channels_first"},
            "import keras; keras.config.set_dtype_policy('mixed_bfloat16')\n",
        ),
    ],
    ids=["of-another-kind", "invalid", "keras-was-imported"],
)
def test_settings_that_change_results_are_the_projects(tmp_path, settings, before):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    more = {} if before else CHANGES_RESULTS
    names = "KERAS_BACKEND KERAS_HOME TF_CPP_MIN_LOG_LEVEL"
    names += "" if before else " TF_FORCE_GPU_ALLOW_GROWTH TF_NUM_INTRAOP_THREADS"
    xla = {"XLA_FLAGS": "--xla_gpu_cuda_data_dir=/cuda"}
    printed = in_python(before + ENGINE, KERAS_HOME=str(tmp_path), **(xla | more))
    assert printed.splitlines() == [
        "tensorflow float32 channels_last 1e-07 float32",
        "None None False",
        names,
        "--xla_gpu_cuda_data_dir=/cuda True",
    ]
    assert json.loads((tmp_path / "keras.json").read_text()) == settings


FIGURE = """
import hashlib
from lib import plots
figure, (axis,) = plots.new_figure(3, 2)
axis.plot([1, 2], label="a")
axis.text(0, 1, "text")
axis.legend()
png, width = plots.to_png(figure)
print(hashlib.sha256(png).hexdigest(), width)
"""


def test_figures_do_not_depend_on_matplotlibrc(tmp_path):
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfont.family: monospace\nfigure.dpi: 30\nsavefig.pad_inches: 1\n"
        "axes.prop_cycle: cycler('color', ['red'])\nlines.linestyle: --\nsuch.a.thing: 1\n"
        "font.size: large\nbackend: nonsense\nfigure.facecolor: black\n"
    )
    assert in_python(FIGURE, MATPLOTLIBRC=str(tmp_path)) == in_python(FIGURE)


@pytest.mark.parametrize("exists", [False, True])
def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, exists):
    place = tmp_path if exists else tmp_path / "file" / "cache"
    (tmp_path / "file").touch()
    monkeypatch.setenv("CIFAR10_LADDER_CACHE", str(place))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(OSError, match=r"the cache folder .* cannot be written .* CIFAR10_LADDER"):
        cache.folder()
