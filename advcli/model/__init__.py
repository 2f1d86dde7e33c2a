"""The classifier: model files, the output head, the inference copy, feature maps."""
