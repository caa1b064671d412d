"""What the READMEs point at exists."""

import os
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize("page", ["README.md", "datasets/README.md"])
def test_links_and_commands_of_a_page(page):
    text = (REPOSITORY / page).read_text()
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", text)
    assert [x for x in links if not ((REPOSITORY / page).parent / x).exists()] == []
    scripts = set(re.findall(r"\b(?:tools|datasets)/\w+\.(?:py|sh)\b", text))
    assert scripts
    assert [x for x in scripts if not os.access(REPOSITORY / x, os.X_OK)] == []
    configs = set(re.findall(r"\bconfigs/[\w/]+\.yaml\b", text))
    assert [x for x in configs if not (REPOSITORY / x).is_file()] == []
    assert not re.findall(r"^[A-Z]+_[A-Z_]+$", text, re.MULTILINE)  # a forgotten placeholder
