"""Programs with complex tensors, written with their real and imaginary planes."""
