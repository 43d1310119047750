"""The time left: from the pace so far and from what each epoch costs."""

import pytest

from lib.training import callbacks, display


class Clock:
    """Stands in for the time; each training step moves it."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(callbacks.time, "perf_counter", lambda: self.now)


class Model:
    """As much of a model as the callback looks at."""

    class optimizer:  # noqa: N801
        learning_rate = 0.1


LOGS = {"loss": 1.0, "accuracy": 0.5}


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def train(progress, clock, *, epochs, steps, second_per_step) -> list[float]:
    """Plays a training; returns what it expected to be left after each step."""
    progress.set_model(Model())
    said = []
    for epoch in range(epochs):
        for step in range(steps):
            clock.now += second_per_step(epoch)
            progress.on_train_batch_end(step, LOGS)
            said.append(progress.left())
        progress.on_epoch_end(epoch, LOGS | {"val_loss": 1.0, "val_accuracy": 0.5})
    return said


def test_an_epoch_of_the_head_counts_for_less(clock):
    # The head's epoch costs a third; so do its steps.
    progress = callbacks.Progress([10.0, 30.0, 30.0], 10, display.Lines())
    seconds = (1.0, 3.0, 3.0)
    said = train(progress, clock, epochs=3, steps=10, second_per_step=seconds.__getitem__)
    passed = 0.0
    for number, left in enumerate(said):
        passed += seconds[number // 10]
        if number:  # the first step makes the graph and says nothing
            assert left == pytest.approx(70 - passed)
    assert progress.left() == 0


def test_the_graphs_seconds_do_not_count(clock):
    progress = callbacks.Progress([10.0], 10, display.Lines())
    progress.set_model(Model())
    clock.now += 60  # the first step, with the graph
    progress.on_train_batch_end(0, LOGS)
    clock.now += 1
    progress.on_train_batch_end(1, LOGS)
    assert progress.left() == pytest.approx(8)


def test_nor_do_those_of_later_graphs(clock):
    """Each stage makes one for training, and one for its first validation."""
    progress = callbacks.Progress([10.0, 10.0, 10.0], 10, display.Lines())
    progress.set_model(Model())
    for epoch in range(2):
        progress.on_train_begin()
        for step in range(10):
            clock.now += 1 if step else 60
            progress.on_train_batch_end(step, LOGS)
        clock.now += 30
        progress.on_epoch_end(epoch, LOGS)
        assert progress.left() == pytest.approx(10 * (2 - epoch))


def test_a_log_gets_few_lines(clock, capsys):
    steps = {"epochs": 1, "steps": 700, "second_per_step": lambda epoch: 1.0}
    train(callbacks.Progress([1.0], 700, display.Lines()), clock, **steps)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "epoch 1/1, step 301/700",
        "epoch 1/1, step 601/700",
        "epoch 1/1",
    ]
    assert lines[1].endswith("loss 1.000  accuracy 0.500  10 min so far, about 2 min left")
    assert lines[2].endswith("val_accuracy 0.500  12 min so far")


def test_a_resumed_epoch_continues_where_it_was(clock):
    progress = callbacks.Progress([10.0, 10.0], 10, display.Lines())
    progress.step = 5  # as the checkpoint says
    said = train(progress, clock, epochs=1, steps=5, second_per_step=lambda epoch: 1.0)
    assert said[1:] == pytest.approx([13, 12, 11, 10])


# --- in a notebook -----------------------------------------------------------------------


class Handle:
    """Stands in for a place in a notebook whose content can be replaced."""

    def __init__(self, data):
        self.shown = [data]

    def update(self, data, *, raw, metadata=None):
        assert raw
        self.shown.append(data)


@pytest.fixture
def handles(monkeypatch):
    made = []

    def display(data, *, raw, display_id):
        assert raw
        assert display_id
        made.append(Handle(data))
        return made[-1]

    monkeypatch.setattr("IPython.display.display", display)
    return made


def test_curves_are_drawn_in_place_and_make_room_for_the_last_ones(clock, handles, monkeypatch):
    monkeypatch.setattr(display, "DRAWING", 1e9)  # no pause between two
    live = display.Curves()
    progress = callbacks.Progress([1.0, 1.0, 1.0], 10, live)
    train(progress, clock, epochs=3, steps=10, second_per_step=lambda epoch: 1.0)
    picture, text = handles
    assert [("image/png" in data) for data in picture.shown] == [False, True, True, True]
    assert picture.shown[2]["text/plain"] == "Learning curves after 2 of 3 epochs."
    assert text.shown[-1]["text/plain"].startswith("epoch 3/3  loss 1.000")
    assert any(data["text/plain"].startswith("epoch 2/3, step 5/10") for data in text.shown)
    live.end("All 3 epochs ran.")
    assert [handle.shown[-1]["text/plain"][:9] for handle in handles] == ["epoch 3/3", "All 3 epo"]
    assert "image/png" not in picture.shown[-1]


def test_drawing_takes_a_small_share_of_the_time(clock, handles, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("lib.plots.curves_so_far", lambda *_: now.append(now.pop() + 0.5))
    monkeypatch.setattr("lib.plots.as_output", lambda _: ({"image/png": ""}, {}))
    live = display.Curves()
    for _ in range(100):
        now[0] += 1
        live.epoch("", {}, 100)
    drawn = sum("image/png" in data for data in handles[0].shown)
    assert 0.5 * drawn <= display.DRAWING * (now[0] - 100) + 0.5
    assert drawn > 5


def test_curves_are_for_people_in_a_notebook(handles, monkeypatch):
    shell = type("Shell", (), {})()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    assert type(display.of_this_process()) is display.Lines  # a terminal
    shell.kernel = object()
    assert type(display.of_this_process()) is display.Curves
    monkeypatch.setenv("CIFAR10_LADDER_BATCH", "1")
    assert type(display.of_this_process()) is display.Lines


def test_a_training_says_how_it_ended():
    stopping = callbacks.EarlyStopping(5)
    assert stopping.how_it_ended(10, 10) == (
        "All 10 epochs ran. The weights of the last one are used."
    )
    stopping.stopped_by, stopping.best_epoch = "val_loss", 18
    assert stopping.how_it_ended(23, 100) == (
        "Stopped early after epoch 23 of 100: validation loss had not improved for 5 epochs. "
        "The weights of epoch 18 are used."
    )
