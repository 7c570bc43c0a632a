"""The report: tables for people and papers, and one self-contained page."""
