"""Service account tokens: what they claim, whether it still holds, who shows one."""
