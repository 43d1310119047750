"""What the faults share: a table of what was done and what was said, at the end."""

import pytest


@pytest.fixture
def said(request):
    """Notes the sentence with which the project answered a fault."""

    def note(sentence: str) -> None:
        request.node.user_properties.append(("said", sentence.strip()))

    return note


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    fault = (item.function.__doc__ or item.name).splitlines()[0].rstrip(".")
    if report.when == "call":
        report.user_properties.append(("fault", fault))


def pytest_terminal_summary(terminalreporter):
    rows: dict[str, list] = {}
    for report in terminalreporter.stats.get("passed", []):
        found = dict(report.user_properties)
        if "fault" in found:
            row = rows.setdefault(found["fault"], [0, 0.0, found.get("said", "")])
            row[0] += 1
            row[1] += report.duration
    if rows:
        terminalreporter.section("faults survived")
        terminalreporter.write_line("| fault | tests | what was said | seconds |")
        terminalreporter.write_line("| --- | --- | --- | --- |")
    for fault, (tests, seconds, sentence) in rows.items():
        terminalreporter.write_line(f"| {fault} | {tests} | {sentence} | {seconds:.0f} |")
