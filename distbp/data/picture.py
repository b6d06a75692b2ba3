"""One picture of a JPEG or PNG file, decoded by Pillow: a part of it, as a square of pixels.

Pillow is an extra of its own, and is imported where a picture is read.
"""

import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np

from distbp.data.bad_file import BadFileError
from distbp.errors import RequestError

FORMATS = ("JPEG", "PNG")
ENDINGS = (".jpg", ".jpeg", ".png")
PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # modes with 8 bits a channel, or fewer

Colours = Literal["L", "RGB"]  # one channel of grey, or three
Box = tuple[float, float, float, float]  # left, top, right and bottom, in pixels
View = Callable[[int, int], Box]
"""``view(width, height)``: the part of a picture of this size that is looked at."""


def require_pillow() -> None:
    """RequestError where Pillow is missing. From here on a picture that is too large is an error, not a warning."""
    try:
        from PIL import Image
    except ImportError:
        raise RequestError("data.path", "null", "pictures need Pillow: pip install 'distbp[images]'") from None
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def decoded(path: Path, side: int, colours: Colours, view: View) -> np.ndarray:
    """The part of an upright picture that ``view`` chooses, bilinearly resized.   -> (side, side, channels) uint8.

    Raises BadFileError, without the file's name, where it holds no whole picture of 8 bits a channel, or one of more
    pixels than Pillow thinks harmless (89 million).
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as picture:
            if picture.mode not in PLAIN:
                raise BadFileError(f"a picture of mode {picture.mode}; 8 bits a channel are expected")
            picture.load()  # so that below nothing is left to fail but reading EXIF
            with suppress(Exception):  # damaged EXIF says nothing of how the camera was held
                ImageOps.exif_transpose(picture, in_place=True)
            plain = picture.convert("RGBA") if picture.mode in ("P", "PA") else picture
            square = plain.convert(colours).resize((side, side), Image.Resampling.BILINEAR, box=view(*picture.size))
    except BadFileError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise BadFileError(f"a picture of more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise BadFileError("it is no picture in JPEG or PNG") from None
    except Exception as error:  # whatever a decoder does with damaged bytes
        raise BadFileError(f"a picture that does not decode ({' '.join(str(error).split())})") from None
    return np.asarray(square).reshape(side, side, -1)


def whole(width: int, height: int) -> Box:
    """All of a picture."""
    return (0, 0, width, height)
