"""The report: records against published figures, as a page, Markdown and CSV."""
