"""Keys that were renamed still work, in yamls and on command lines."""

from zoomin_d2.config import get_zoomin_cfg


def test_two_keys_of_saved_images_became_one(tmp_path):
    cfg = get_zoomin_cfg()
    path = tmp_path / "old.yaml"
    path.write_text("TEST:\n  NUM_SAVED_IMAGES: 4\n  NUM_SAVED_FRAMES: 7\n")
    cfg.merge_from_file(str(path))
    assert cfg.TEST.NUM_SAVED == 7  # whose number the sample of the report was
    path.write_text("TEST:\n  NUM_SAVED_IMAGES: 0\n")
    cfg.merge_from_file(str(path))
    assert cfg.TEST.NUM_SAVED == 0
    cfg.merge_from_list(["TEST.NUM_SAVED_IMAGES", 4, "TEST.NUM_SAVED_FRAMES", "3"])
    assert cfg.TEST.NUM_SAVED == 3 and "NUM_SAVED_FRAMES" not in cfg.TEST
