"""The 1,797 handwritten digits that come with scikit-learn: 8x8, grey, no network needed.

E. Alpaydin and C. Kaynak, 1998, https://doi.org/10.24432/C50P49 (the test part of it).
"""

import numpy as np

from jaxnas.data import dataset, lazy_images, splits
from jaxnas.data.images import as_images


def read() -> dataset.Splits:
    """1,500 training and 297 test images; the test part is stratified and always the same."""
    from sklearn import datasets  # over a second to import, and not always needed

    found = datasets.load_digits()
    images = as_images(np.asarray(found.images) / 16, found.target, "digits")
    kept, held = splits.held_out(images.labels, 297, "digits")
    names = tuple(str(name) for name in found.target_names)
    return dataset.Splits(
        "digits", lazy_images.take(images, kept), lazy_images.take(images, held), names
    )
