"""What `zoomin_d2.video` offers by name."""


def test_names_are_there_when_used():
    import zoomin_d2.video as video

    assert {getattr(video, name).__name__ for name in video.__all__} == set(video.__all__)
