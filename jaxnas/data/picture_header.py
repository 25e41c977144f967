"""What a picture's own header says and Pillow's mode hides: bits a channel, number of pictures."""

import PIL.Image

SUBFILE, BITS = 254, 258  # tags of TIFF
JP2_SIZE = b"\xff\x51"  # marker of a JPEG 2000 codestream's sizes
HEADER = 4096  # bytes in which these are


def bits(image: PIL.Image.Image) -> int:
    """The most bits a channel of an opened picture, before it is decoded.

    Pillow decodes 16 bits of several channels to 8.
    """
    if image.format == "PNG":
        return 16 if any(";16" in str(tile[3]) for tile in image.tile) else 8
    if image.format == "TIFF":
        return max(_numbers(image.tag_v2.get(BITS, 1)))
    if image.format == "PPM":
        most = [arg for tile in image.tile for arg in _numbers(tile[3]) if isinstance(arg, int)]
        return 16 if max(most, default=255) > 255 else 8
    if image.format == "JPEG2000":
        head = _head(image)
        # Xsiz to YTOsiz and the number of components stand before the first component's depth.
        place = head.find(JP2_SIZE) + 40
        return (head[place] & 0x7F) + 1 if JP2_SIZE in head and place < len(head) else 8
    if image.format == "AVIF":
        head = _head(image)
        place = head.find(b"av1C") + 6
        return 10 if b"av1C" in head and place < len(head) and head[place] & 0x40 else 8
    return 8


def pictures(image: PIL.Image.Image) -> int:
    """The number of pictures in an opened file: pages or frames, without smaller versions.

    A phone's JPEG with a preview (MPO) is one picture.
    """
    if image.format in ("MPO", "JPEG"):
        return 1
    count = getattr(image, "n_frames", 1)
    if image.format != "TIFF" or count == 1:
        return count
    versions = 0
    for page in range(1, count):
        image.seek(page)
        versions += int(image.tag_v2.get(SUBFILE, 0)) & 1
    image.seek(0)
    return count - versions


def _head(image: PIL.Image.Image) -> bytes:
    place = image.fp.tell()
    image.fp.seek(0)
    head = image.fp.read(HEADER)
    image.fp.seek(place)
    return head


def _numbers(value: object) -> tuple:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
