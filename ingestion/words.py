"""Words of messages."""


def counted(count: int, noun: str) -> str:
    """A number and what it counts, as "1 file" or "2,000 files"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def on_one_line(text: str) -> str:
    """Text of others on one line: it may hold line breaks and what a terminal would do."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def counted_are(count: int, noun: str) -> str:
    """The same, as the beginning of a sentence that says what they are: "1 file is"."""
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"
