"""What attacking, benchmarking, training and explaining share."""
