"""Recognises what a download or a copy can leave in place of a file: a pointer of Git LFS or git-annex, a web page."""


def stand_in(start: bytes) -> str | None:
    """What a file that begins with `start` is, and what to do: `a Git LFS pointer, ...`. None: none of these."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"version https://git-lfs", b"version https://hawser")):
        return "a Git LFS pointer, not the file itself; run `git lfs pull` in its folder"
    if text.startswith((b"/annex/objects/", b"../.git/annex/")):
        return "a git-annex pointer, not the file itself; run `git annex get` in its folder"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<!--", b"<error")):
        return "a web page or XML, not the file itself; download the file again"
    return None
