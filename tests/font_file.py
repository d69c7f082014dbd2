"""Make a small font file, so that tests of pictures do not depend on the machine's fonts."""

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from cookbook import fonts

# Punctuation, ideographs, full-width forms: ten times slower to write than the few of `fonts`.
CHINESE = (*range(0x3000, 0x3040), *range(0x4E00, 0xA000), *range(0xFF00, 0xFFF0))
FEW = tuple(map(ord, fonts._SAMPLE + "任务"))
EM = 1000


def write_font(path: Path, name: str, *, characters=FEW, size: int = 800, weight: int = 400):
    """Write a font that draws each character as a square of `size`; 0 draws nothing."""
    font = FontBuilder(EM)
    font.setupGlyphOrder([".notdef", "square"])
    font.setupCharacterMap(dict.fromkeys(characters, "square"))
    square = _square(size) if size else TTGlyphPen(None).glyph()
    font.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": square})
    font.setupHorizontalMetrics({".notdef": (EM, 0), "square": (EM, 0)})
    font.setupHorizontalHeader(ascent=880, descent=-120)
    font.setupNameTable({"familyName": name, "styleName": "Regular"})
    font.setupOS2(usWeightClass=weight)
    font.setupPost()
    font.save(path)
    return path


def _square(size: int):
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, size), (size, size), (size, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()
