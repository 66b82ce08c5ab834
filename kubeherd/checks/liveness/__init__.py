"""Promises that hold when nothing is hurt any more and the time for convergence is over."""
