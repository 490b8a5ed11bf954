"""Models on disk: configuration, the model directory, the bundled zoo and the hub."""
