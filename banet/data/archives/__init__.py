"""Archives of benchmarks: members by name, never unpacked."""
