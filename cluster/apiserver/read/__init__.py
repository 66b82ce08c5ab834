"""The path of a read: lists, pages, watches, and the versions they are shown in."""
