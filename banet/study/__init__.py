"""Which of two restorations do people prefer? A page on this machine that asks, as behind the paper's Table 4."""
