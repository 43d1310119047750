"""Which test images an experiment gets wrong: as the stored predictions say."""

import base64
import dataclasses
import json
import re
from collections import Counter
from html import escape

import numpy as np
import pytest

from ladder.report import mistakes, verdicts
from lib import data
from lib.opencv import cv2
from lib.results import record
from tests.report import made_up


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Records of three experiments on the real digits, and their rows."""
    out = tmp_path_factory.mktemp("digits")
    test = len(data.load("digits").y_test)
    classes = tuple("0123456789")
    made_up.write(
        out, profiles={"quick": {0: 1, 1: 1, 9: 1}}, name="digits", classes=classes, test=test
    )
    records = record.read_all(out)
    return out, records, verdicts.table(records)


def test_confusions_are_those_of_the_predictions(digits):
    out, records, rows = digits
    runs = mistakes.predicted(rows, out)
    assert [run.row.experiment.heading for run in runs] == [
        "0 Base CNN",
        "1 Deeper CNN",
        "9 Mini-VGG16, fine-tuned",
    ]
    html = mistakes.confusions(runs, ["<b>", *"123456789"])
    content = json.loads(re.search(r"<script[^>]*>(.*?)</script>", html)[1])
    labels, named = (
        np.array([int(digit, 36) for digit in digits])
        for digits in (content["labels"], content["experiments"][0]["named"])
    )
    assert (labels == runs[0].labels).all()
    assert (labels == named).mean() == records[0].metrics["test"].accuracy
    assert "labels" not in content["experiments"][0]
    assert content["classes"][0] == "<b>"
    assert "<b>" not in html
    assert content["short"] == ["<b>", *"123456789"]
    shown = re.findall(r"<td>(\d+\.\d)</td>", html)  # of the last run, without a script
    assert len(shown) == 100
    assert sum(map(float, shown[:10])) == pytest.approx(100, abs=0.6)
    wrong = Counter(
        (label, other) for label, other in zip(runs[-1].labels, runs[-1].named, strict=True)
    )
    totals = Counter(runs[-1].labels)
    share = {pair: n / totals[pair[0]] for pair, n in wrong.items() if pair[0] != pair[1]}
    label, other = max(sorted(share), key=share.get)
    first, second = (escape(content["classes"][n]) for n in (label, other))
    expected = f"{first} taken for {second}\n({wrong[label, other]} of {totals[label]} images)"
    assert f"confusion of 9 Mini-VGG16, fine-tuned: {expected}" in html
    assert mistakes.confusions([], []).strip() == ""


def test_confusions_of_many_classes_are_a_table_of_the_largest(digits):
    _, _, rows = digits
    classes = [f"Class_of_a_long_name_{number}_<i>" for number in range(26)]
    labels = np.repeat(np.arange(26), 20)
    named = labels.copy()
    named[:5], named[20:22] = 7, 3
    runs = [mistakes.Predicted(rows[0], named, labels), mistakes.Predicted(rows[1], labels, labels)]
    html = mistakes.confusions(runs, classes)
    cells = [cell.replace("&lt;i&gt;", "<i>") for cell in re.findall("<td>(.*?)</td>", html)]
    assert cells == [
        *(classes[0], classes[7], "12.5%", "5 of 40"),
        *(classes[1], classes[3], "5.0%", "2 of 40"),
    ]
    assert "<script" not in html
    assert "the 2 experiments confuse most often" in html


def test_long_names_stay_different_in_a_matrix(digits):
    out, _, rows = digits
    classes = [f"Tomato___Target_{name}" for name in "abcdefghij"]
    html = mistakes.confusions(mistakes.predicted(rows, out), classes)
    content = json.loads(re.search(r"<script[^>]*>(.*?)</script>", html)[1])
    assert content["classes"] == classes
    assert len(set(content["short"])) == 10
    assert max(map(len, content["short"])) == 12


def test_a_name_from_right_to_left_leaves_the_figures_in_their_places(digits):
    out, _, rows = digits
    html = mistakes.hard_tables(mistakes.predicted(rows, out), ["חתול", *"abcdefghi"])
    assert re.search("\u2068חתול\u2069 \\(\\d+\\)", html)
    assert "\u2068a" not in html


def test_hard_images(digits):
    out, _, rows = digits
    runs = mistakes.predicted(rows, out)
    wrong = [run.named != run.labels for run in runs]
    found = mistakes.hard_images(runs)
    assert list(found) == ["wrong in all 3 experiments", "right only in 9 Mini-VGG16, fine-tuned"]
    every, only = found.values()
    assert list(every) == [i for i in range(len(wrong[0])) if all(w[i] for w in wrong)]
    assert list(only) == [
        i for i in range(len(wrong[0])) if wrong[0][i] and wrong[1][i] and not wrong[2][i]
    ]
    assert len(every) > mistakes.SHOWN > 0
    html = mistakes.hard_tables(runs, list("abcdefghij"))
    assert f"{len(every)} of {len(runs[0].labels)} images: wrong in all 3 experiments</h3>" in html
    assert html.count("<tr>") == 2 + mistakes.SHOWN + min(mistakes.SHOWN, len(only))
    long = (len(every) > mistakes.SHOWN) + (len(only) > mistakes.SHOWN)
    assert html.count(f"The first {mistakes.SHOWN} of them") == long
    cells = re.findall("<td>(.*?)</td>", html)
    assert cells[:2] == [str(every[0]), "abcdefghij"[runs[0].labels[every[0]]]]
    assert mistakes.hard_images(runs[:1]) == {}
    fewer = dataclasses.replace(runs[0], named=runs[0].named[:-1], labels=runs[0].labels[:-1])
    assert mistakes.hard_images([fewer, *runs]) == {}


def test_pictures_only_of_the_very_images(digits):
    out, _, rows = digits
    runs, names = mistakes.predicted(rows, out), list("abcdefghij")
    assert mistakes.images_of(runs, "auto") is None  # labels differ
    html = mistakes.hard_tables(runs, names)
    assert "No pictures: these images" in html
    assert "<img" not in html
    images = data.load("digits")
    right = [mistakes.Predicted(run.row, run.named, images.y_test) for run in runs]
    html = mistakes.hard_tables(right, names, mistakes.images_of(right, "auto"))
    assert "No pictures" not in html
    fewer = mistakes.Predicted(rows[0], runs[0].named[:-1], images.y_test[:-1])
    two = mistakes.pictures(right[:2], images)
    assert two == mistakes.pictures([*right[:2], fewer], images) != ""
    number, png = re.search(r'base64,(.*?)".*?alt="Test image (\d+) of class', html).group(2, 1)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(picture[..., ::-1], images.x_test[int(number)])
    assert mistakes.hard_tables(runs[:1], names).strip() == ""


def test_own_images_that_are_gone_are_no_error(digits, tmp_path):
    _, records, _ = digits
    own = [made_up.changed(one, dataset={"name": "own/x"}) for one in records]
    labels = np.arange(20) % 10
    named = (labels + 1) % 10
    runs = [mistakes.Predicted(row, named, labels) for row in verdicts.table(own) if row.records]
    images = mistakes.images_of(runs, str(tmp_path / "gone"))
    assert "are not available here" in mistakes.hard_tables(runs, list("abcdefghij"), images)
    assert mistakes.pictures(runs, images) == mistakes.pictures([], None) == ""
