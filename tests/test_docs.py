"""Documentation keeps up with the code: links, lines, tables, commands; and it builds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import update_docs

from tests.helpers.commands import shown_commands, unknown_options

REPOSITORY = Path(__file__).parents[1]
SCRIPTS = r"(?:tools|datasets|examples|docs/tools|docs/lab|projects/\w+)"
PAGES = sorted(
    str(page.relative_to(REPOSITORY))
    for pattern in (
        "*.md",
        "datasets/*.md",
        "tools/*.md",
        "integrations/*.md",
        "docs/**/*.md",
        "projects/**/*.md",
        "zoomin_d2/**/*.md",
    )
    for page in REPOSITORY.glob(pattern)
)
# Commands whose docstrings show how they are called.
COMMANDS = sorted(
    path
    for pattern in ("tools/*.py", "docs/tools/*.py", "projects/*/*.py", "tests/stress/*.py")
    for path in REPOSITORY.glob(pattern)
)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_commands_of_a_page(page):
    text = (REPOSITORY / page).read_text()
    links = re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", text)
    assert [x for x in links if not ((REPOSITORY / page).parent / x).exists()] == []
    scripts = set(re.findall(rf"(?<![\w/]){SCRIPTS}/\w+\.(?:py|sh)\b", text))
    named = scripts | set(re.findall(r"(?<![\w/])tests/[\w/]+\.py\b", text))
    assert [x for x in named if not (REPOSITORY / x).is_file()] == []
    commands = [x for x in scripts if (REPOSITORY / x).read_text().startswith("#!")]
    assert [x for x in commands if not os.access(REPOSITORY / x, os.X_OK)] == []
    configs = set(re.findall(r"(?<![\w/])(?:projects/\w+/)?configs/[\w/]+\.yaml\b", text))
    assert [x for x in configs if not (REPOSITORY / x).is_file()] == []
    assert not re.findall(r"^[A-Z]+_[A-Z_]+$|TO FILL|TODO", text, re.MULTILINE)


@pytest.mark.parametrize("page", [*PAGES, *(str(x.relative_to(REPOSITORY)) for x in COMMANDS)])
def test_options_of_commands_exist(page):
    commands = shown_commands(REPOSITORY / page)
    wrong = {(command, *unknown_options(command, words)) for command, words in commands}
    assert {x for x in wrong if len(x) > 1} == set()


def test_an_option_that_is_none_is_found(tmp_path):
    block = "```\ntools/report.py A \\\n  --titel x\n```\n"
    (tmp_path / "page.md").write_text(f"`tools/evaluate.py frames --pred A --json B`\n\n{block}")
    found = [unknown_options(*command) for command in shown_commands(tmp_path / "page.md")]
    assert found == [["--titel"], ["--json"]]


def test_every_tool_is_listed():
    folder = REPOSITORY / "tools"
    listed = set(re.findall(r"`(\w+\.(?:py|sh))`", (folder / "README.md").read_text()))
    assert listed == {path.name for path in folder.iterdir() if path.suffix in (".py", ".sh")}


@pytest.mark.slow
def test_the_models_table_is_current(capsys):
    assert update_docs.main(["--check"]) == 0, capsys.readouterr().out


def test_links_lead_to_what_they_name():
    text = (REPOSITORY / "docs/paper_to_code.md").read_text()
    links = set(re.findall(r"\[`([\w.]+)`\]\(\.\./([\w/]+\.py)\)", text))
    assert len(links) > 50
    for name, path in links:
        code = (REPOSITORY / path).read_text()
        for part in name.split("."):
            assert re.search(rf"^ *(def|class) {part}\b", code, re.MULTILINE), (path, name)


def test_every_equation_has_code_and_a_test():
    text = (REPOSITORY / "docs/paper_to_code.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| eq.")]
    numbers = {int(n) for row in rows for n in re.findall(r"\d+", row.split(":")[0])}
    assert numbers == set(range(1, 12))  # the paper numbers eleven
    for row in rows:
        assert "](../zoomin_d2/" in row and "](../tests/" in row, row


def test_numbers_come_from_a_card():
    card = (
        "text\n\n| dataset | PSNR | SSIM |\n|---|---|---|\n| dev | 34.1 | 0.97 |\n| b | 1 | 2 |\n"
    )
    numbers = "dev: PSNR 34.1, SSIM 0.97; b: PSNR 1, SSIM 2"
    assert update_docs.card_numbers(card) == numbers
    another = "text\n\n| against | PSNR | LPIPS |\n|---|---|---|\n| fine | -0.1 | -28 % |\n"
    assert update_docs.card_numbers(card + another) == numbers
    assert update_docs.card_numbers("| proposals | R50 |\n|---|---|\n| 10 | 75 |") == ""


@pytest.mark.slow
def test_pages_build_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="needs the dev extra")
    pytest.importorskip("mkdocstrings", reason="needs the dev extra")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "api/modeling.html").read_text()
    assert "hinge_d_losses" in page and "crop_roi_patches" in page
