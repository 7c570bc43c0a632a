"""What `banet …` can do, a module for each group of commands: options, and what is printed."""
