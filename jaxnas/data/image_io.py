"""Decoding and resizing of images: files or bytes to u8[H, W, C]."""

import functools
import io
import pathlib

import numpy as np
import PIL
import PIL.Image
import PIL.ImageOps

from jaxnas.data import picture_header
from jaxnas.data.images import DataError

# Formats of pixels: others make Pillow start programs (EPS), or hold more than a picture (PSD).
FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "TGA", "PCX", "JPEG2000",
    "AVIF", "QOI",
)  # fmt: skip
BROKEN = (OSError, EOFError, SyntaxError, ValueError, PIL.Image.DecompressionBombError)
READ = "PNG, JPEG, GIF, BMP, WebP, TIFF, PPM, TGA, PCX, JPEG 2000, AVIF, QOI"
GREY = ("1", "L", "LA")
# Modes of 16 and 32 bits a channel are absent: 8 bits would silently lose most of them.
COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow knows."""
    PIL.Image.init()
    return tuple(name for name in FORMATS if name in PIL.Image.OPEN)


def is_colour(path: pathlib.Path) -> bool:
    """Whether a picture has colours, by its header alone. Raises DataError if it is none."""
    try:
        with PIL.Image.open(path, formats=_formats()) as image:
            _check_header(image, str(path))
            return image.mode in COLOUR
    except BROKEN as error:
        raise _unreadable(str(path), error) from error


def decode(encoded: bytes | pathlib.Path, channels: int, location: str) -> np.ndarray:
    """u8[H, W, channels] from PNG, JPEG or other formats of Pillow, rotated by EXIF.

    channels: 1 or 3; grey becomes three equal channels, colour becomes luma. `location` names the
    picture in messages. Raises DataError for broken files, other formats than FORMATS, more than 8
    bits a channel, several pictures in a file and transparent pixels.
    """
    try:
        with PIL.Image.open(
            io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded, formats=_formats()
        ) as image:
            _check_header(image, location)
            upright = PIL.ImageOps.exif_transpose(image)
            _check_opaque(upright, location)
            pixels = np.asarray(upright.convert("RGB" if channels == 3 else "L"))
    except BROKEN as error:
        raise _unreadable(location, error) from error
    return pixels if channels == 3 else pixels[..., None]


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """u8[size, size, C]: the largest centred square, scaled bilinearly with antialiasing.

    Raises DataError where it must be scaled and has neither 1 nor 3 channels.
    """
    if image.shape[:2] == (size, size):
        return image
    if image.shape[2] not in (1, 3):
        raise DataError(
            f"images of {image.shape[2]} channels cannot be scaled: leave image_size out, "
            "or give images of 1 or 3 channels."
        )
    # PIL.ImageOps.fit does both at once, but lets pixels beyond the square bleed into it.
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = np.ascontiguousarray(image[top : top + side, left : left + side])
    picture = PIL.Image.fromarray(square[..., 0] if image.shape[2] == 1 else square)
    scaled = np.asarray(picture.resize((size, size), PIL.Image.Resampling.BILINEAR))
    return scaled.reshape(size, size, image.shape[2])


def _check_header(image: PIL.Image.Image, location: str) -> None:
    if (bits := picture_header.bits(image)) > 8:
        raise DataError(
            f"{location}: has {bits} bits a channel, of which 8 would be lost or more; convert it "
            "to 8-bit grey or RGB."
        )
    if image.mode not in GREY + COLOUR:
        raise DataError(
            f"{location}: pixel mode {image.mode!r} has no 8 bits a channel; convert it to 8-bit "
            "grey or RGB."
        )
    if (count := picture_header.pictures(image)) > 1:
        raise DataError(
            f"{location}: holds {count} pictures (pages or frames), of which one would be read; "
            "save each as a file of its own."
        )


def _check_opaque(image: PIL.Image.Image, location: str) -> None:
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        raise DataError(f"{location}: has transparent pixels; put it on a background and save it.")


def _unreadable(location: str, error: Exception) -> DataError:
    if isinstance(error, DataError):
        return error
    if isinstance(error, PIL.UnidentifiedImageError):
        return DataError(
            f"{location}: no picture that can be read (of none of the formats {READ}); convert, "
            "replace or remove the file."
        )
    cause = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(
        f"{location}: no picture that can be read ({cause}); replace or remove the file."
    )
