"""How a running training is shown: lines in a log, or learning curves in a notebook."""

import sys
import time

from lib import in_batch_run

LINE_SECONDS = 300.0
"""Inside long epochs a log gets a line so often."""
DRAWING = 0.1
"""Share of the time, at most, that drawing takes."""


class Lines:
    """Prints one line after another, for a log."""

    seconds_between_steps = LINE_SECONDS

    def line(self, text: str) -> None:
        """Shows where the training is."""
        print(text, flush=True)

    def epoch(self, text: str, history: dict[str, list[float]], epochs: int) -> None:
        """Shows what an epoch brought.

        Args:
            text: one line.
            history: of `lib.training.Fit`, so far.
            epochs: all that may run.
        """
        self.line(text)

    def end(self, text: str) -> None:
        """Shows, in one line, how the training ended."""
        self.line(text)


class Curves(Lines):
    """Learning curves that are drawn anew after each epoch, above one line that changes."""

    seconds_between_steps = 1.0

    def __init__(self):
        from IPython.display import display

        self.picture = display({"text/plain": ""}, raw=True, display_id=True)
        self.text = display({"text/plain": "Training begins."}, raw=True, display_id=True)
        self.last, self.next = "", 0.0

    def line(self, text: str) -> None:
        self.last = text
        self.text.update({"text/plain": text}, raw=True)

    def epoch(self, text: str, history: dict[str, list[float]], epochs: int) -> None:
        from lib import plots

        self.line(text)
        began = time.monotonic()
        if began >= self.next:
            data, metadata = plots.as_output(plots.curves_so_far(history, epochs))
            self.picture.update(data, metadata=metadata, raw=True)
            now = time.monotonic()
            self.next = now + (now - began) / DRAWING

    def end(self, text: str) -> None:
        """Replaces the curves, which the notebook's next cell shows with the chosen epoch."""
        self.picture.update({"text/plain": self.last}, raw=True)
        self.line(text)


def of_this_process() -> Lines:
    """Returns curves in a notebook that a person runs, else lines."""
    ipython = sys.modules.get("IPython")
    in_kernel = ipython and hasattr(ipython.get_ipython(), "kernel")
    return Curves() if in_kernel and not in_batch_run() else Lines()
