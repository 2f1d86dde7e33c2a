"""The classifier: reading model files, the output head, the copy that is searched, feature maps."""
