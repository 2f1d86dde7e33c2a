"""Which part of a data set a name says: train, test or validation, as folders, files and tables call them."""

import re

TRAIN, TEST, VALIDATION = "train", "test", "validation"
_WORDS = {
    TRAIN: ("train", "training", "trn"),
    TEST: ("test", "testing", "tst", "eval", "evaluation", "holdout"),
    VALIDATION: ("val", "valid", "validation", "dev", "development"),
}
NAMES = tuple(word for words in _WORDS.values() for word in words)
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
# Words beside it that say nothing: train_images, TestSet.
_BESIDE = ("set", "data", "dataset", "split", "images", "imgs", "image", "img", "samples")


def split_of(name: str, whatever_beside: bool = False) -> str:
    """Return the part that a name says, or the empty text.

    Args:
        name: such as ``train``, ``Testing``, ``val_set`` or ``training-images``.
        whatever_beside: other words may stand beside it, such as in ``seg_train``.
    """
    words = words_of(name)
    words = [re.sub(r"^(.+?)(set|data)$", r"\1", word) if word not in _BESIDE else word for word in words]
    found = {_SPLIT_OF[word] for word in words if word in _SPLIT_OF}
    others = [word for word in words if word not in _SPLIT_OF and word not in _BESIDE]
    return found.pop() if len(found) == 1 and (whatever_beside or not others) else ""


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case: ``x_train``, ``trainX`` and ``train-x`` have two."""
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
