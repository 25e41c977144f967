"""Which images: a data set by name, and how much of it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DataSettings:
    data: str = "digits"
    """`digits` (built in), a `.npz` file, a folder of pictures by class, or a TFDS name."""
    data_dir: str | None = None
    """Where prepared TFDS sets lie."""
    limit: int | None = None
    """The first N training images and N // 5 test images only."""
    image_size: int | None = None
    """Scales every image to this many pixels a side."""
