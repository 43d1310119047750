"""The time left: from the pace so far and from what each epoch costs."""

import pytest

from lib.training import callbacks


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
    progress = callbacks.Progress([10.0, 30.0, 30.0], 10, lines=True)
    seconds = (1.0, 3.0, 3.0)
    said = train(progress, clock, epochs=3, steps=10, second_per_step=seconds.__getitem__)
    passed = 0.0
    for number, left in enumerate(said):
        passed += seconds[number // 10]
        if number:  # the first step makes the graph and says nothing
            assert left == pytest.approx(70 - passed)
    assert progress.left() == 0


def test_the_graphs_seconds_do_not_count(clock):
    progress = callbacks.Progress([10.0], 10, lines=True)
    progress.set_model(Model())
    clock.now += 60  # the first step, with the graph
    progress.on_train_batch_end(0, LOGS)
    clock.now += 1
    progress.on_train_batch_end(1, LOGS)
    assert progress.left() == pytest.approx(8)


def test_nor_do_those_of_later_graphs(clock):
    """Each stage makes one for training, and one for its first validation."""
    progress = callbacks.Progress([10.0, 10.0, 10.0], 10, lines=True)
    progress.set_model(Model())
    for epoch in range(2):
        progress.on_train_begin()
        for step in range(10):
            clock.now += 1 if step else 60
            progress.on_train_batch_end(step, LOGS)
        clock.now += 30
        progress.on_epoch_end(epoch, LOGS)
        assert progress.left() == pytest.approx(10 * (2 - epoch))


def test_a_log_gets_few_lines_and_a_person_one_that_changes(clock, capsys):
    steps = {"epochs": 1, "steps": 700, "second_per_step": lambda epoch: 1.0}
    train(callbacks.Progress([1.0], 700, lines=True), clock, **steps)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "epoch 1/1, step 301/700",
        "epoch 1/1, step 601/700",
        "epoch 1/1",
    ]
    assert lines[1].endswith("loss 1.000  accuracy 0.500  10 min so far, about 2 min left")
    assert lines[2].endswith("val_accuracy 0.500  12 min so far")
    train(callbacks.Progress([1.0], 700, lines=False), clock, **steps)
    shown = capsys.readouterr().out
    assert shown.count("\r") == 699
    assert shown.count("\n") == 1


def test_a_resumed_epoch_continues_where_it_was(clock):
    progress = callbacks.Progress([10.0, 10.0], 10, lines=True)
    progress.step = 5  # as the checkpoint says
    said = train(progress, clock, epochs=1, steps=5, second_per_step=lambda epoch: 1.0)
    assert said[1:] == pytest.approx([13, 12, 11, 10])
