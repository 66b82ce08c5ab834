"""Shell scripts as far as they can be judged without running anything: syntax and evaluation."""
