"""What a case of the fuzzer is, and how a seed changes bytes, letters and JSON."""
