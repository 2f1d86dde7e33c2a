import logging
from pathlib import Path

import numpy as np
import pytest

from advcli.data.class_names import class_index
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images, decode, to_float
from advcli.data.split import Split, split_off, stratified
from advcli.datasets._pictures import edge_of_split
from advcli.errors import AdvcliError, UsageError


def numbered(labels: list[int]) -> Split:
    """Make images of 4 x 4 pixels, each filled with its own index."""
    return Split(np.array(labels, np.int32), lambda i: np.full((4, 4, 3), i, np.uint8), "image {}".format)


def damaged(count: int, bad: set[int]) -> Split:
    whole = numbered([i % 2 for i in range(count)])

    def read(index: int) -> np.ndarray:
        if index in bad:
            raise AdvcliError("not a readable image")
        return whole.read(index)

    return Split(whole.labels, read, whole.name)


ANIMALS = Dataset("animals", ("cat", "dog, hound", "sea_lion"), numbered([0, 1, 2, 0, 1, 2]), numbered([2, 1, 0]), 4)


def test_a_size_is_chosen_without_the_damaged_images() -> None:
    assert edge_of_split(damaged(200, bad={0, 199})) == 32
    assert edge_of_split(damaged(3, bad={0, 1, 2})) == 224


def test_take_follows_the_indices() -> None:
    taken = numbered([5, 6, 7, 8]).take(np.array([3, 0]))
    assert taken.labels.tolist() == [8, 5]
    assert taken.read(0)[0, 0, 0] == 3 and taken.name(1) == "image 0"
    again = taken.take(np.array([1]))
    assert len(again) == 1 and again.read(0)[0, 0, 0] == 0


def test_restrict_keeps_the_named_classes_in_the_order_given() -> None:
    kept = ANIMALS.restrict(["2", "Cat"])
    assert kept.labels == ("sea_lion", "cat")
    assert kept.train.labels.tolist() == [1, 0, 1, 0]
    assert [kept.train.read(i)[0, 0, 0] for i in range(4)] == [0, 2, 3, 5]
    assert kept.test.labels.tolist() == [0, 1]
    assert ANIMALS.labels[0] == "cat" and len(ANIMALS.train) == 6


def test_restrict_needs_two_classes() -> None:
    with pytest.raises(UsageError, match="fewer than two"):
        ANIMALS.restrict(["cat", "0"])


def test_class_index() -> None:
    for value in ("sea lion", " SEA_LION ", "2"):
        assert class_index(ANIMALS.labels, value) == 2
    assert class_index(ANIMALS.labels, "hound") == 1
    assert class_index(("7", "3"), "3") == 1
    with pytest.raises(UsageError) as error:
        class_index(ANIMALS.labels, "sea lyon")
    assert "sea_lion" in error.value.hint
    with pytest.raises(UsageError):
        class_index(ANIMALS.labels, "3")


@pytest.mark.parametrize("count", [10, 37, 100, 199])
def test_stratified_keeps_the_shares_of_the_classes(count: int) -> None:
    labels = np.repeat([0, 1, 2], [120, 60, 20])
    np.random.default_rng(3).shuffle(labels)
    chosen = stratified(labels, count, seed=0)
    assert len(set(chosen.tolist())) == count and (np.diff(chosen) > 0).all()
    share = np.bincount(labels[chosen], minlength=3) - count * np.array([0.6, 0.3, 0.1])
    assert np.abs(share).max() <= 1.5


def test_stratified_is_seeded_and_draws() -> None:
    labels = np.arange(100) % 4
    np.testing.assert_array_equal(stratified(labels, 20, seed=5), stratified(labels, 20, seed=5))
    assert stratified(labels, 20, seed=5).tolist() != stratified(labels, 20, seed=6).tolist()
    np.testing.assert_array_equal(stratified(labels, 500, seed=5), np.arange(100))


def test_split_off_parts_without_overlap() -> None:
    labels = np.arange(50) % 5
    rest, part = split_off(labels, 0.2, seed=0)
    assert sorted([*rest, *part]) == list(range(50))
    assert np.bincount(labels[part]).tolist() == [2] * 5


def test_decode_reads_each_image_at_one_size() -> None:
    split = Split(np.array([1, 0]), lambda i: np.full((3 + i, 9, 1), 40 * i, np.uint8), str)
    decoded = decode(split, size=(8, 8), channels=3)
    assert decoded.pixels.shape == (2, 8, 8, 3) and decoded.pixels.dtype == np.uint8
    assert decoded.pixels[1].min() == decoded.pixels[1].max() == 40
    assert decoded.labels.tolist() == [1, 0] and decoded.labels.dtype == np.int32


def test_decode_leaves_out_a_few_unreadable_images(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        decoded = decode(damaged(200, bad={0, 7}), size=(4, 4), channels=3)
    assert len(decoded) == 198
    assert decoded.pixels[:, 0, 0, 0].tolist() == [i for i in range(200) if i not in (0, 7)]
    assert decoded.labels.tolist() == [i % 2 for i in range(200) if i not in (0, 7)]
    assert "'image 7'" in caplog.text and "2 of 200 images" in caplog.text


def test_decode_refuses_many_unreadable_images_unless_told() -> None:
    split = damaged(200, bad={0, 7, 9})
    with pytest.raises(AdvcliError, match="3 of 200") as error:
        decode(split, size=(4, 4), channels=3)
    assert "--skip-bad" in error.value.hint
    assert len(decode(split, size=(4, 4), channels=3, skip_bad=True)) == 197
    with pytest.raises(AdvcliError, match="no readable image"):
        decode(damaged(3, bad={0, 1, 2}), size=(4, 4), channels=3, skip_bad=True)
    with pytest.raises(AdvcliError, match="no images are left"):
        decode(damaged(0, bad=set()), size=(4, 4), channels=3)


def test_images_come_as_floats() -> None:
    images = Images(np.array([0, 51, 255], np.uint8).reshape(3, 1, 1, 1), np.array([0, 1, 2], np.int32))
    batches = list(images.batches(2))
    assert [len(labels) for _, labels in batches] == [2, 1]
    assert batches[0][0].dtype == np.float32
    assert np.concatenate([pixels for pixels, _ in batches]).ravel().tolist() == pytest.approx([0, 0.2, 1])
    assert images.take(np.array([2])).at(slice(None))[0].item() == 1
    ready = np.ones(3, np.float32)
    assert to_float(ready) is ready


def test_fingerprint_tells_data_apart() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 2, 2, 3)
    labels = np.array([0, 1, 0, 1], np.int32)
    mark = Images(pixels, labels).fingerprint()
    assert mark == Images(pixels.copy(), labels.copy()).fingerprint()
    assert mark != Images(pixels[::-1], labels).fingerprint()
    assert mark != Images(pixels, labels[::-1]).fingerprint()
    assert mark != Images(pixels.reshape(4, 1, 4, 3), labels).fingerprint()


def test_sample_keeps_the_first_and_draws_of_those() -> None:
    split = numbered([0, 1] * 20)
    assert len(split.sample(None, None, seed=0)) == 40
    assert split.sample(None, 3, seed=0).name(2) == "image 2" and len(split.sample(None, 3, seed=0)) == 3
    drawn = split.sample(4, 10, seed=0)
    assert sorted(drawn.labels.tolist()) == [0, 0, 1, 1]
    assert all(int(drawn.name(i).split()[1]) < 10 for i in range(4))


def test_a_name_of_two_classes_is_ambiguous() -> None:
    with pytest.raises(UsageError, match="2 classes are called 'crane'") as refused:
        class_index(("crane", "cat", "crane"), "crane")
    assert "0, 2" in refused.value.hint
    assert class_index(("crane", "cat", "crane"), "2") == 2


def test_images_that_take_more_than_the_memory_allowed_are_kept_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVCLI_CACHE", str(tmp_path / "cache"))
    split = damaged(200, {7})
    size = 200 * 4 * 4 * 3
    in_memory, on_disk = (decode(split, (4, 4), 3, memory=memory) for memory in (size, size - 1))
    assert not isinstance(in_memory.pixels, np.memmap)
    assert isinstance(on_disk.pixels, np.memmap)
    np.testing.assert_array_equal(on_disk.pixels, in_memory.pixels)
    np.testing.assert_array_equal(on_disk.labels, in_memory.labels)
    assert on_disk.fingerprint() == in_memory.fingerprint()
    chosen = np.array([5, 198, 0])
    np.testing.assert_array_equal(on_disk.at(chosen)[0], in_memory.at(chosen)[0])
    # The file goes with the process, however that ends.
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_found_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCLI_CACHE", str(tmp_path))
    endless = Split(np.broadcast_to(np.int32(0), 10**9), lambda i: np.zeros((4, 4, 3), np.uint8), "image {}".format)
    with pytest.raises(AdvcliError, match="more than the free space") as caught:
        decode(endless, (1000, 1000), 3, memory=0)
    assert "--memory" in caught.value.hint
