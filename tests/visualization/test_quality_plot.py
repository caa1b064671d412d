"""Fig. 4: what is drawn, against what, and how it reads in a page."""

from zoomin_d2.visualization.quality_plot import Cost, draw_quality_plot, quality_plot_svg


def test_plot_needs_costs_of_two_methods():
    quality = {"a": 30.0, "b": 31.0, "c": 32.0}
    assert quality_plot_svg(quality, {"a": Cost(1.0, 100)}, "PSNR") is None
    by_size = quality_plot_svg(quality, {"a": Cost(None, 1e6), "b": Cost(2.0, 2e6)}, "PSNR")
    assert "parameters in millions" in by_size
    by_time = quality_plot_svg(quality, {"a": Cost(1.0), "c": Cost(3.0)}, "PSNR", "640 x 480, CPU")
    assert "milliseconds per frame, 640 x 480, CPU" in by_time
    assert by_time.startswith("<svg") and "currentColor" in by_time
    assert ">b<" not in by_time
    assert "http" not in by_time.replace("http://www.w3.org/", "")


def test_circles_stand_at_their_numbers():
    costs = {"a": Cost(2.0, 1_000_000), "b": Cost(8.0), "untimed": Cost(None, 5)}
    figure = draw_quality_plot({"a": 30.0, "b": 31.5, "untimed": 29.0}, costs, "PSNR", ink="red")
    (axes,) = figure.axes
    assert [c.get_offsets().tolist() for c in axes.collections[::2]] == [[[2, 30]], [[8, 31.5]]]
    assert [c.get_sizes().tolist() for c in axes.collections[::2]] == [[100], [60]]
    assert axes.get_xscale() == "log" and axes.yaxis.label.get_color() == "red"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
