"""Reader of the 1,797 handwritten digits that come with scikit-learn: 8x8, grey, no network.

E. Alpaydin and C. Kaynak, 1998, https://doi.org/10.24432/C50P49 (the test part of it).
"""

import numpy as np

from jaxnas.data import dataset, lazy_images, splits
from jaxnas.data.images import as_images


def read() -> dataset.Splits:
    """1,500 training and 297 test images; the test part is stratified and always the same."""
    from sklearn import datasets  # takes over a second, and is not always needed

    digits = datasets.load_digits()
    images = as_images(np.asarray(digits.images) / 16, digits.target, "digits")
    train, test = (
        lazy_images.take(images, indices)
        for indices in splits.stratified_split(images.labels, 297, "digits")
    )
    return dataset.Splits("digits", train, test, tuple(map(str, digits.target_names)))
