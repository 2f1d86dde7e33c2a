"""Images, data sets and the names of classes."""
