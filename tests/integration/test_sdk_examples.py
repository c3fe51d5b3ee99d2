"""The examples of docs/sdk.md run in the order of the page, and print what the page says."""

import contextlib
import io
import re
from pathlib import Path

from tests.support.service import LiveService

PAGE = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text()


def test_every_example_of_the_sdk_page_prints_what_the_page_says(live: LiveService, redis_url: str) -> None:
    examples = "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    expected = re.findall(r"  # -> (.*)$", examples, re.MULTILINE)
    assert len(expected) > 25
    program = examples.replace("redis://127.0.0.1:6379/0", redis_url).replace("http://127.0.0.1:8000", live.url)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "docs/sdk.md", "exec"), {})
    assert printed.getvalue().splitlines() == expected
