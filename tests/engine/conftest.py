"""A dataset for whole runs."""

from pathlib import Path

import pytest

from tests.helpers.training_runs import write_triplets


@pytest.fixture(scope="session")
def tiny_triplets(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("datasets")
    write_triplets(root)
    return root


@pytest.fixture
def datasets_here(tiny_triplets, monkeypatch) -> Path:
    """DETECTRON2_DATASETS of this process."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tiny_triplets))
    return tiny_triplets
