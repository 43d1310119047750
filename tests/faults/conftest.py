"""What the faults share: a table of what was done and what was said, at the end."""

import pytest

ROWS: list[tuple[str, str, float]] = []


@pytest.fixture
def said(request):
    """Notes the sentence with which the project answered a fault."""

    def note(sentence: str) -> None:
        request.node.user_properties.append(("said", sentence.strip()))

    return note


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call" and report.passed:
        fault = (item.function.__doc__ or item.name).splitlines()[0].rstrip(".")
        ROWS.append((fault, dict(item.user_properties).get("said", ""), report.duration))


def pytest_terminal_summary(terminalreporter):
    if ROWS:
        terminalreporter.section("faults survived")
        for fault, sentence, seconds in ROWS:
            terminalreporter.write_line(f"| {fault} | {sentence} | {seconds:.0f} s |")
