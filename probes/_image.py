"""Images of any layout as (m, channels, height, width), and back."""

import numpy as np
from probe_match.fingerprinting.errors import BadData
from probe_match.fingerprinting.records import InputSpec


def to_planes(spec: InputSpec, images: np.ndarray) -> np.ndarray:
    """
    float32 (m, channels, height, width) of images (m, *shape). Raises BadData for shapes that are no image.
    """
    if len(spec.shape) not in (2, 3):
        raise BadData(
            f"expected images of shape (height, width) or with channels first or last, got {spec.shape}; "
            "give the pool its image shape or call it tabular"
        )
    if spec.channel_axis is None:
        return images[:, None]

    return np.moveaxis(images, spec.channel_axis + 1, 1)


def from_planes(spec: InputSpec, planes: np.ndarray) -> np.ndarray:
    """The inverse of `to_planes`."""
    if spec.channel_axis is None:
        return planes[:, 0]

    return np.ascontiguousarray(np.moveaxis(planes, 1, spec.channel_axis + 1))
