"""Warnings of suspicious pixel values, judged over all images of a data set."""

from collections.abc import Sequence

from autodecoder.data.samples import Seen
from autodecoder.text import count

#: Largest values of samples of 1, 8, 10, 12 and 14 bits that are stored in 16.
_PARTS_OF_16_BITS = tuple(2**bits - 1 for bits in (1, 8, 10, 12, 14))


def find_faults(seen: Sequence[Seen], pixel_range: tuple[float, float] | None) -> list[str]:
    """Describe each fault by a sentence without its full stop.

    Parameters
    ----------
    seen : sequence of Seen
        Type and range of the samples of each image.
    pixel_range : (low, high) or None
        Stored values of black and white that the images were read with.
    """
    faults = []
    n_clear = sum(one.is_clear for one in seen)
    if n_clear:
        faults.append(
            f"{n_clear} of {count(len(seen), 'image')} transparent everywhere: read as if opaque, "
            "and as white where all is of one colour"
        )
    if pixel_range is not None:
        cut = [one for one in seen if one.is_cut]
        if cut:
            low, high = min(one.low for one in cut), max(one.high for one in cut)
            faults.append(
                f"{len(cut)} of {count(len(seen), 'image')} with pixels outside of --range "
                f"{pixel_range[0]:g}:{pixel_range[1]:g}, from {low:g} to {high:g}: they are cut off"
            )
        return faults
    for bits, parts in ((8, (1,)), (16, _PARTS_OF_16_BITS)):
        of_type = [one for one in seen if one.bits == bits]
        high = max((one.high for one in of_type), default=0)
        part = next((part for part in parts if high <= part), None)
        if high == 0 or part is None:
            continue
        others = len(seen) - len(of_type)
        faults.append(
            f"{count(len(of_type), 'image')} of {bits} bits without a value above {high:g}, read "
            f"as nearly black: --range 0:{part} makes {part} white"
            + (f", in the {'other' if others == 1 else f'{others} others'} too" if others else "")
        )
    return faults
