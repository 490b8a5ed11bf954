"""ONNX graphs of networks and of users' own models (needs torch and onnx)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepmatrixinversion.export.folding import fold
    from deepmatrixinversion.export.inverse import export_onnx
    from deepmatrixinversion.export.planes.program import exportable_program
    from deepmatrixinversion.export.stripping import strip
    from deepmatrixinversion.export.translation import onnx_translation_table

__all__ = ["export_onnx", "exportable_program", "fold", "onnx_translation_table", "strip"]


def __getattr__(name: str) -> Any:
    # Imported when asked for, since torch takes seconds.
    if name == "onnx_translation_table":
        from deepmatrixinversion.export.translation import onnx_translation_table

        return onnx_translation_table
    if name == "export_onnx":
        from deepmatrixinversion.export.inverse import export_onnx

        return export_onnx
    if name == "exportable_program":
        from deepmatrixinversion.export.planes.program import exportable_program

        return exportable_program
    if name == "fold":
        from deepmatrixinversion.export.folding import fold

        return fold
    if name == "strip":
        from deepmatrixinversion.export.stripping import strip

        return strip
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
