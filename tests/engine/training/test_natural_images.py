import numpy as np
import pytest
from skimage import io

from napari_s2sst.engine.errors import ConfigError
from napari_s2sst.engine.training.natural_images import BUNDLED, NaturalImages, read_pictures


def test_every_bundled_picture_is_there_without_a_download():
    pictures = read_pictures(None)
    assert len(pictures) == len(BUNDLED)
    for picture in pictures:
        assert picture.ndim == 2
        assert (picture.min(), picture.max()) == (0, 1)


def test_plain_patches_stay_between_0_and_1():
    images = NaturalImages(None, np.random.default_rng(0))
    patches = np.stack([images.plain(64) for _ in range(50)])
    assert patches.shape == (50, 64, 64)
    assert patches.min() >= 0
    assert patches.max() <= 1
    assert patches.std(axis=(1, 2)).mean() > 0.05  # not all from one flat corner


def test_simulated_counts_are_whole_numbers_of_very_different_depth():
    images = NaturalImages(None, np.random.default_rng(0))
    patches = np.stack([images.counts(48) for _ in range(100)])
    assert (patches == np.round(patches)).all()
    assert patches.min() >= 0
    means = patches.mean(axis=(1, 2))
    assert np.quantile(means, 0.9) > 20 * np.quantile(means, 0.1)


def test_the_same_seed_draws_the_same_patches():
    first, second = (NaturalImages(None, np.random.default_rng(7)) for _ in range(2))
    for _ in range(5):
        assert np.array_equal(first.counts(32), second.counts(32))


def test_a_folder_of_pictures_is_used_instead(tmp_path):
    io.imsave(tmp_path / "grey.png", np.tile(np.arange(128, dtype=np.uint8), (128, 1)), check_contrast=False)
    (tmp_path / "notes.txt").write_text("no picture")
    assert [picture.shape for picture in read_pictures(tmp_path)] == [(128, 128)]


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no picture"):
        read_pictures(tmp_path)


def test_a_broken_picture_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ConfigError, match=r"broken\.png"):
        read_pictures(tmp_path)
