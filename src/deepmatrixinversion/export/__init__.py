"""ONNX graphs of trained networks (needs torch and onnx)."""
