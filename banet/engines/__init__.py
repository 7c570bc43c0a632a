"""Other engines than torch: networks written for them, and run by them on the CPU."""
