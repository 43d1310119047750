"""Prints what the guard battery found, mistake by mistake."""


def pytest_terminal_summary(terminalreporter):
    reports = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    rows = [found for report in reports for name, found in report.user_properties if name == "row"]
    if rows:
        terminalreporter.section("planted mistakes")
        for mistake, caught_by, seconds in sorted(rows, key=lambda row: row[1]):
            terminalreporter.write_line(f"{mistake:<58} | {caught_by} | {seconds:.1f} s")
