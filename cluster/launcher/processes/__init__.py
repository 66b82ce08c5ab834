"""Processes of the operating system: started, watched, restarted, found again and stopped."""
