"""Expressions from text to trees."""
